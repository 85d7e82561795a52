"""A row on which the program fails is set aside with its reason; all rows behind it go on in the same drain."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from bx24app.calls import drain, set_aside
from bx24app.calls.fold import call_fold
from bx24app.models import Call, Notification, Portal, SetAside, db, utcnow
from tests.calls.inbox.test_receiver import post, signed
from tests.conftest import make_portal

START = 1776060000


def leg(entry_id: str, state: str = "Appeared", seq: int = 1, **more: Any) -> dict[str, Any]:
    return {"entry_id": entry_id, "call_id": f"leg-{entry_id}", "timestamp": START + seq, "seq": seq,
            "call_state": state, "location": "abonent", "from": {"number": "79160000001"}, "to": {"extension": "101"},
            **more}  # fmt: skip


def send(hook: str, *legs: dict[str, Any]) -> None:
    for content in legs:
        assert post(hook, "events/call", signed(json.dumps(content))) == 200


def _fail(entry_id: str, error: Callable[[], None]) -> Callable[..., Any]:
    original = call_fold.decide_call

    def decide(entry: Any, *args: Any) -> Any:
        if any(leg.first_step.leg == f"leg-{entry_id}" for leg in entry.legs):
            error()
        return original(entry, *args)

    return decide


def _raise(error: Exception) -> None:
    raise error


def _break_flush() -> None:
    """The database refuses what the fold of this call has written."""
    db.session.add(Notification(portal_id=1, pbx_id=1, dialect=None, name="x", dedup_key="x", body="{}"))  # type: ignore[arg-type]


@pytest.fixture(params=["program", "database"])
def poison(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every fold of the entry `bad` fails."""
    failures = {"program": lambda: _raise(KeyError("+79160000001")), "database": _break_flush}
    monkeypatch.setattr(call_fold, "decide_call", _fail("bad", failures[request.param]))
    yield
    monkeypatch.undo()


def states() -> dict[str | None, str]:
    return {row.entry_id: row.state for row in db.session.query(Notification)}


def test_the_others_go_on_in_the_same_drain(app: Flask, portal_id: int, hook: str, poison: None) -> None:
    send(hook, leg("good"), leg("bad"), leg("behind"))
    drain.drain(portal_id)
    assert states() == {"good": "handled", "bad": "rejected", "behind": "handled"}
    assert {row.entry_id for row in db.session.query(Call)} == {"good", "behind"}
    row = db.session.query(SetAside).one()
    assert (row.kind, row.entry_id, row.tries, row.is_waiting) == ("notification", "bad", 1, False)
    assert "79160000001" not in row.reason, "no value of the row"
    assert "IntegrityError" in row.reason or row.reason.startswith("KeyError in calls/")
    drain.drain(portal_id)
    assert db.session.query(SetAside).one().tries == 1, "it is not tried with every drain"


def test_a_good_notification_of_the_same_call_is_folded(
    app: Flask, portal_id: int, hook: str, monkeypatch: Any
) -> None:
    original = call_fold.decide_call

    def decide(entry: Any, *args: Any) -> Any:
        if any(leg.first_step.leg == "bad" for leg in entry.legs):
            raise ValueError
        return original(entry, *args)

    monkeypatch.setattr(call_fold, "decide_call", decide)
    send(hook, leg("e"), leg("e", call_id="bad"), leg("e", "Connected", 2))
    drain.drain(portal_id)
    call = db.session.query(Call).one()
    assert call.answered_at is not None
    assert [row.state for row in db.session.query(Notification).order_by(Notification.id)] == [
        "handled", "rejected", "handled",
    ]  # fmt: skip


