"""Sends bad inputs to a target, shared out over everything that answers HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.stress.fuzz import call_shots, shots
from tests.stress.fuzz.drained import DrainedTarget
from tests.stress.fuzz.target import FuzzTarget


def run(target: FuzzTarget, inputs: int, number: int = 0) -> None:
    """Fire about `inputs` requests; the same `number` gives the same ones.

    Raises:
        tests.stress.fuzz.target.Wrong: an answer was wrong; its text has the request.
    """
    _run_drained(target, inputs // 2, number)
    inputs -= inputs // 2
    operations = shots.operations()
    apart = [shots.notifications(target.hook), _events(target), shots.strangers()]
    share = inputs // 4
    _volley(target.fire, apart[0], share, number)
    _volley(target.fire, apart[1], share // 3, number)
    _volley(target.fire, apart[2], share // 3, number)
    each = max(1, (inputs - share - 2 * (share // 3)) // (2 * len(operations)))
    for operation in operations:
        for shot in shots.edge_values(operation):
            target.fire(shot)
        _volley(target.fire, shots.forms(operation), each, number)
        _volley(target.fire, shots.described(operation), each, number)


def _events(target: FuzzTarget) -> Any:
    portal = target.world.portal
    token = next(iter(portal.apps.values())).application_token
    return shots.events(portal.member_id, str(token))


def _run_drained(target: FuzzTarget, inputs: int, number: int) -> None:
    """Half of all inputs go the whole way: each is drained, and good calls between them must get through."""
    drained = DrainedTarget(target)
    portal = target.world.portal
    token = str(next(iter(portal.apps.values())).application_token)
    for turn in (0, 1):  # what the portal has answered by then meets further names of its calls
        _volley(drained.fire, call_shots.short_notifications(target.hook), inputs * 3 // 20, number + 10_000 * turn)
        _volley(drained.fire, call_shots.signed_notifications(target.hook), inputs * 3 // 20, number + 10_000 * turn)
        _volley(drained.fire, call_shots.clicks(portal.member_id, token), inputs // 20, number + 10_000 * turn)
        _volley(drained.answer, call_shots.portal_answers(), inputs // 20, number + 10_000 * turn)
    _volley(drained.compare, call_shots.statistics_entries(), inputs // 10, number)
    _volley(drained.fire, shots.notifications(target.hook), inputs // 10, number)
    target.figures.drained += drained.inputs
    target.figures.rows = drained.count_rows()


def _volley(fire: Callable[[Any], Any], strategy: Any, count: int, number: int) -> None:
    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def volley(shot: Any) -> None:
        fire(shot)

    volley()
