"""Runs one fault from the first notification to the verdict, or kills a worker between each two side effects."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor

from bx24app.models import Call, Delivery, db
from tests.end_to_end.test_random_calls import connect, in_journal, sizes
from tests.stress.chaos.calls import day_of
from tests.stress.chaos.faults import Fault
from tests.stress.chaos.processes import ChaosStack
from tests.stress.chaos.sending import send_until_acknowledged
from tests.stress.chaos.verdict import AIM_SECONDS, Row, judge
from tests.support.offices import Outcome, predict
from tests.support.random_calls import Day, DrawnCall
from tests.support.stack import until

AT_ONCE = 8
"""Calls that are sent at the same time."""
MOST_POINTS = 200
POINTS = "worker killed at each point between two side effects"


class NotAtRest(RuntimeError):
    """Calls of an earlier day are still in flight.

    A day may not begin then, because the verdict compares the portal's data before and after.
    """


def run(stack: ChaosStack, fault: Fault, count: int, seconds: float, patience: float = 300) -> Row:
    """Send `count` calls while the fault acts. Then everything must settle and agree with the model.

    With real waits it must also settle within `fault.aim` after the fault.
    """
    with stack.cleanup:
        return _run(stack, fault, day_of(count), (seconds, patience))


def _run(stack: ChaosStack, fault: Fault, day: Day, times: tuple[float, float]) -> Row:
    if fault.before is not None:
        fault.before(stack)
    row, hooks, before, predicted = _ready(stack, fault.name, day)
    row.aim = fault.aim if stack.waits == "real" else math.inf
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sending = [
            pool.submit(send_until_acknowledged, hooks[call.scene.office.key], call, stack.other_web)
            for call in day.calls
        ]
        fault.act(stack, times[0])
        for future in sending:
            future.result()
        over = time.monotonic()  # the fault has ended and the last notification is sent
    patience = times[1] if row.aim == math.inf else max(times[1], row.aim)
    _finish(stack, row, (day, predicted, before), patience)
    row.seconds = time.monotonic() - over
    return row


def _ready(stack: ChaosStack, name: str, day: Day) -> tuple[Row, dict[str, str], dict[str, int], list[Outcome]]:
    if stack.world.pending():
        raise NotAtRest(
            f"calls of an earlier day are in flight, {name} would count them as its own: {stack.world.pending()}"
        )
    hooks = connect(stack.world, day)
    before: dict[str, int] = stack.world.sandbox.call(sizes, stack.world)
    row = Row(name, len(day.calls), aim=AIM_SECONDS if stack.waits == "real" else math.inf)
    return row, hooks, before, [predict(call.scene, day.ways, call.known) for call in day.calls]


def _finish(stack: ChaosStack, row: Row, of_day: tuple[Day, list[Outcome], dict[str, int]], patience: float) -> None:
    day, predicted, before = of_day
    if not stack.settle(patience):
        row.wrong["else"] += 1
        row.details.append(f"{row.fault}: did not settle: {stack.world.pending()}")
    stack.world.sandbox.call(judge, stack.world, row, day, predicted, before)
    row.details = [f"{detail}\n{_command_log(stack, detail)}" if ":day" in detail else detail for detail in row.details]
    wrong = in_journal(stack.world, day, predicted)
    row.wrong["else"] += len(wrong)
    row.details += [f"{row.fault}: {difference}" for difference in wrong]


def _command_log(stack: ChaosStack, detail: str) -> str:
    """The deliveries of a call that went wrong, one line for each."""
    entry = detail.split(":day", 1)[1].split()[0]
    with stack.world.app.app_context():
        call = db.session.query(Call).filter(Call.entry_id == f"day{entry}").first()
        rows = (
            db.session.query(Delivery).filter_by(call_id=call.id).order_by(Delivery.id).all()
            if call is not None
            else []
        )
        lines = [
            f"  {row.id} {row.kind} {row.state} user {row.command.get('user_id')} {row.attempts} tries,"
            f" sent {row.sent_at}, done {row.done_at} {row.code or ''} {row.reason or ''} {row.answer}"
            for row in rows
        ]
        db.session.rollback()
    return "\n".join(lines)


def points(stack: ChaosStack, step: int = 1, patience: float = 90) -> tuple[Row, int]:
    """Kill a worker at the 1st, 1+step-th, … point of an answered call's life, each time with a new call.

    Returns the row and how many points such a call has: the first number that its worker survives.
    """
    total, at = Row(POINTS, 0), 1
    total.aim = AIM_SECONDS if stack.waits == "real" else math.inf
    while at < MOST_POINTS:
        row, died = _point(stack, at, patience)
        total.calls += 1
        total.wrong.update(row.wrong)
        total.seconds = max(total.seconds, row.seconds)
        total.details += [f"point {at} ({_last(stack)}): {detail}" for detail in row.details]
        if not died:
            break
        at += step
    total.fault += f" ({at - 1} points)" if step == 1 else f" (every {step}th)"
    stack.restart_parts()  # the last worker survived its call and is still armed
    return total, at - 1


def _point(stack: ChaosStack, at: int, patience: float) -> tuple[Row, bool]:
    """Send one call to a worker that kills itself at point `at`; then let a new worker and a scheduler finish it."""
    day = _answered()
    stack.kill_all()
    row, hooks, before, predicted = _ready(stack, "point", day)
    stack.trace.unlink(missing_ok=True)
    stack.valkey.flush()
    armed = stack.start("worker", at)
    for call in day.calls:
        send_until_acknowledged(hooks[call.scene.office.key], call)
    stack.start("cron")
    until(lambda: not stack.lives(armed) or not stack.world.pending(), "the worker neither died nor finished", patience)
    died, over = not stack.lives(armed), time.monotonic()
    if died:
        stack.start("worker")
    _finish(stack, row, (day, predicted, before), patience)
    row.seconds = time.monotonic() - over
    return row, died


def _answered() -> Day:
    """A day with one answered call of an unknown client that creates a record and attaches a recording.

    Its notifications are in order of time.
    """
    day = day_of(30)
    for call in day.calls:
        scene = call.scene
        if scene.direction == 1 and scene.number and scene.talked and not call.known and len(scene.recordings) == 1:
            return Day(day.ways, [DrawnCall(scene, None, scene.sent)])
    raise RuntimeError("no answered call was drawn")


def _last(stack: ChaosStack) -> str:
    lines = stack.trace.read_text().splitlines() if stack.trace.exists() else []
    return lines[-1] if lines else "nothing"
