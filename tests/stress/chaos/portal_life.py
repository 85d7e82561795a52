"""Faults in the life of a portal: its grants are revoked, its domain changes. `faults` has those of single answers."""

from __future__ import annotations

import time

import requests

from tests.stress.chaos.processes import ChaosStack
from tests.support.stack import until


def grants_revoked(stack: ChaosStack, seconds: float) -> None:
    """Access and refresh tokens are invalid until an administrator authorises the app again with a browser."""
    world = stack.world
    world.sandbox.call(world.sandbox.oauth.revoke_tokens, world.portal)
    until(lambda: world.portal_row()["trouble"], "no request met the revoked grant: nothing was tried", 60)
    time.sleep(seconds)
    start = world.start_authorisation()
    back = requests.get(f"{start.headers['Location']}&sandbox_user=1", timeout=20)
    back.raise_for_status()


def domain_changed(stack: ChaosStack, seconds: float) -> None:
    """Change the domain twice; the old domain answers 302."""
    for _ in range(2):
        time.sleep(seconds / 2)
        mover = stack.world.portal.mover
        if mover is None:
            raise RuntimeError("the portal does not run")
        before = stack.world.portal.domain
        stack.world.sandbox.call(mover)
        if stack.world.portal.domain == before:
            raise RuntimeError("the domain is the same: nothing was tried")
