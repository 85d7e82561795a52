"""Late recordings lock no PBX's key, and where another program has locked it, everything waits and people are told so.

Mango's two minutes and a recording's first minute are seconds here. In the sandbox every answer 3xxx counts for the
lock, as Mango's API document says.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from bx24app.calls.click_to_call import dial
from bx24app.calls.fold import recording_rows
from bx24app.calls.recordings import outcomes
from bx24app.infra import key_guard
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Recording, db
from tests.support.click_offices import ANNA, KEYS, Offices, number, offices
from tests.support.stack import World, until

KEY = KEYS["moscow"][0]
LOCK, FIRST_MINUTE = 5.0, 2.5


@pytest.fixture
def strict(earth: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Offices]:
    made, limits = offices(earth), earth.mango.limits
    made.plan()
    monkeypatch.setattr(key_guard, "LOCK_SECONDS", LOCK)
    monkeypatch.setattr(outcomes, "NOT_YET_RETRY_SECONDS", FIRST_MINUTE)
    for name, value in {"every_3xxx_counts": True, "lockout_seconds": LOCK, "is_enabled": False, "_faults": {}}.items():
        monkeypatch.setattr(limits, name, value)
    employee = made.moscow.pbx.find_employee("101")
    assert employee is not None
    employee.recorded = True
    with earth.app.app_context():
        for key in runtime().queue_redis.keys("*mango_key*:wrong"):
            runtime().queue_redis.delete(key)
    yield made
    employee.recorded = False


def recordings(made: Offices, clients: list[str]) -> list[tuple[str, int, str | None]]:
    """(state, tries, problem) of the recordings of these clients' calls."""
    with made.earth.app.app_context():
        query = db.session.query(Recording).join(Call, Call.id == Recording.call_id)
        rows = query.filter(Call.client_number.in_(clients)).order_by(Recording.id).all()
        found = [(row.state, row.tries, row.problem) for row in rows]
        db.session.rollback()
        return found


def questions(made: Offices) -> int:
    return sum(line.endswith("queries/recording/post") for line in made.earth.mango.requests)


def test_late_recordings_let_clicks_through(strict: Offices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict.earth.mango, "recording_delay", FIRST_MINUTE)
    clients = [number(), number()]
    for client in clients:
        strict.click(ANNA, client)
    until(
        lambda: len([1 for state, _, problem in recordings(strict, clients) if problem or state == "attached"]) == 2,
        lambda: f"not asked for: {recordings(strict, clients)}",
    )
    third = number()
    strict.click(ANNA, third)
    until(lambda: strict.rows(third), "the click was not finished")
    assert [row.failed_code for row in strict.rows(third)] == ["200"]
    assert len(strict.dialled(third)) == 1
    everybody = [*clients, third]
    until(
        lambda: [state for state, _, _ in recordings(strict, everybody)] == ["attached"] * 3,
        lambda: f"not attached: {recordings(strict, everybody)}",
    )
    strict.rest()
    assert all(row.file_id for client in everybody for row in strict.rows(client))


def test_a_lock_is_told_in_its_own_words_and_passes(strict: Offices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "MAX_SLOW_DOWN_SECONDS", 0.1)
    first = number()
    strict.click(ANNA, first)
    strict.finished(first)
    for _ in range(2):  # another program with the same key
        strict.earth.mango.limits.count_malformed(KEY)
    client = number()
    strict.click(ANNA, client)
    (row,) = strict.finished(client)
    (words,) = strict.notices_to(ANNA, client)
    assert (row.failed_code, row.failed_reason) == ("304", words)
    assert "на две минуты заблокировал ключ" in words or "for two minutes" in words
    assert words.rpartition(" ")[2].count(":") == 1, "the minute in which to call again"
    assert not strict.dialled(client)
    until(lambda: not strict.earth.mango.limits.is_locked_out(KEY), "the lock never ended", 30)
    again = number()
    strict.click(ANNA, again)
    assert [row.failed_code for row in strict.finished(again)] == ["200"]


def test_a_recording_that_meets_a_lock_spends_no_try(strict: Offices, monkeypatch: pytest.MonkeyPatch) -> None:
    first, client = number(), number()
    strict.click(ANNA, first)
    strict.finished(first)
    monkeypatch.setattr(strict.earth.mango.limits, "has_lockout", False)  # the click itself gets through
    strict.click(ANNA, client)
    strict.earth.mango.limits.count_malformed(KEY)
    strict.earth.mango.limits.count_malformed(KEY)
    until(lambda: strict.rows(client) or strict.dialled(client), "not dialled")
    monkeypatch.setattr(strict.earth.mango.limits, "has_lockout", True)
    strict.finished(client)
    assert recordings(strict, [client]) == [("attached", 0, None)]


def test_mangos_word_that_a_file_is_there_is_awaited(strict: Offices, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question between the end of a recording and `record/added` would be wrong."""
    monkeypatch.setattr(recording_rows, "CONFIRM_SECONDS", 10.0)
    strict.plan(speed=8.0, talk=8.0, record_delay=16.0)
    client, before = number(), questions(strict)
    strict.click(ANNA, client)
    until(lambda: strict.rows(client), "the call was not finished")
    strict.finished(client)
    assert recordings(strict, [client]) == [("attached", 0, None)]
    assert questions(strict) == before + 1
    with strict.earth.app.app_context():
        row = db.session.query(Recording).join(Call).filter(Call.client_number == client).one()
        assert row.attached_at - row.noticed_at < timedelta(seconds=recording_rows.CONFIRM_SECONDS)
        db.session.rollback()


def test_a_recording_that_was_not_stored_is_never_asked_for(strict: Offices) -> None:
    """`events/recording` says 4002: too short."""
    strict.plan(talk=1.0)
    client, before = number(), questions(strict)
    strict.click(ANNA, client)
    strict.finished(client)
    assert recordings(strict, [client]) == [("none", 0, None)]
    assert questions(strict) == before
