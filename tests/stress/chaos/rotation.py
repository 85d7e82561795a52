"""`bx24app keys rotate` is killed with calls in flight, again and again; then it runs to its end and the old key goes.

Run as a module it is such a rotation, which kills itself at the point that its argument numbers (`points`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet

from bx24app import create_app
from bx24app.config import load
from bx24app.operations import key_rotation
from tests.stress.chaos.points import arm
from tests.stress.chaos.processes import ROOT, ChaosStack

KILLED_AT = (1, 6, 11)
"""Points of the rotation: before its first commit, and between two later ones."""


def give_new_key(stack: ChaosStack) -> None:
    """All processes know the new key and the old one, as `docs/operator.md` says."""
    old = stack.world.config.encryption_keys
    _use_keys(stack, (Fernet.generate_key().decode(), *old))


def killed_while_rotating(stack: ChaosStack, seconds: float) -> None:
    """Kill three rotations, finish the fourth, and go on with the new key alone."""
    world = stack.world
    for at in KILLED_AT:
        time.sleep(seconds / 5)
        world.sandbox.call(world.sandbox.oauth.expire_tokens, world.portal)  # a worker writes secrets meanwhile
        done = _start(stack, "tests.stress.chaos.rotation", str(at))
        if done.returncode != -9:
            raise RuntimeError(f"the rotation was not killed: {done.returncode} {done.stderr[-500:]}")
    done = _start(stack, "bx24app.cli", "keys", "rotate")
    if done.returncode:
        raise RuntimeError(f"keys rotate ended with {done.returncode}: {done.stderr[-500:]}")
    _use_keys(stack, world.config.encryption_keys[:1])
    time.sleep(seconds / 5)


def _start(stack: ChaosStack, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(
        command, cwd=ROOT, env=stack.environment("old"), capture_output=True, text=True, timeout=60, check=False
    )


def _use_keys(stack: ChaosStack, keys: tuple[str, ...]) -> None:
    """Restart everything with these keys; the web process lives in this one and changes its own."""
    world = stack.world
    world.config = world.config.model_copy(update={"encryption_keys": keys})
    web = world.app.extensions["bx24app"]
    web.config, web.cipher = world.config, MultiFernet([Fernet(key) for key in keys])
    stack.reload()


def main() -> None:
    app = create_app(load())
    arm(int(sys.argv[1]), Path(os.environ["CHAOS_TRACE"]))
    with app.app_context():
        key_rotation.rotate_secrets()


if __name__ == "__main__":
    main()
