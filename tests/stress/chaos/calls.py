"""Draws many calls from the model of the PBX: the same shapes in every run, with fresh ids."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings

from tests.support.offices import Ways
from tests.support.random_calls import Day, DrawnCall, days

SOME = 10
WAYS = Ways(answered="lead", missed="activity", outgoing="contact", transfer_responsible="created")


def day_of(count: int) -> Day:
    """A day with `count` calls of all three PBXs; notifications are in random order and some come twice."""
    calls: list[DrawnCall] = []

    @settings(
        max_examples=-(-count // SOME) + 2,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(days(SOME, SOME))
    def collect(day: Day) -> None:
        calls.extend(day.calls)

    collect()
    if len(calls) < count:
        raise RuntimeError(f"only {len(calls)} calls were drawn")
    return Day(WAYS, calls[-count:])
