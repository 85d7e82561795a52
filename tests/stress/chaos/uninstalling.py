"""The app is uninstalled with calls in flight, and installed again before its stored data is deleted."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from tests.stress.chaos.calls import day_of
from tests.stress.chaos.processes import ChaosStack
from tests.stress.chaos.run import AT_ONCE, _finish, _ready
from tests.stress.chaos.sending import send_until_acknowledged
from tests.stress.chaos.verdict import Row
from tests.support.stack import until

NAME = "portal: uninstalled, then installed again"


def run(stack: ChaosStack, count: int, seconds: float, patience: float = 300) -> Row:
    """Send all calls while the portal is too busy, then uninstall the app.

    The app may send no request to the portal until it is installed again. After that everything must be as if it had
    never been away.
    """
    day, world = day_of(count), stack.world
    row, hooks, before, predicted = _ready(stack, NAME, day)
    busy = world.sandbox.call(world.portal.switches.switch_on, "http503")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda call: send_until_acknowledged(hooks[call.scene.office.key], call), day.calls))
    if not busy.hits:
        raise RuntimeError("no request met the busy portal: nothing was in flight")
    world.sandbox.call(world.portal.switches.switch_off)
    time.sleep(0.5)
    world.sandbox.call(world.portal.uninstall, world.application)
    until(lambda: world.portal_row()["state"] == "removed", "ONAPPUNINSTALL was not taken", 60)
    if not world.pending():
        raise RuntimeError("everything was delivered before the app was uninstalled: nothing was tried")
    time.sleep(2)  # requests that are still under way reach a portal without the app
    hits = world.portal.hits
    time.sleep(seconds)
    if world.portal.hits != hits:
        row.wrong["else"] += 1
        row.details.append(f"{NAME}: {world.portal.hits - hits} requests to a portal that had uninstalled us")
    installed_at = time.monotonic()
    world.install()
    _finish(stack, row, (day, predicted, before), patience)
    row.seconds = time.monotonic() - installed_at
    return row
