"""`bx24app calls export` after a day of all kinds of calls: every row says what the sandbox's portal holds."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bx24app.calls.journal.export import COLUMNS
from bx24app.sandbox.bitrix.state import CALL_PROVIDER, TYPE_NAMES, Statistic
from bx24app.sandbox.mango import mp3
from bx24app.sandbox.mango.plans import Plan
from tests.conftest import KEY
from tests.end_to_end.test_scenarios import connect, told
from tests.support import commands
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.stack import World, until

STORIES = (
    "incoming_answered_by_group",
    "incoming_answered_becomes_contact",
    "incoming_missed_by_group",
    "incoming_missed_as_activity",
    "incoming_missed_known_client",
    "incoming_anonymous",
    "incoming_recordings_off",
    "transfer_blind_by_api",
    "outgoing_answered",
    "outgoing_busy_becomes_lead",
    "internal_logged",
)
CLICKED, ASKED = "+79169990001", "+79169990002"
DIRECTIONS = {2: "in", 1: "out", 4: "callback"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Day:
    """Every kind of call, told and at rest."""

    earth: World
    entries: dict[str, str]
    """Story -> entry id."""
    existing: frozenset[tuple[int, int]]
    """CRM records that no call made."""

    def text(self, *flags: str) -> str:
        with self.earth.app.app_context():
            found = commands.run(
                commands.environment_of(self.earth.config),
                "calls",
                "export",
                "--portal",
                self.earth.portal.member_id,
                *flags,
            )
        assert found.exit_code == 0, found.output
        return found.output

    def rows(self, *flags: str) -> list[Row]:
        return [json.loads(line) for line in self.text(*flags).splitlines()]


@pytest.fixture(scope="module")
def day(earth: World) -> Day:
    made_by_calls = _existing(earth)
    entries, known = {}, set(made_by_calls)
    for name in STORIES:
        scenario = Scenario(FIXTURES / name)
        retold, _ = told(earth, scenario, "as it is")
        entries[name] = retold.entry_id
        if scenario.config.get("known"):
            known |= _records_of(earth, retold.client)
    hook = connect(earth, Scenario(FIXTURES / "incoming_answered_by_group"))
    earth.sandbox.call(_furnish, earth, hook)
    earth.portal.user_lines[12] = "74950000001"  # as the employee chose it in the portal
    earth.sandbox.call(earth.portal.click_to_call, 12, CLICKED)
    earth.sandbox.call(earth.portal.form_callback, ASKED)
    until(lambda: _calls_of(earth, CLICKED) and _calls_of(earth, ASKED), "the callbacks never came to an end", 60)
    earth.settle(90)
    return Day(earth, entries, frozenset(known))


def _furnish(earth: World, hook: str) -> None:
    """Make the sandbox's PBX one that can dial."""
    board = earth.mango.board(KEY)
    board.pbx.hook_url = hook
    board.pbx.add_line("74950000001", "Moscow", leads_to="300")
    for extension in ("101", "102", "103"):
        board.pbx.add_employee(extension, f"Employee {extension}")
    board.pbx.add_group("300", "All", ["101", "102", "103"])
    board.plan = Plan(talk=9.0, speed=20.0)


def _existing(earth: World) -> set[tuple[int, int]]:
    return {record.key for table in earth.portal.crm.records.values() for record in table.values()}


def _records_of(earth: World, client: str) -> set[tuple[int, int]]:
    found = earth.sandbox.call(earth.portal.crm.find_records, "PHONE", client, 1, 3, 4)
    return {record.key for record in found}


def _calls_of(earth: World, phone: str) -> list[Statistic]:
    return [row for row in list(earth.portal.statistics.values()) if row.phone.lstrip("+") == phone.lstrip("+")]


def _moment(text: str | None) -> datetime:
    assert text is not None
    at = datetime.fromisoformat(text)
    assert at.utcoffset() == timedelta(0), f"{text} is not UTC"
    return at


# --- the comparison --------------------------------------------------------------------------------------------------


def test_each_row_is_what_the_portal_holds(day: Day) -> None:
    rows = day.rows()
    told_of = {row["entry_id"]: row for row in rows}
    assert set(day.entries.values()) <= set(told_of)
    assert len(rows) == len(STORIES) + 2
    for row in rows:
        assert tuple(row) == COLUMNS
        assert row["state"] == "finished"
        if row["direction"] != "internal":
            _compare(day, row)


def _compare(day: Day, row: Row) -> None:
    portal = day.earth.portal
    held = portal.by_call[row["bitrix_call_id"]]
    assert row["direction"] == DIRECTIONS[held.type]
    assert (row["user_id"], row["talk_seconds"], row["line_number"]) == (
        held.user_id,
        held.duration,
        held.portal_number,
    )
    assert (row["client_number"] or "00000000000").lstrip("+") == held.phone.lstrip("+")
    assert (row["outcome"] == "answered") == (held.failed_code == "200")
    assert (row["outcome"] == "missed") == held.missed
    assert row["activity_id"] == held.activity_id
    started, ended = _moment(row["started_at"]), _moment(row["ended_at"])
    if held.external_id:  # the portal itself registered a click, when it was made
        assert held.external_id == f"{row['pbx']}:{row['entry_id']}"
        assert started.timestamp() == held.start
    if row["outcome"] == "answered":
        assert (ended - _moment(row["answered_at"])).total_seconds() == held.duration
        assert row["users"][-1] == row["user_id"]
    else:
        assert (row["answered_at"], row["users"], held.duration) == (None, [], 0)
    assert {(one["entity"], one["id"]): one["created"] for one in row["crm"]} == _crm(day, held)
    _compare_recordings(day, row, held)


