"""Both dialects as the sandbox's PBX sends them over HTTP: signed and verified, and both telling the same call."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest

from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.entry_assembly import assemble_entry
from bx24app.domain.calls.events import Party, PbxEvent
from bx24app.mango import events_dialect, vpbx
from bx24app.sandbox.mango import Board
from tests.support.mango_cloud import Served, served
from tests.support.sequences import SEQUENCES, compact

CODES = [title.split()[0] for title in SEQUENCES]


@pytest.fixture
def running() -> Iterator[Served]:
    with served() as cloud:
        yield cloud


def product(running: Served, dialect: str, **fields: object) -> Board:
    board = running.cloud.add_pbx(name=dialect, dialect=dialect, hook_url=running.hook_url, **fields)
    board.pbx.add_line("74950000001")
    for extension in ("101", "102", "103"):
        board.pbx.add_employee(extension, extension)
    board.pbx.add_group("300", "Sales", ["101", "102", "103"])
    return board


def employee(party: Party) -> Party | None:
    return Party(party.extension) if party.extension else None


def told(events: list[PbxEvent]) -> CallEntry:
    found = assemble_entry(events, employee)
    assert found is not None
    return found


def signed(running: Served, board: Board) -> list[PbxEvent]:
    events: list[PbxEvent] = []
    for post in running.posts:
        form = {name: values[0] for name, values in parse_qs(post.body.decode(), keep_blank_values=True).items()}
        pbx, raw = board.pbx, form["json"]
        vpbx.verify_signature(pbx.api_key, pbx.api_salt, form["vpbx_api_key"], form["sign"], raw)
        if vpbx.is_stored(post.path):
            assert vpbx.identify(post.path, raw).name == post.path
            events += vpbx.parse(post.path, raw, 1776060000)
    return events


def unsigned(running: Served) -> list[list[PbxEvent]]:
    groups = []
    for post in running.posts:
        assert post.content_type == "application/json"
        raw = post.body.decode()
        name = events_dialect.find_name(post.path, raw, {})
        assert name is not None
        groups.append(events_dialect.parse(name, raw, 1776060000))
    return groups


def talkers(entry: CallEntry) -> list[str | None]:
    return list(dict.fromkeys(talk.employee.extension for talk in entry.talks))


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    "style",
    [{}, {"code_style": "php"}, {"numbers_as_text": True}, {"version": 1, "sip_call_ids": False, "code_style": "php"}],
    ids=["compact", "php", "texts", "version1"],
)
def test_signed_in_every_style(running: Served, code: str, style: dict[str, object]) -> None:
    board = product(running, "vpbx", **style)
    played = running.cloud.run_coroutine(running.cloud.play_sequence(code, board))
    assert len(running.posts) == len(played.notifications)
    entry = told(signed(running, board))
    assert entry.end_event is not None
    assert (entry.end_event.talk_at is None) == (code in ("S2", "S2b", "S6b"))
    assert entry.all_legs_ended


@pytest.mark.parametrize("code", CODES)
def test_the_short_dialect_tells_the_same_call(running: Served, code: str) -> None:
    board = product(running, "events")
    played = running.cloud.run_coroutine(running.cloud.play_sequence(code, board))
    groups = unsigned(running)
    said = told([event for group in groups for event in group])
    assert told([event for group in reversed(groups) for event in group]) == said
    truth = told([e for notice in played.notifications for e in vpbx.parse(notice.path, compact(notice.body), 1)])
    assert (said.direction, said.raw_client) == (truth.direction, truth.raw_client and f"+{truth.raw_client}")
    assert (said.talk_at, said.ended_at, said.talk_seconds) == (truth.talk_at, truth.ended_at, truth.talk_seconds)
    assert said.all_legs_ended
    if truth.direction != "internal":
        assert talkers(said) == talkers(truth)
    assert len([facts for facts in said.recordings if facts.is_fetchable and facts.url]) == len(
        [facts for facts in truth.recordings if facts.is_fetchable]
    )
