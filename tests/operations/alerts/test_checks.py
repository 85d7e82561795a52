"""What stands still alarms the administrators: once, and once more when it is over. Over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis
from sqlalchemy import update

from bx24app.calls.recordings.outcomes import DISK_FULL
from bx24app.infra import circuit_breaker
from bx24app.infra.runtime import runtime
from bx24app.models import Delivery, Notice, Pbx, Recording, db, utcnow
from bx24app.operations.alerts import candidates
from tests.operations.alerts.test_monitor import Watched
from tests.support.installations import rows, w
from tests.support.stack import World

__all__ = ["w"]


@pytest.fixture
def watched(w: World) -> Iterator[Watched]:
    yield Watched(w)
    assert w.portal.violations == []


def opens(one: circuit_breaker.CircuitBreaker, minutes: float) -> None:
    """It opened so long ago."""
    for _ in range(circuit_breaker.FAILURE_THRESHOLD):
        one.record_failure()
    seconds, _ = runtime().redis.time()
    runtime().redis.hset(f"circuit:{one.name}", "since", seconds - minutes * 60)


def test_a_portal_that_did_not_answer_hears_of_it_when_it_does(watched: Watched) -> None:
    one = circuit_breaker.of_portal(watched.id)
    opens(one, 9)
    assert watched.look() == []
    assert rows(Notice) == []
    opens(one, 11)
    watched.w.sandbox.call(watched.w.portal.switches.switch_on, "close_before")
    assert watched.look() == []
    assert [row.key for row in rows(Notice)] == ["away:portal"]
    watched.w.sandbox.call(watched.w.portal.switches.switch_off)
    assert watched.look() == [], "it may not be over: no delivery has told"
    one.record_success()
    (words,) = watched.look()
    assert "теперь отвечает" in words
    assert rows(Notice) == []


def test_a_mango_that_does_not_answer(watched: Watched) -> None:
    one = circuit_breaker.of_pbx(1)
    opens(one, 9)
    assert watched.look() == []
    opens(one, 11)
    (words,) = watched.look()
    assert words.startswith("АТС Moscow: Mango Office не отвечает")
    one.record_success()
    (words,) = watched.look()
    assert "снова отвечает" in words


def test_a_mango_that_does_not_answer_questions(watched: Watched) -> None:
    for failures, told in ((candidates.MIN_ASK_FAILURES - 1, 0), (candidates.MIN_ASK_FAILURES, 1), (0, 1)):
        db.session.execute(update(Pbx).values(ask_failures=failures))
        db.session.commit()
        assert len(watched.look()) == told


def test_where_nobody_knows_nothing_is_said_to_be_over(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    opens(circuit_breaker.of_pbx(1), 11)
    assert len(watched.look()) == 1
    with monkeypatch.context() as patch:
        patch.setattr(circuit_breaker.CircuitBreaker, "seconds_open", _unknown)
        assert watched.look() == []
    assert len(rows(Notice)) == 1


def _unknown(_: circuit_breaker.CircuitBreaker) -> float:
    raise redis.ConnectionError


def test_a_circuit_remembers_when_it_opened(watched: Watched) -> None:
    one = circuit_breaker.of_portal(watched.id)
    one.record_failure()
    assert one.seconds_open() == 0.0
    opens(one, 5)
    runtime().redis.hset(f"circuit:{one.name}", "until", 0)
    assert one.acquire_trial()
    one.record_failure()
    assert one.seconds_open() > 250, "a failed trial does not begin anew"
    one.record_success()
    assert one.seconds_open() == 0.0


def test_refused_deliveries_alarm_until_none_is_left(watched: Watched) -> None:
    call_id = watched.call(timedelta(minutes=5))
    for key in ("register", "finish"):
        db.session.add(
            Delivery(portal_id=watched.id, call_id=call_id, key=key, kind="Finish", command={}, state="dead")
        )
    db.session.commit()
    (words,) = watched.look()
    assert "(2)" in words
    db.session.execute(update(Delivery).where(Delivery.key == "finish").values(state="done"))
    db.session.commit()
    assert watched.look() == []
    db.session.execute(update(Delivery).values(created_at=utcnow() - candidates.DEAD_FOR))
    db.session.commit()
    (words,) = watched.look()
    assert "больше нет" in words


def test_a_full_disk(watched: Watched) -> None:
    call_id = watched.call(timedelta(minutes=5))
    db.session.add(
        Recording(portal_id=watched.id, call_id=call_id, recording_id="r", due_at=utcnow(), problem=DISK_FULL)
    )
    db.session.commit()
    (words,) = watched.look()
    assert "нет места" in words
    db.session.execute(update(Recording).values(state="attached", due_at=None, problem=None))
    db.session.commit()
    (words,) = watched.look()
    assert "снова сохраняются" in words
