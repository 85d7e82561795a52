"""A circuit opens after several failures in a row, lets one try, and closes at the first answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import redis
from flask import Flask

from bx24app.bitrix24.errors import AnswerLost, Gone, NeedsAdmin, NotSent, PortalError, Refused
from bx24app.calls.outbox.batch import Batch, BatchItem
from bx24app.calls.outbox.portal_request import SLOW_SECONDS, update_circuit
from bx24app.calls.outbox.sender import BatchOutcome
from bx24app.calls.recordings import download
from bx24app.calls.recordings.outcomes import FailedTry
from bx24app.domain.calls.commands import HideCard
from bx24app.infra import circuit_breaker, spool
from bx24app.infra.circuit_breaker import FAILURE_THRESHOLD, LONGEST_PAUSE
from bx24app.infra.runtime import runtime
from bx24app.mango.errors import Unreachable


def passed(one: circuit_breaker.CircuitBreaker) -> None:
    """Its time is over."""
    runtime().redis.hset(f"circuit:{one.name}", "until", 0)


def test_it_opens_tries_and_closes(app: Flask) -> None:
    one = circuit_breaker.of_portal(1)
    for _ in range(FAILURE_THRESHOLD - 1):
        one.record_failure()
    assert (one.read_state().is_tripped, one.read_state().pause) == (False, 0.0)
    one.record_failure()
    first = one.read_state().pause
    assert one.read_state().is_tripped
    assert 0 < first <= circuit_breaker.FIRST_PAUSE * 1.1
    assert circuit_breaker.count_open() == {"portal": 1, "pbx": 0}
    assert not one.acquire_trial(), "nobody tries before its time"
    passed(one)
    assert [one.acquire_trial() for _ in range(3)] == [True, False, False]
    one.record_failure()
    assert one.read_state().pause > first
    passed(one)
    assert one.acquire_trial()
    one.record_success()
    assert one.read_state() == circuit_breaker.CircuitState()
    assert circuit_breaker.count_open() == {"portal": 0, "pbx": 0}


def test_requests_that_were_under_way_together_count_once(app: Flask) -> None:
    one = circuit_breaker.of_pbx(1)
    for _ in range(60):
        one.record_failure()
    assert one.read_state().failures == FAILURE_THRESHOLD
    assert one.read_state().pause <= circuit_breaker.FIRST_PAUSE * 1.1


def test_it_never_waits_for_ever(app: Flask) -> None:
    one = circuit_breaker.of_portal(1)
    for _ in range(20):
        one.record_failure()
        passed(one)
        one.acquire_trial()
    one.record_failure()
    assert LONGEST_PAUSE <= one.read_state().pause <= LONGEST_PAUSE * 1.1


def test_of_requests_that_came_back_together_one_answer_is_enough(app: Flask) -> None:
    one = circuit_breaker.of_portal(1)
    silent, answered = BatchOutcome(Batch([]), error=AnswerLost("nothing came")), BatchOutcome(Batch([]))
    assert update_circuit(one, [silent, silent]).failures == 2
    assert update_circuit(one, []).failures == 2, "nothing came back: nothing is known anew"
    assert update_circuit(one, [silent, answered, silent]) == circuit_breaker.CircuitState()
    assert one.read_state().failures == 0


def test_a_portal_that_is_always_right_after_20_s_gets_one_request_at_a_time(app: Flask) -> None:
    one = circuit_breaker.of_portal(1)
    slow = BatchOutcome(Batch([]), seconds=SLOW_SECONDS + 1)
    assert [update_circuit(one, [slow]).is_tripped for _ in range(FAILURE_THRESHOLD)] == [False, False, True]
    assert update_circuit(one, [slow]).pause > 0, "those that were under way when it opened change nothing"
    passed(one)
    for _ in range(3):
        assert [one.acquire_trial() for _ in range(2)] == [True, False]
        state = update_circuit(one, [slow])
        assert (state.is_tripped, state.pause) == (True, 0.0), "the one that may leave is no failure"
    assert one.acquire_trial()
    assert update_circuit(one, [BatchOutcome(Batch([]), seconds=SLOW_SECONDS - 1)]) == circuit_breaker.CircuitState()


def test_a_batch_that_takes_as_long_as_expected_is_no_failure(app: Flask) -> None:
    one = circuit_breaker.of_portal(1)
    items = [BatchItem(number, number, HideCard(key="hide-1", users=(11,))) for number in (1, 2)]
    due = BatchOutcome(Batch(items, expected_seconds=25.0), seconds=49.0)
    for _ in range(FAILURE_THRESHOLD):
        assert update_circuit(one, [due]) == circuit_breaker.CircuitState()
    late, alone = replace(due, seconds=51.0), BatchOutcome(Batch(items[:1], expected_seconds=25.0), seconds=49.0)
    assert update_circuit(one, [late]).failures == 1
    assert update_circuit(one, [alone]).failures == 2


def test_portals_do_not_share(app: Flask) -> None:
    for _ in range(FAILURE_THRESHOLD):
        circuit_breaker.of_portal(1).record_failure()
    assert circuit_breaker.of_portal(2).read_state() == circuit_breaker.CircuitState()


def test_without_redis_nothing_is_held_back(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime(), "_redis", redis.Redis(port=1, socket_connect_timeout=0.2))
    one = circuit_breaker.of_portal(1)
    one.record_failure()
    one.record_success()
    assert (one.read_state(), one.acquire_trial()) == (circuit_breaker.CircuitState(), True)


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (None, False),
        (NotSent("no connection"), True),
        (AnswerLost("broke"), True),
        (NotSent("its limit", 1.0, is_rate_limited=True), False),
        (NotSent("its own time", 60.0), False),
        (NeedsAdmin("payment"), False),
        (Gone("PORTAL_DELETED"), False),
        (Refused("ERROR_CORE", "no"), False),
    ],
)
def test_only_silence_counts(error: PortalError | None, counts: bool) -> None:
    assert BatchOutcome(Batch([]), error=error).is_unanswered == counts


def test_a_silent_mango_costs_no_try_of_a_recording(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[download.RecordingSource] = []

    @contextmanager
    def open_stream(source: download.RecordingSource) -> Iterator[None]:
        asked.append(source)
        raise Unreachable("no connection")
        yield

    monkeypatch.setattr(download, "open_stream", open_stream)
    source = download.RecordingSource("rec", None, "key", "salt", 7)
    failures = [download.fetch_to_spool(source, spool.path_of(1, "somebody")) for _ in range(FAILURE_THRESHOLD + 3)]
    counted = [isinstance(failure, FailedTry) for failure in failures]
    assert counted == [True] * FAILURE_THRESHOLD + [False] * 3
    assert len(asked) == FAILURE_THRESHOLD
    passed(circuit_breaker.of_pbx(7))
    assert isinstance(download.fetch_to_spool(source, spool.path_of(1, "somebody")), FailedTry)
    assert len(asked) == FAILURE_THRESHOLD + 1, "one tries"