def _crm(day: Day, held: Statistic) -> dict[tuple[str, int], bool]:
    """Records to which the portal bound the call, and whether they were there before any call."""
    activity = day.earth.portal.activities.get(held.activity_id or 0)
    bound = set(activity.bindings) if activity else set()
    return {(TYPE_NAMES[kind].lower(), number): (kind, number) not in day.existing for kind, number in bound}


def _compare_recordings(day: Day, row: Row, held: Statistic) -> None:
    portal, facts = day.earth.portal, day.earth.mango.board(KEY).call_log
    taped = facts.entries[row["entry_id"]].recordings if row["entry_id"] in facts.entries else {}
    assert {one["recording_id"] for one in row["recordings"]} == set(taped)
    for one in row["recordings"]:
        if one["state"] == "none":
            assert (one["bitrix_call_id"], one["file_id"], one["attached_at"]) == (None, None, None)
            continue
        assert one["state"] == "attached"
        carrier = portal.by_call[one["bitrix_call_id"]]
        assert (carrier.external_id or "").partition("#")[0] == (held.external_id or "")
        assert one["file_id"] == carrier.file_id
        known = taped[one["recording_id"]]
        content = b"".join(mp3.stream_bytes(known.file_size, voice=sum(one["recording_id"].encode())))
        assert portal.files[one["file_id"]].sha256 == hashlib.sha256(content).hexdigest()
        assert one["lag_seconds"] >= 0
        assert abs((_moment(one["attached_at"]) - datetime.now(UTC)).total_seconds()) < 3600
    carried = [one["bitrix_call_id"] for one in row["recordings"] if one["bitrix_call_id"]]
    assert len(carried) == len(set(carried))


def test_no_call_of_the_portal_is_left_out(day: Day) -> None:
    named = {row["bitrix_call_id"] for row in day.rows()}
    named |= {one["bitrix_call_id"] for row in day.rows() for one in row["recordings"]}
    assert named - {None} == set(day.earth.portal.by_call)
    files = {one["file_id"] for row in day.rows() for one in row["recordings"]} - {None}
    assert files == set(day.earth.portal.files)
    calls = {row["activity_id"] for row in day.rows()} - {None}
    of_further = {day.earth.portal.by_call[name].activity_id for name in named if name and name in _further(day)}
    held = {one.id for one in day.earth.portal.activities.values() if one.provider_id == CALL_PROVIDER}
    assert calls | (of_further - {None}) == held


def _further(day: Day) -> set[str]:
    return {row.call_id for row in day.earth.portal.statistics.values() if "#" in (row.external_id or "")}


def test_each_kind_of_call_says_what_it_was(day: Day) -> None:
    rows = {row["entry_id"]: row for row in day.rows()}
    by_story = {name: rows[entry] for name, entry in day.entries.items()}
    transfer = by_story["transfer_blind_by_api"]
    assert (transfer["users"], len(transfer["recordings"])) == ([11, 12], 2)
    assert {one["state"] for one in transfer["recordings"]} == {"attached"}
    assert {one["state"] for one in by_story["incoming_recordings_off"]["recordings"]} == {"none"}
    assert by_story["incoming_anonymous"]["client_number"] is None
    assert by_story["incoming_anonymous"]["crm"] == []
    inside = by_story["internal_logged"]
    assert (inside["direction"], inside["bitrix_call_id"], inside["outcome"]) == ("internal", None, "answered")
    [known] = by_story["incoming_missed_known_client"]["crm"]
    assert known["created"] is False
    clicked, asked = (next(row for row in rows.values() if row["client_number"] == n) for n in (CLICKED, ASKED))
    assert (clicked["direction"], clicked["outcome"], clicked["user_id"]) == ("out", "answered", 12)
    assert (asked["direction"], asked["outcome"]) == ("callback", "answered")
    assert [row["trace"] != [] for row in rows.values()] == [True] * len(rows)


def test_csv_holds_the_same(day: Day) -> None:
    lines = list(csv.DictReader(io.StringIO(day.text("--format", "csv"), newline="")))
    rows = day.rows()
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert tuple(line) == COLUMNS
        for name, value in row.items():
            cell = line[name]
            assert cell == ("" if value is None else value if isinstance(value, str) else cell)
            if isinstance(value, list):
                assert json.loads(cell) == value
            elif isinstance(value, int):
                assert int(cell) == value


def test_since_is_the_calls_start(day: Day) -> None:
    rows = day.rows()
    starts = sorted(_moment(row["started_at"]) for row in rows)
    assert [row["started_at"] for row in rows] == sorted(row["started_at"] for row in rows)
    for moment in (starts[0], starts[len(starts) // 2], starts[-1], starts[-1] + timedelta(seconds=1)):
        expected = [row["entry_id"] for row in rows if _moment(row["started_at"]) >= moment]
        assert [row["entry_id"] for row in day.rows("--since", moment.isoformat())] == expected
        there = moment.astimezone(datetime.strptime("+0300", "%z").tzinfo)
        assert [row["entry_id"] for row in day.rows("--since", there.isoformat())] == expected
