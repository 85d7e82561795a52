"""When a portal that needs an administrator is asked again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bx24app.domain.probing import IDLE_PAUSE, LONGEST_SILENCE, PROBE_PAUSE, next_pause, silence_pause
from bx24app.infra.worker import PERIODIC_JOBS

WEEKS = timedelta(weeks=3)


def test_the_pause_and_the_jobs_interval_leave_a_margin_below_60_seconds() -> None:
    [interval] = [seconds for job, seconds, _ in PERIODIC_JOBS if job == "probe_portals"]
    assert PROBE_PAUSE.total_seconds() + interval <= 50


@pytest.mark.parametrize(
    ("locked_for", "has_waiting", "pause"),
    [
        (timedelta(0), False, PROBE_PAUSE),
        (timedelta(hours=23), False, PROBE_PAUSE),
        (WEEKS, True, PROBE_PAUSE),
        (WEEKS, False, IDLE_PAUSE),
    ],
)
def test_only_a_portal_locked_for_long_with_nothing_waiting_is_asked_seldom(
    locked_for: timedelta, has_waiting: bool, pause: timedelta
) -> None:
    assert next_pause(locked_for, has_waiting) == pause


@pytest.mark.parametrize(("circuit", "seconds"), [(0, 35), (20, 35), (80, 80), (900, 300)])
def test_a_silent_portal_follows_its_circuit_breaker(circuit: float, seconds: float) -> None:
    assert silence_pause(circuit).total_seconds() == seconds
    assert silence_pause(circuit) <= LONGEST_SILENCE
