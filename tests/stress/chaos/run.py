"""One fault from the first notification to the verdict, and the points between two side effects one by one."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from bx24app.models import Call, Delivery, db
from tests.end_to_end.test_random_calls import connect, in_journal, sizes
from tests.stress.chaos.calls import day_of
from tests.stress.chaos.faults import Fault
from tests.stress.chaos.processes import Arena
from tests.stress.chaos.telling import tell_until_acknowledged
from tests.stress.chaos.verdict import Row, judge
from tests.support.offices import Outcome, predict
from tests.support.random_calls import Day, Told
from tests.support.stack import until

AT_ONCE = 8
"""Calls that are told at the same time; all of a day are in flight until the fault is over."""
MOST_POINTS = 200


class NotAtRest(RuntimeError):
    """A day may begin only when nothing of another one is in flight: the verdict compares what the portal holds before and after."""


def run(arena: Arena, fault: Fault, count: int, seconds: float, patience: float = 300) -> Row:
    """So many calls are told while the fault acts; then everything must come to rest and be as the model says."""
    day = day_of(count)
    if fault.before is not None:
        fault.before(arena)
    row, hooks, before, predicted = _ready(arena, fault.name, day)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        telling = [pool.submit(tell_until_acknowledged, hooks[call.scene.office.key], call, arena.other_web) for call in day.calls]
        fault.act(arena, seconds)
        for one in telling:
            one.result()
        over = time.monotonic()  # the later of the fault's end and the last notification
    _finish(arena, row, (day, predicted, before), patience)
    row.seconds = time.monotonic() - over
    return row


def _ready(arena: Arena, name: str, day: Day) -> tuple[Row, dict[str, str], dict[str, int], list[Outcome]]:
    if arena.world.pending():
        raise NotAtRest(f"calls of an earlier day are still in flight, so {name} would count them as its own: {arena.world.pending()}")
    hooks = connect(arena.world, day)
    before: dict[str, int] = arena.world.sandbox.call(sizes, arena.world)
    return Row(name, len(day.calls)), hooks, before, [predict(told.scene, day.ways, told.known) for told in day.calls]


def _finish(arena: Arena, row: Row, of_day: tuple[Day, list[Outcome], dict[str, int]], patience: float) -> None:
    day, predicted, before = of_day
    if not arena.settle(patience):
        row.wrong["else"] += 1
        row.details.append(f"{row.fault}: never came to rest: {arena.world.pending()}")
    arena.world.sandbox.call(judge, arena.world, row, day, predicted, before)
    row.details = [f"{detail}\n{_told(arena, detail)}" if ":day" in detail else detail for detail in row.details]
    wrong = in_journal(arena.world, day, predicted)
    row.wrong["else"] += len(wrong)
    row.details += [f"{row.fault}: {one}" for one in wrong]


def _told(arena: Arena, detail: str) -> str:
    """What the program said to the portal of a call that went wrong: one line a command."""
    entry = detail.split(":day", 1)[1].split()[0]
    with arena.world.app.app_context():
        call = db.session.query(Call).filter(Call.entry_id == f"day{entry}").first()
        rows = db.session.query(Delivery).filter_by(call_id=call.id).order_by(Delivery.id).all() if call is not None else []
        said = [
            f"  {row.id} {row.kind} {row.state} user {row.command.get('user_id')} {row.attempts} tries, sent {row.sent_at}, done {row.done_at}"
            f" {row.code or ''} {row.reason or ''} {row.answer}"
            for row in rows
        ]
        db.session.rollback()
    return "\n".join(said)


def points(arena: Arena, step: int = 1, patience: float = 90) -> tuple[Row, int]:
    """A worker that kills itself at the 1st, 1+step-th, … point of an answered call's life, each time with a call of its own.

    Returns the row, and how many points such a call has: the first number that its worker survives.
    """
    total, at = Row("worker killed at each point between two side effects", 0), 1
    while at < MOST_POINTS:
        row, died = _point(arena, at, patience)
        total.calls += 1
        total.wrong.update(row.wrong)
        total.seconds = max(total.seconds, row.seconds)
        total.details += [f"point {at} ({_last(arena)}): {one}" for one in row.details]
        if not died:
            break
        at += step
    total.fault += f" ({at - 1} points)" if step == 1 else f" (every {step}th)"
    arena.kill_all()  # the last one, that survived its call, is still armed
    arena.start("worker")
    arena.start("cron")
    return total, at - 1


def _point(arena: Arena, at: int, patience: float) -> tuple[Row, bool]:
    """One call, one worker with its death; then a worker and a scheduler that live."""
    day = _answered()
    arena.kill_all()
    row, hooks, before, predicted = _ready(arena, "point", day)
    arena.trace.unlink(missing_ok=True)
    arena.valkey.flush()
    armed = arena.start("worker", at)
    for told in day.calls:
        tell_until_acknowledged(hooks[told.scene.office.key], told)
    arena.start("cron")
    until(lambda: not arena.lives(armed) or not arena.world.pending(), "neither dead nor done", patience)
    died, over = not arena.lives(armed), time.monotonic()
    if died:
        arena.start("worker")
    _finish(arena, row, (day, predicted, before), patience)
    row.seconds = time.monotonic() - over
    return row, died


def _answered() -> Day:
    """A day of one call: a client whom nobody knows is talked with, a record is made, a recording attached; in the order of time."""
    day = day_of(30)
    for told in day.calls:
        scene = told.scene
        if scene.direction == 1 and scene.number and scene.talked and not told.known and len(scene.recordings) == 1:
            return Day(day.ways, [Told(scene, None, scene.sent)])
    raise RuntimeError("no answered call was drawn")


def _last(arena: Arena) -> str:
    lines = arena.trace.read_text().splitlines() if arena.trace.exists() else []
    return lines[-1] if lines else "nothing"
