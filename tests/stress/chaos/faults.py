"""The faults of `make chaos`. Each acts while calls are sent, and returns when it is over."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bx24app.sandbox.mango.rest import RestFault
from tests.stress.chaos.portal_life import domain_changed, grants_revoked
from tests.stress.chaos.processes import ChaosStack
from tests.stress.chaos.verdict import AIM_SECONDS

LOCKED_KEY_AIM_SECONDS = 135.0
"""Mango locks a key that gets a second answer 3xxx within two minutes of the first (D26, 1.4.1), "no such recording"
(3320) included, so nothing is asked earlier (`mango.key_guard`)."""
Act = Callable[[ChaosStack, float], None]
"""(stack, seconds that the fault may last)."""


@dataclass(frozen=True)
class Fault:
    """One fault. `before`: preparations before the first call is sent. `aim`: seconds to recover with real waits."""

    name: str
    act: Act
    before: Callable[[ChaosStack], None] | None = None
    aim: float = AIM_SECONDS


def nothing(_stack: ChaosStack, _seconds: float) -> None:
    """The control: the same calls without a fault."""


def killed(stack: ChaosStack, seconds: float) -> None:
    """Kill the worker at random moments, again and again."""
    # The same moments in every run.
    moments, end = random.Random(24), time.monotonic() + seconds
    worker = stack.parts[0]
    while time.monotonic() < end:
        time.sleep(moments.uniform(0.1, 1.5))
        stack.kill(worker)
        worker = stack.start("worker")
    stack.restart_parts()


def valkey_restarted(stack: ChaosStack, seconds: float) -> None:
    for _ in range(3):
        time.sleep(seconds / 6)
        stack.valkey.kill()
        time.sleep(seconds / 6)
        stack.valkey.start()


def valkey_flushed(stack: ChaosStack, seconds: float) -> None:
    for _ in range(6):
        time.sleep(seconds / 6)
        stack.valkey.flush()


def postgres_restarted(stack: ChaosStack, seconds: float) -> None:
    """Cut every connection, whatever it carries. The web process, the workers and the scheduler keep running."""
    if stack.postgres is None:
        raise RuntimeError("SQLite has no server to restart: run with --database postgresql")
    for _ in range(3):
        time.sleep(seconds / 3)
        stack.postgres.restart()


def portal(kind: str, stack: ChaosStack, seconds: float, method: str | None = None, times: int | None = None) -> None:
    switches = stack.world.portal.switches
    fault = stack.world.sandbox.call(switches.switch_on, kind, method=method, times=times)
    time.sleep(seconds)
    stack.world.sandbox.call(switches.switch_off)
    if not fault.hits:
        raise RuntimeError(f"no request met {kind}: nothing was tried")


def tokens_expire(stack: ChaosStack, seconds: float) -> None:
    """Expire the access tokens, but not so often that fresh ones are refused: that is another fault."""
    sandbox = stack.world.sandbox
    for _ in range(max(1, int(seconds / 3))):
        time.sleep(3)
        sandbox.call(sandbox.oauth.expire_tokens, stack.world.portal)


def mango(fault: RestFault, stack: ChaosStack, seconds: float) -> None:
    stack.world.mango.rest_faults = {"*": fault}
    time.sleep(seconds)
    stack.world.mango.rest_faults = {}


def two_schedulers(stack: ChaosStack, seconds: float) -> None:
    second = stack.start("cron")
    time.sleep(seconds)
    stack.kill(second)


def _portal(name: str, kind: str) -> Fault:
    return Fault(f"portal: {name}", partial(portal, kind))


FAULTS = (
    Fault("none (control)", nothing),
    Fault("worker killed at random moments", killed),
    Fault("Valkey killed, restarted empty, three times", valkey_restarted),
    Fault("Valkey flushed six times", valkey_flushed),
    Fault("PostgreSQL restarted three times", postgres_restarted),
    _portal("503", "http503"),
    _portal("429", "too_many"),
    _portal("500", "http500"),
    _portal("HTML instead of JSON", "html"),
    _portal("hangs before the effect", "hang"),
    _portal("hangs after the effect", "hang_after"),
    _portal("closes before the effect", "close_before"),
    _portal("closes after the effect", "close_after"),
    _portal("502 after the effect", "http502_after"),
    Fault("portal: access tokens expire every three seconds", tokens_expire),
    Fault("portal: grants revoked, then authorised again", grants_revoked),
    Fault("portal: domain changed twice", domain_changed),
    Fault("Mango: 429", partial(mango, RestFault("http", 429))),
    Fault("Mango: 500", partial(mango, RestFault("http", 500))),
    Fault("Mango: 3102 (wrong signature)", partial(mango, RestFault("code", 3102)), aim=LOCKED_KEY_AIM_SECONDS),
    Fault("two schedulers at once", two_schedulers),
)
