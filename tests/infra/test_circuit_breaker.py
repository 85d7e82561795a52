"""A circuit opens after several failures in a row, lets one try, and closes at the first answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
from flask import Flask

from bx24app.bitrix24.errors import AnswerLost, Gone, NeedsAdmin, NotSent, PortalError, Refused
from bx24app.calls import drain
from bx24app.calls.outbox.batches import Parcel
from bx24app.calls.outbox.sender import Outcome
from bx24app.calls.recordings import download
from bx24app.infra import circuit_breaker
from bx24app.infra.circuit_breaker import LONGEST, TRIPS
from bx24app.infra.runtime import runtime
from bx24app.mango.errors import Unreachable


def passed(one: circuit_breaker.Circuit) -> None:
    """Its time is over."""
    runtime().redis.hset(f"circuit:{one.name}", "until", 0)


def test_it_opens_tries_and_closes(app: Flask) -> None:
    one = circuit_breaker.of_portal(1)
    for _ in range(TRIPS - 1):
        one.failed()
    assert (one.state().tripped, one.state().pause) == (False, 0.0)
    one.failed()
    first = one.state().pause
    assert one.state().tripped
    assert 0 < first <= circuit_breaker.FIRST * 1.1
    assert circuit_breaker.open_now() == {"portal": 1, "pbx": 0}
    assert not one.trial(), "nobody tries before its time"
    passed(one)
    assert [one.trial() for _ in range(3)] == [True, False, False]
    one.failed()
    assert one.state().pause > first
    passed(one)
    assert one.trial()
    one.worked()
    assert one.state() == circuit_breaker.State()
    assert circuit_breaker.open_now() == {"portal": 0, "pbx": 0}


def test_requests_that_were_under_way_together_count_once(app: Flask) -> None:
    one = circuit_breaker.of_pbx(1)
    for _ in range(60):
        one.failed()
    assert one.state().failures == TRIPS
    assert one.state().pause <= circuit_breaker.FIRST * 1.1


def test_it_never_waits_for_ever(app: Flask) -> None:
    one = circuit_breaker.of_portal(1)
    for _ in range(20):
        one.failed()
        passed(one)
        one.trial()
    one.failed()
    assert LONGEST <= one.state().pause <= LONGEST * 1.1


def test_of_requests_that_came_back_together_one_answer_is_enough(app: Flask) -> None:
    one = circuit_breaker.of_portal(1)
    silent, answered = Outcome(Parcel([]), error=AnswerLost("nothing came")), Outcome(Parcel([]))
    assert drain._told(one, [silent, silent]).failures == 2
    assert drain._told(one, []).failures == 2, "nothing came back: nothing is known anew"
    assert drain._told(one, [silent, answered, silent]) == circuit_breaker.State()
    assert one.state().failures == 0


def test_portals_do_not_share(app: Flask) -> None:
    for _ in range(TRIPS):
        circuit_breaker.of_portal(1).failed()
    assert circuit_breaker.of_portal(2).state() == circuit_breaker.State()


def test_without_redis_nothing_is_held_back(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime(), "_redis", redis.Redis(port=1, socket_connect_timeout=0.2))
    one = circuit_breaker.of_portal(1)
    one.failed()
    one.worked()
    assert (one.state(), one.trial()) == (circuit_breaker.State(), True)


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (None, False),
        (NotSent("no connection"), True),
        (AnswerLost("broke"), True),
        (NotSent("its limit", 1.0, budget=True), False),
        (NotSent("its own time", 60.0), False),
        (NeedsAdmin("payment"), False),
        (Gone("PORTAL_DELETED"), False),
        (Refused("ERROR_CORE", "no"), False),
    ],
)
def test_only_silence_counts(error: PortalError | None, counts: bool) -> None:
    assert Outcome(Parcel([]), error=error).no_answer == counts


def test_a_silent_mango_costs_no_try_of_a_recording(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[download.Source] = []

    @contextmanager
    def open_stream(source: download.Source) -> Iterator[None]:
        asked.append(source)
        raise Unreachable("no connection")
        yield

    monkeypatch.setattr(download, "open_stream", open_stream)
    source = download.Source("rec", None, "key", "salt", 7)
    counted = []
    for _ in range(TRIPS + 3):
        with pytest.raises(download.NotNow) as met:
            download.fetch(source, download.path_of(1))
        counted.append(met.value.counts)
    assert counted == [True] * TRIPS + [False] * 3
    assert len(asked) == TRIPS
    passed(circuit_breaker.of_pbx(7))
    with pytest.raises(download.NotNow):
        download.fetch(source, download.path_of(1))
    assert len(asked) == TRIPS + 1, "one tries"