def test_a_person_tries_it_again(app: Flask, portal_id: int, hook: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(call_fold, "decide_call", _fail("bad", lambda: _raise(ValueError())))
    send(hook, leg("bad"))
    drain.drain(portal_id)
    assert set_aside.retry(portal_id) == 1
    assert set_aside.count_rows(portal_id) == 0
    drain.drain(portal_id)
    assert (set_aside.count_rows(portal_id), db.session.query(SetAside).one().tries) == (1, 2)
    monkeypatch.undo()
    assert set_aside.retry(portal_id, db.session.query(SetAside).one().id) == 1
    drain.drain(portal_id)
    assert (states(), db.session.query(Call).count()) == ({"bad": "handled"}, 1)
    db.session.query(SetAside).update({"at": utcnow() - timedelta(hours=2)})
    db.session.commit()
    set_aside.retry_due()
    assert not db.session.query(SetAside).count()


def test_it_is_tried_again_by_itself_and_after_an_upgrade(app: Flask, hook: str, portal_id: int, poison: None) -> None:
    db.session.get_one(Portal, portal_id).state = "active"
    send(hook, leg("bad"))
    db.session.get_one(Portal, portal_id).state = "paused"
    db.session.commit()
    for tries in range(1, 7):
        drain.drain(portal_id)
        row = db.session.query(SetAside).one()
        assert (row.tries, row.is_waiting) == (tries, False)
        assert (row.due_at is not None) == (tries <= len(set_aside.RETRY_AFTER))
        db.session.get_one(Portal, portal_id).state = "active"
        if row.due_at is None:
            db.session.commit()
            set_aside.retry_due()
            assert db.session.query(SetAside).one().is_waiting is False, "nothing new: not again"
            db.session.query(SetAside).update({"version": "0.0.1"})
        else:
            row.due_at = utcnow()
        db.session.commit()
        set_aside.retry_due()
        assert db.session.query(SetAside).one().is_waiting is True
        db.session.get_one(Portal, portal_id).state = "paused"
        db.session.commit()
    drain.drain(portal_id)
    db.session.query(SetAside).update({"version": "0.0.1", "tries": set_aside.MAX_TRIES})
    db.session.get_one(Portal, portal_id).state = "active"
    db.session.commit()
    set_aside.retry_due()
    assert db.session.query(SetAside).one().is_waiting is False, "two versions side by side do not play ping-pong"


def test_a_call_that_fails_without_news_is_set_aside_itself(
    app: Flask, portal_id: int, hook: str, monkeypatch: Any
) -> None:
    send(hook, leg("bad"), leg("good"))
    drain.drain(portal_id)
    db.session.query(Call).update({"due_at": utcnow()})
    db.session.commit()
    monkeypatch.setattr(call_fold, "decide_call", _fail("bad", lambda: _raise(ValueError())))
    drain.drain(portal_id)
    row = db.session.query(SetAside).one()
    call = db.session.query(Call).filter_by(entry_id="bad").one()
    assert (row.kind, row.row_id, call.due_at, call.problem) == ("call", call.id, None, row.reason)
    monkeypatch.undo()
    assert set_aside.retry(portal_id) == 1
    drain.drain(portal_id)
    assert db.session.query(Call).filter_by(entry_id="bad").one().problem is None


@pytest.mark.parametrize(
    "error",
    [OperationalError("x", {}, Exception("server closed the connection")), OSError(28, "No space left"), MemoryError()],
    ids=["database away", "disk full", "memory"],
)
def test_the_machinery_blames_no_row(
    app: Flask, portal_id: int, hook: str, monkeypatch: Any, error: Exception
) -> None:
    monkeypatch.setattr(call_fold, "decide_call", _fail("bad", lambda: _raise(error)))
    send(hook, leg("good"), leg("bad"))
    with pytest.raises(type(error)):
        drain.drain(portal_id)
    assert set(states().values()) == {"new"}
    assert not db.session.query(SetAside).count()


def test_another_portal_is_not_touched(app: Flask, portal_id: int, hook: str, poison: None) -> None:
    other = make_portal("b" * 32).id
    send(hook, leg("bad"))
    drain.drain(portal_id)
    assert (set_aside.count_rows(portal_id), set_aside.count_rows(other)) == (1, 0)
    assert set_aside.retry(other) == 0
    assert set_aside.retry(other, db.session.query(SetAside).one().id) == 0
