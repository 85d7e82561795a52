"""Click-to-call through the whole program: the portal's own call is dialled by Mango at most once and finished in every
case.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bx24app.sandbox.mango.plans import ANSWERS, BUSY, NO_ANSWER, OFFLINE, REJECTS, Party
from tests.support.click_offices import ANNA, BORIS, KRASNODAR, MOBILE, MOSCOW, NOBODY, VERA, Offices, number, offices
from tests.support.stack import World


@pytest.fixture
def both(earth: World) -> Iterator[Offices]:
    made = offices(earth)
    made.plan()
    yield made
    made.earth.mango.rest_faults.clear()


def test_answered_is_the_portals_own_call(both: Offices) -> None:
    client = number()
    call_id = both.click(ANNA, client)
    (row,) = both.finished(client)
    assert (row.call_id, row.type, row.user_id, row.failed_code, row.duration) == (call_id, 1, ANNA, "200", 7)
    (sent,) = both.dialled(client)
    assert sent["from"] == {"extension": "101"}
    assert "line_number" not in sent  # nobody chose a line: the employee's own caller id
    call = both.call(client)
    assert (call["state"], call["outcome"], call["pbx_key"], call["user_id"]) == (
        "finished",
        "answered",
        "moscow",
        ANNA,
    )
    assert not call["entry_id"].startswith("click:")
    assert not both.notices_to(ANNA, client)
    assert not [one for one in both.earth.portal.cards.get(ANNA, {}).values() if one.call_id == call_id]


@pytest.mark.parametrize(
    ("user", "line", "extension", "pbx"),
    [
        (ANNA, MOSCOW, "101", "moscow"),
        (BORIS, None, "102", "moscow"),  # has one in both: the first of the document
        (BORIS, KRASNODAR, "202", "krasnodar"),
        (VERA, None, "201", "krasnodar"),
    ],
)
def test_line_picks_pbx_and_caller_id(both: Offices, user: int, line: str | None, extension: str, pbx: str) -> None:
    client = number()
    call_id = both.click(user, client, line=line)
    (row,) = both.finished(client)
    assert (row.call_id, row.user_id, row.failed_code) == (call_id, user, "200")
    (sent,) = both.dialled(client)
    assert (sent["from"]["extension"], sent.get("line_number")) == (extension, line)
    assert both.call(client)["pbx_key"] == pbx


@pytest.mark.parametrize(("user", "line"), [(NOBODY, None), (NOBODY, MOSCOW), (ANNA, KRASNODAR)])
def test_without_an_extension_there_it_is_not_dialled(both: Offices, user: int, line: str | None) -> None:
    client = number()
    call_id = both.click(user, client, line=line)
    (row,) = both.finished(client)
    assert (row.call_id, row.user_id, row.failed_code) == (call_id, user, "404")
    assert "Mango Office" in row.failed_reason
    assert row.failed_reason in notices(both, user)
    assert not both.dialled(client)


@pytest.mark.parametrize("short", ["102", "374747"])
def test_an_extension_or_a_city_number_is_dialled_as_written(both: Offices, short: str) -> None:
    call_id = both.click(ANNA, short)
    (row,) = both.finished(short)
    assert (row.call_id, row.user_id, row.failed_code, row.duration) == (call_id, ANNA, "200", 7)
    (sent,) = both.dialled(short)
    assert (sent["from"], sent["to_number"]) == ({"extension": "101"}, short)
    assert both.call(short)["outcome"] == "answered"


def notices(both: Offices, user: int) -> list[str]:
    return [note.message for note in both.earth.portal.notifications.values() if note.user_id == user]


def test_on_the_road_the_mobile_of_the_mapping_rings(both: Offices) -> None:
    client = number()
    call_id = both.click(ANNA, client, mobile=True)
    (row,) = both.finished(client)
    assert (row.call_id, row.user_id, row.failed_code) == (call_id, ANNA, "200")
    (sent,) = both.dialled(client)
    assert sent["from"] == {"extension": "101", "number": MOBILE}


@pytest.mark.parametrize(
    ("code", "status"), [(3330, "304"), (5201, "304"), (2240, "402"), (4290, "304"), (3102, "304")]
)
def test_refused_by_mango(both: Offices, code: int, status: str) -> None:
    client = number()
    with both.broken("commands/callback", "code", code):
        call_id = both.click(ANNA, client)
        (row,) = both.finished(client)
    assert (row.call_id, row.user_id, row.failed_code, row.duration) == (call_id, ANNA, status, 0)
    (words,) = both.notices_to(ANNA, client)
    assert words == row.failed_reason
    call = both.call(client)
    assert (call["state"], call["outcome"]) == ("finished", "failed")
    assert not both.dialled(client)


@pytest.mark.parametrize("status", [429, 403])
def test_turned_away_before_a_code(both: Offices, status: int) -> None:
    client = number()
    with both.broken("commands/callback", "http", status):
        both.click(ANNA, client)
        (row,) = both.finished(client)
    assert row.failed_code == "304"
    (words,) = both.notices_to(ANNA, client)
    assert str(status) not in words  # words, not a code


def test_asked_to_slow_down_it_dials_a_little_later(both: Offices) -> None:
    client = number()
    both.plan(parties={"101": ANSWERS, client[1:]: ANSWERS}, others=ANSWERS)
    with both.broken("commands/callback", "http", 429, times=2):
        call_id = both.click(ANNA, client)
        (row,) = both.finished(client)
    assert (row.call_id, row.failed_code) == (call_id, "200")
    assert len(both.dialled(client)) == 1  # what was turned away is not a command


def test_refused_by_a_result_after_it_was_accepted(both: Offices, monkeypatch: pytest.MonkeyPatch) -> None:
    client = number()
    monkeypatch.setattr("bx24app.sandbox.mango.commands.simulation.callback", refusing(2110))
    call_id = both.click(ANNA, client)
    (row,) = both.finished(client)
    assert (row.call_id, row.failed_code) == (call_id, "402")
    assert both.notices_to(ANNA, client)


def refusing(code: int) -> object:
    def callback(board, first, plan, *, command_id, device="", name="callback"):  # type: ignore[no-untyped-def]
        board.emit_notification(f"result/{name}", {"command_id": command_id, "result": code})

    return callback


def silence(*_: object, **__: object) -> None:
    """Mango accepts, and is never heard of again."""


@pytest.mark.parametrize(
    ("party", "code"), [(NO_ANSWER, "304"), (REJECTS, "603"), (OFFLINE, "480"), (BUSY, "486")], ids=lambda x: str(x)[:9]
)
@pytest.mark.parametrize("who", ["employee", "client"])
def test_nobody_picks_up(both: Offices, who: str, party: Party, code: str) -> None:
    client = number()
    both.plan(parties={"101" if who == "employee" else client[1:]: party}, others=ANSWERS)
    call_id = both.click(ANNA, client)
    (row,) = both.finished(client)
    assert (row.call_id, row.user_id, row.failed_code, row.duration) == (call_id, ANNA, code, 0)
    (words,) = both.notices_to(ANNA, client)
    assert row.failed_reason in words
    call = both.call(client)
    assert (call["state"], call["outcome"], call["user_id"]) == ("finished", "failed", ANNA)
