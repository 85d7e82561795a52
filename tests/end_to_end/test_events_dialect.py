"""The short dialect through the whole program: unsigned JSON over HTTP into the portal, recordings by link, in every
weather.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import requests
from aiohttp import web

from tests.end_to_end.test_scenarios import arranged, connect, lands
from tests.support.replayed_scenario import ReplayedCall, as_json, as_new_call, in_portal, post
from tests.support.scenarios import FIXTURES, Notice, Scenario, all_scenarios
from tests.support.stack import World, until

SHORT = [scenario for scenario in all_scenarios() if scenario.folder.name.startswith("short_")]
each = pytest.mark.parametrize("scenario", SHORT, ids=lambda scenario: scenario.folder.name)
_LINK = re.compile(r"https://files\.mango-office\.ru/r/")


def content(name: str) -> bytes:
    return f"ID3 the recording {name} ".encode() * 50


@pytest.fixture(scope="module")
def shelf(earth: World) -> str:
    return add_shelf(earth)


def add_shelf(earth: World) -> str:
    """The host of the links: each file says its own name."""

    async def give(request: web.Request) -> web.Response:
        return web.Response(body=content(request.match_info["name"]), content_type="audio/mpeg")

    app = web.Application()
    app.router.add_get("/{name}", give)
    return earth.sandbox.add_site("short-files", app)


def anew(scenario: Scenario, shelf: str) -> ReplayedCall:
    """The call once more, its links leading to the shelf, to a file of its own."""
    retold = as_new_call(scenario)
    own = f"{shelf}/{retold.client[1:]}-"
    return replace(retold, notices=[Notice(n.file, n.name, _LINK.sub(own, n.raw)) for n in retold.notices])


def told(earth: World, shelf: str, scenario: Scenario, order: str) -> tuple[ReplayedCall, dict[str, object]]:
    hook = connect(earth, scenario)
    retold = anew(scenario, shelf)
    notices = arranged(retold.notices, order)
    if order == "recording first":
        notices = sorted(notices, key=lambda notice: notice.name != "call_record")
    for notice in notices:
        assert post(hook, notice) == 200
    earth.settle(90)
    return retold, in_portal(earth, retold)


@each
def test_lands_in_the_portal(earth: World, shelf: str, scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.end_to_end.test_scenarios.as_new_call", lambda one: anew(one, shelf))
    lands(earth, scenario)


@each
def test_weather_ends_the_same(earth: World, shelf: str, scenario: Scenario) -> None:
    _, fair = told(earth, shelf, scenario, "as it is")
    for order in ("twice", "swapped", "swapped from the second", "reversed", "recording first"):
        _, found = told(earth, shelf, scenario, order)
        assert found == fair, f"{order}\n{as_json(fair)}\n{as_json(found)}"


@pytest.mark.parametrize("name", ["short_incoming_answered", "short_transfer"])
def test_the_recording_comes_minutes_later(earth: World, shelf: str, name: str) -> None:
    """The call is finished long since; the file that the link leads to lands on it."""
    scenario = Scenario(FIXTURES / name)
    hook = connect(earth, scenario)
    retold = anew(scenario, shelf)
    late = [notice for notice in retold.notices if notice.name == "call_record"]
    for notice in retold.notices:
        if notice not in late:
            assert post(hook, notice) == 200
    earth.settle()
    assert [row[7] for row in in_portal(earth, retold)["calls"]] == [False]
    for notice in [*late, *late]:
        assert post(hook, notice) == 200
    until(lambda: in_portal(earth, retold)["calls"][0][7], "the recording was not attached")
    (link,) = re.findall(r'https?://[^"]+', late[0].raw)
    assert files(earth, retold) == [content(link.rpartition("/")[2])]


def files(earth: World, retold: ReplayedCall) -> list[bytes]:
    rows = [row for row in earth.portal.statistics.values() if row.phone.lstrip("+") == retold.client[1:]]
    return [earth.portal.files[row.file_id].content for row in rows if row.file_id is not None]


@pytest.mark.parametrize("to", [{"number": "0", "extension": "0"}, {"number": "74950000001"}, {"extension": None}, {}])
def test_nobody_answered(earth: World, shelf: str, to: dict[str, str | None]) -> None:
    """Extension "0", or none, on `call_end`: missed, whatever else it says."""
    scenario = Scenario(FIXTURES / "short_incoming_missed")
    hook = connect(earth, scenario)
    retold = anew(scenario, shelf)
    start, end = retold.notices
    assert post(hook, start) == 200
    end = Notice(end.file, end.name, json.dumps(end.content | {"to": to, "call_state": "Answered", "duration": 30}))
    assert post(hook, end) == 200
    earth.settle()
    ((_, user, kind, duration, code, line, missed, _),) = in_portal(earth, retold)["calls"]
    assert (user, kind, duration, code, line, missed) == (9, 2, 0, "304", "74950000001", True)


def test_every_way_to_name_the_event(earth: World, shelf: str) -> None:
    """By the last segment of the path, in the body, in the query: one call of five notifications, told in five ways."""
    scenario = Scenario(FIXTURES / "short_transfer")
    hook = connect(earth, scenario)
    base, _, key = hook.rpartition("/")
    _, fair = told(earth, shelf, scenario, "as it is")
    retold = anew(scenario, shelf)
    ways = [
        lambda name: (f"{hook}/{name}", {}),
        lambda name: (f"{hook}/events/{name}", {}),
        lambda name: (hook, {"event": name}),
        lambda name: (f"{hook}?event={name}", {}),
        lambda name: (f"{base}?pbx={key}/events/{name}", {}),
    ]
    for way, notice in zip(ways, retold.notices, strict=True):
        url, more = way(notice.name)
        assert requests.post(url, json=notice.content | more, timeout=20).status_code == 200
    earth.settle()
    assert in_portal(earth, retold) == fair
