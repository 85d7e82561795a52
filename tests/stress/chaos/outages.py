"""Faults of `make chaos` in which a machine or a server is away for a while: frozen, killed together, out of memory."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import redis

from bx24app.models import Delivery, db
from tests.stress.chaos.fork_server import ELSEWHERE
from tests.stress.chaos.processes import ChaosStack
from tests.support.stack import until

FROZEN, AWAY = 4, 2
"""How many times the usual duration of 15 s: a minute, half a minute."""
LATENCY_SECONDS = 1.0
"""Of the portal, so that a frozen host has requests in hand."""


def start_other_host(stack: ChaosStack) -> None:
    """A worker that shares no file with the usual one, as if on another machine."""
    stack.start("worker", place=ELSEWHERE)
    stack.cleanup.callback(stack.restart_parts)


def host_frozen(stack: ChaosStack, seconds: float) -> None:
    """Stop the other host with requests in hand, until its lease has been taken over; then let it go on."""
    host, portal = stack.parts[-1], stack.world.portal
    portal.latency, usual = LATENCY_SECONDS, portal.latency
    try:
        held = _freeze_with_requests(stack, host)
        time.sleep(FROZEN * seconds)
        left = [row for row in _sent_by(stack, host) if row in held]
    finally:
        portal.latency = usual
        os.kill(host, signal.SIGCONT)
    if left and FROZEN * seconds >= 60:
        raise RuntimeError(f"nobody took over from the frozen host: {left}")


def _freeze_with_requests(stack: ChaosStack, host: int) -> list[int]:
    """Stop the host when it has sent a request that is not answered yet. Returns the deliveries in hand."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        until(lambda: _sent_by(stack, host), "the host never sent anything: nothing was tried", 60)
        os.kill(host, signal.SIGSTOP)
        time.sleep(0.2)  # what was about to be stored is stored
        if held := _sent_by(stack, host):
            return held
        os.kill(host, signal.SIGCONT)
    raise RuntimeError("the host was never stopped with a request in hand: nothing was tried")


def _sent_by(stack: ChaosStack, host: int) -> list[int]:
    with stack.world.app.app_context():
        owned = Delivery.owner.like(f"%-{host}-%")
        rows = [row.id for row in db.session.query(Delivery.id).filter(Delivery.state == "sent", owned)]
        db.session.rollback()
    return rows


def start_second_worker(stack: ChaosStack) -> None:
    stack.start("worker")
    stack.cleanup.callback(stack.restart_parts)


def workers_killed_at_once(stack: ChaosStack, seconds: float) -> None:
    """Kill all workers in the same moment, three times; both follow after the supervisor's first pause."""
    workers = [stack.parts[0], stack.parts[-1]]
    for _ in range(3):
        time.sleep(seconds / 3)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        for pid in workers:
            stack.kill(pid)
        time.sleep(0.2)
        workers = [stack.start("worker"), stack.start("worker")]


def valkey_out_of_memory(stack: ChaosStack, seconds: float) -> None:
    """Valkey refuses every command that needs memory (`noeviction`); then it has memory again. Nobody may die of it."""
    with redis.Redis.from_url(stack.valkey.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        try:
            _must_refuse(lambda: client.set("chaos", "1"))
            time.sleep(seconds)
        finally:
            client.config_set("maxmemory", "0")
    if dead := [pid for pid in stack.parts if not stack.lives(pid)]:
        raise RuntimeError(f"processes ended while Valkey had no memory: {dead}")


def _must_refuse(write: Callable[[], object]) -> None:
    try:
        write()
    except redis.ResponseError as error:
        if "maxmemory" in str(error):
            return
        raise
    raise RuntimeError("Valkey still took a key: nothing was tried")


def postgres_away(stack: ChaosStack, seconds: float) -> None:
    """PostgreSQL is stopped for half a minute. The web process, the workers and the scheduler keep running."""
    if stack.postgres is None:
        raise RuntimeError("SQLite has no server to stop: run with --database postgresql")
    time.sleep(seconds / 3)
    stack.postgres.stop()
    try:
        time.sleep(AWAY * seconds)
    finally:
        stack.postgres.start()
    if dead := [pid for pid in stack.parts if not stack.lives(pid)]:
        raise RuntimeError(f"processes ended while PostgreSQL was away: {dead}")
