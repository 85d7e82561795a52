"""A circuit without failures is not read before every step; a failure is seen at once, by others within a second."""

from __future__ import annotations

import pytest
from flask import Flask

from bx24app.infra import circuit_breaker
from bx24app.infra.circuit_breaker import FAILURE_THRESHOLD, CircuitBreaker, HealthyCircuits
from bx24app.infra.runtime import runtime


def test_a_healthy_circuit_is_read_once_a_second(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, redis_eval = list[str](), runtime().redis.eval

    def count(script: str, keys: int, key: str, *args: object) -> object:
        reads.append(key)
        return redis_eval(script, keys, key, *args)

    monkeypatch.setattr(runtime().redis, "eval", count)
    for _ in range(5):
        assert not CircuitBreaker("portal:1").read_state().failures
    assert reads == ["circuit:portal:1"]
    CircuitBreaker("portal:2").read_state()
    assert len(reads) == 2, "each portal for itself"
    runtime().get(HealthyCircuits)._until["portal:1"] = 0
    CircuitBreaker("portal:1").read_state()
    assert len(reads) == 3


def test_its_own_failures_count_at_once(app: Flask) -> None:
    breaker = circuit_breaker.of_portal(1)
    for failures in range(1, FAILURE_THRESHOLD + 1):
        breaker.read_state()
        breaker.record_failure()
        assert breaker.read_state().failures == failures
    assert breaker.read_state().pause > 0
    breaker.record_success()
    assert not breaker.read_state().failures


def test_a_slow_answer_counts_at_once_too(app: Flask) -> None:
    breaker = circuit_breaker.of_portal(1)
    breaker.read_state()
    breaker.record_slow_answer()
    assert breaker.read_state().failures == 1
