"""Sends bad inputs to a target, shared out over everything that answers HTTP."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.stress.fuzz import shots
from tests.stress.fuzz.target import FuzzTarget, Shot


def run(target: FuzzTarget, inputs: int, number: int = 0) -> None:
    """Fire about `inputs` requests; the same `number` gives the same ones.

    Raises:
        tests.stress.fuzz.target.Wrong: an answer was wrong; its text has the request.
    """
    operations = shots.operations()
    apart = [shots.notifications(target.hook), _events(target), shots.strangers()]
    share = inputs // 4
    _volley(target, apart[0], share, number)
    _volley(target, apart[1], share // 3, number)
    _volley(target, apart[2], share // 3, number)
    each = max(1, (inputs - share - 2 * (share // 3)) // (2 * len(operations)))
    for operation in operations:
        _volley(target, shots.forms(operation), each, number)
        _volley(target, shots.described(operation), each, number)


def _events(target: FuzzTarget) -> Any:
    portal = target.world.portal
    token = next(iter(portal.apps.values())).application_token
    return shots.events(portal.member_id, str(token))


def _volley(target: FuzzTarget, strategy: Any, count: int, number: int) -> None:
    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def volley(shot: Shot) -> None:
        target.fire(shot)

    volley()
