"""Faults of another tenant: its portal answers after 20 s, or never, while the day's calls must go on as ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from bx24app.models import Delivery, Notification, db
from bx24app.sandbox.bitrix.state import User
from tests.conftest import KEY, SALT
from tests.end_to_end.test_two_portals import SCENARIO, TALKERS, document
from tests.stress.chaos.processes import ChaosStack
from tests.support.replayed_scenario import absorb, as_new_call, post
from tests.support.stack import until

NUMBER, CALLS = 1, 12
"""The other tenant's portal in the sandbox, and how many calls it has: more than a worker has threads."""
SLOW_SECONDS = {"real": 20.5, "short": 2.5}
"""By the stack's waits: more than counts as slow, less than the time-out."""
SLOW_METHODS = ("telephony.externalcall.register", "telephony.externalcall.attachrecord")
PATIENCE_SECONDS = 90


def move_in(stack: ChaosStack) -> None:
    """Install the application in the other tenant's portal; its PBX is its own."""
    world = stack.world
    portal = world.sandbox.portals[NUMBER]
    if world.portal_row(NUMBER)["state"] == "active":
        return
    portal.limits.rate, portal.license = 0, "selfhosted"
    for user in TALKERS[NUMBER]:
        portal.users[user] = User(id=user, name="Worker", last_name=str(user), email=f"u{user}@portal.test")
    world.sandbox.call(world.mango.add_pbx, api_key=KEY, api_salt=SALT, name="neighbour")
    world.install(number=NUMBER)


def slow(stack: ChaosStack, seconds: float) -> None:
    """The other portal is always right, after 20 s."""
    portal = stack.world.sandbox.portals[NUMBER]
    with _calls_of_neighbour(stack, seconds):
        portal.latencies = dict.fromkeys(SLOW_METHODS, SLOW_SECONDS[stack.waits])
    portal.latencies = {}


def hanging(stack: ChaosStack, seconds: float) -> None:
    """The other portal answers nothing."""
    switches = stack.world.sandbox.portals[NUMBER].switches
    with _calls_of_neighbour(stack, seconds):
        fault = stack.world.sandbox.call(switches.switch_on, "hang")
    stack.world.sandbox.call(switches.switch_off)
    if not fault.hits:
        raise RuntimeError("no request met the hanging portal: nothing was tried")


@contextmanager
def _calls_of_neighbour(stack: ChaosStack, seconds: float) -> Iterator[None]:
    """Send the neighbour's calls after the block, which begins the fault. The day's must be delivered meanwhile."""
    yield
    world = stack.world
    hook = world.connect(document(NUMBER, "SECOND"), {"moscow": (KEY, SALT)}, NUMBER)["moscow"]
    for _ in range(CALLS):
        call = as_new_call(SCENARIO)
        world.sandbox.call(absorb, world.mango, call.notices)
        for notice in call.notices:
            assert post(hook, notice) == 200
    time.sleep(seconds)
    until(lambda: not _count_open(stack), "the day's calls wait for another tenant's portal", PATIENCE_SECONDS)


def _count_open(stack: ChaosStack) -> int:
    """Notifications and deliveries of the day's own portal that wait."""
    portal_id = stack.world.portal_row()["id"]
    with stack.world.app.app_context():
        count = db.session.query(Notification).filter_by(portal_id=portal_id, state="new").count()
        waiting = Delivery.state.in_(("waiting", "sent"))
        count += db.session.query(Delivery).filter(Delivery.portal_id == portal_id, waiting).count()
        db.session.rollback()
        return count
