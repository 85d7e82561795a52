"""Faults of a portal's life, against an answer's faults in faults.py: its grants revoked, its domain changed."""

from __future__ import annotations

import time

import requests

from tests.stress.chaos.processes import Arena
from tests.support.stack import until


def grants_revoked(arena: Arena, seconds: float) -> None:
    """Access and refresh tokens are dead until an administrator authorises again, as a browser walks it."""
    made = arena.world
    made.sandbox.call(made.sandbox.oauth.revoke_tokens, made.portal)
    until(lambda: made.portal_row()["trouble"], "no request met the revoked grant: nothing was tried", 60)
    time.sleep(seconds)
    start = requests.get(f"{made.url}/oauth/start?domain={made.portal.domain}", allow_redirects=False, timeout=20)
    back = requests.get(f"{start.headers['Location']}&sandbox_user=1", timeout=20)
    back.raise_for_status()


def domain_changed(arena: Arena, seconds: float) -> None:
    """Twice; what was the domain answers 302."""
    for _ in range(2):
        time.sleep(seconds / 2)
        mover = arena.world.portal.mover
        if mover is None:
            raise RuntimeError("the portal does not run")
        before = arena.world.portal.domain
        arena.world.sandbox.call(mover)
        if arena.world.portal.domain == before:
            raise RuntimeError("the domain is the same: nothing was tried")
