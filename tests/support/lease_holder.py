"""Forks worker processes that take one thing in hand, say so, and never end; tests kill them.

For each line on its input, a kind and environment variables as JSON, it forks one and prints its pid and its name; the
name is empty if the worker did not get the thing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from contextlib import ExitStack
from typing import NoReturn

from sqlalchemy.orm import configure_mappers

from bx24app import create_app
from bx24app.calls import click_to_call
from bx24app.calls.leases.heartbeat import start_heartbeat
from bx24app.calls.outbox import batches
from bx24app.calls.recordings import attempts
from bx24app.config import load
from bx24app.infra import circuit_breaker
from bx24app.infra.leases import STATISTICS, hold_lease, worker_name
from bx24app.infra.processes.child_process import die_with_parent
from bx24app.models import Recording, db
from bx24app.models.locking import portal_lock
from bx24app.portals import intents

PORTAL = 1


def take(kind: str, stack: ExitStack) -> bool:
    """Take this in hand as the program does. False: somebody else has it."""
    match kind:
        case "request" | "dial":
            with portal_lock(PORTAL) as (session, portal):
                assert portal is not None
                if kind == "dial":
                    return bool(click_to_call.claim_dial_orders(session, portal, 6))
                return bool(batches.claim(session, portal, shared=False)[0])
        case "recording" | "upload":
            attempt = attempts.claim_recording(db.session.query(Recording.id).scalar())
            if attempt is not None and kind == "upload":
                attempts.mark_attempted([attempt], attempted=True)
            return attempt is not None
        case "intent":
            stack.enter_context(intents.carry_out(PORTAL, "look"))
            return True
        case "trial":
            return circuit_breaker.of_portal(PORTAL).acquire_trial()
        case _:
            name = STATISTICS if kind == "statistics" else f"refresh:{PORTAL}"
            return stack.enter_context(hold_lease(name, wait_seconds=0, at_most=600))


def hold(kind: str) -> NoReturn:
    """In the fork: take it, print pid and name, wait to be killed."""
    app = create_app(load())
    start_heartbeat(app)
    with app.app_context(), ExitStack() as stack:
        print(os.getpid(), worker_name() if take(kind, stack) else "", flush=True)
        db.session.remove()
        time.sleep(600)
    os._exit(0)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps them, so that their pids disappear
    configure_mappers()
    print("ready", flush=True)
    while line := sys.stdin.readline():
        kind, environ = json.loads(line)
        parent = os.getpid()
        if os.fork() == 0:
            die_with_parent(parent)
            os.environ.update(environ)
            try:
                hold(kind)
            except BaseException:  # noqa: BLE001 - the test is waiting for a line
                traceback.print_exc()
                print(os.getpid(), flush=True)
                os._exit(1)


if __name__ == "__main__":
    main()
