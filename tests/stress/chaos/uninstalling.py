"""The application is uninstalled with calls in flight, and installed again within the time for which what it knew is kept."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from tests.stress.chaos.calls import day_of
from tests.stress.chaos.processes import Arena
from tests.stress.chaos.run import AT_ONCE, _finish, _ready
from tests.stress.chaos.telling import tell_until_acknowledged
from tests.stress.chaos.verdict import Row
from tests.support.stack import until

NAME = "portal: uninstalled, then installed again"


def run(arena: Arena, count: int, seconds: float, patience: float = 300) -> Row:
    """Everything is told while the portal is too busy to take it; then the application goes. Nothing may be asked of the portal until it
    comes back, and then everything must be as if it had never been away."""
    day, made = day_of(count), arena.world
    row, hooks, before, predicted = _ready(arena, NAME, day)
    busy = made.sandbox.call(made.portal.switches.switch_on, "http503")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda call: tell_until_acknowledged(hooks[call.scene.office.key], call), day.calls))
    if not busy.hits:
        raise RuntimeError("no request met the busy portal: nothing was in flight")
    made.sandbox.call(made.portal.switches.switch_off)
    time.sleep(0.5)
    made.sandbox.call(made.portal.uninstall, made.application)
    until(lambda: made.portal_row()["state"] == "removed", "ONAPPUNINSTALL was not taken", 60)
    if not made.pending():
        raise RuntimeError("all was told before the application went: nothing was tried")
    time.sleep(2)  # what was on its way meets a portal that knows it no more
    asked = made.portal.hits
    time.sleep(seconds)
    if made.portal.hits != asked:
        row.wrong["else"] += 1
        row.details.append(f"{NAME}: {made.portal.hits - asked} requests to a portal that had uninstalled us")
    over = time.monotonic()
    made.install()
    _finish(arena, row, (day, predicted, before), patience)
    row.seconds = time.monotonic() - over
    return row
