"""Deaths of workers with something in hand, with the program's real waits: how long until it goes on.

A worker kills itself at a named point (`points`). On the same machine another one follows after the supervisor's first
pause; on a lost machine nobody follows, and a worker elsewhere has to notice. The clock runs from the death until the
thing is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from sqlalchemy import func, select, update

from bx24app.domain.settings import LineSettings
from bx24app.infra import circuit_breaker
from bx24app.models import Call, Delivery, FigureMark, Grant, Recording, db, utcnow
from bx24app.portals import lifecycle
from tests.stress.chaos.fork_server import ELSEWHERE
from tests.stress.chaos.processes import ChaosStack, chaos_stack
from tests.stress.chaos.run import _answered, _finish, _ready
from tests.stress.chaos.sending import send_until_acknowledged
from tests.stress.chaos.verdict import SIGNS, Row
from tests.support.click_offices import ANNA, DOCUMENT, KEYS, number, offices
from tests.support.stack import until

HEAD = "| a worker dies | lost | doubled | wrong user | wrong recording | otherwise wrong | seconds to go on | aim |"
FIRST_PAUSE_SECONDS = 0.2
"""The supervisor's, before it starts a worker again that has died once."""
HERE_SECONDS, ELSEWHERE_SECONDS, FLUSH_SECONDS = 15, 60, 75
"""The aims."""
PATIENCE_SECONDS = 150.0
CLICK = "after Mango was asked to dial a click"
FLUSH = "(none dies; Valkey is flushed after a save: until the portal has the line)"
IsDone = Callable[[], bool]


@dataclass(frozen=True)
class Death:
    """`words` name the point; `prepare` and `is_done` run in the app's context of the test process."""

    name: str
    words: str
    is_done: Callable[[], bool]
    prepare: Callable[[], None] = field(default=lambda: None)
    is_machine_lost: bool = False


def _delivery_done(key: str) -> IsDone:
    """Of the newest call."""
    newest = select(func.max(Call.id)).scalar_subquery()
    return lambda: _newest(select(Delivery.state).where(Delivery.key == key, Delivery.call_id == newest)) == "done"


def _newest(query: object) -> object:
    value = db.session.scalar(query.limit(1))  # type: ignore[attr-defined]
    db.session.rollback()
    return value


def _recording_attached() -> bool:
    return _newest(select(Recording.state).order_by(Recording.id.desc())) == "attached"


def _expire_token() -> None:
    db.session.execute(update(Grant).values(expires_at=utcnow() - timedelta(seconds=1)))
    db.session.commit()


def _trip_circuit() -> None:
    breaker = circuit_breaker.of_portal(1)
    for _ in range(circuit_breaker.FAILURE_THRESHOLD):
        breaker.record_failure()


def _forget_statistics() -> None:
    now = utcnow()
    db.session.merge(FigureMark(portal_id=1, at=now - timedelta(days=1), changed_at=now, zone="", day=None))
    db.session.commit()


def _statistics_counted() -> bool:
    just_now = utcnow() - timedelta(hours=1)
    return _newest(select(FigureMark.portal_id).where(FigureMark.portal_id == 1, FigureMark.at > just_now)) is not None


DEATHS = (
    Death("after the portal registered a call", "telephony.externalCall.register: answered", _delivery_done("finish")),
    Death("after the portal finished a call", "with a finish: answered", _delivery_done("finish")),
    Death("after a recording was attached", "attachRecord: answered", _recording_attached),
    Death("with the lease of a refresh", "refresh: lease taken", _delivery_done("register"), _expire_token),
    Death("with the trial of a circuit", "trial: lease taken", _delivery_done("register"), _trip_circuit),
    Death("with the lease of the statistics", "statistics: lease taken", _statistics_counted, _forget_statistics),
    Death(
        "and its machine is lost, after the portal finished a call",
        "with a finish: answered",
        _delivery_done("finish"),
        is_machine_lost=True,
    ),
)


def run_death(stack: ChaosStack, death: Death) -> Row:
    """One call whose worker dies at the point of `death`."""
    day = _answered()
    stack.kill_all()
    stack.valkey.flush()
    row, hooks, before, predicted = _ready(stack, death.name, day)
    stack.trace.unlink(missing_ok=True)
    with stack.world.app.app_context():
        death.prepare()
    if death.is_machine_lost:
        stack.start("worker", place=ELSEWHERE, words=death.words)
        armed = stack.parts[-1]
    else:
        armed = stack.start("worker", words=death.words)
    stack.start("cron")
    for call in day.calls:
        send_until_acknowledged(hooks[call.scene.office.key], call)
    until(lambda: not stack.lives(armed), "the worker did not die", PATIENCE_SECONDS)
    _go_on(stack, row, death.is_done)
    _finish(stack, row, (day, predicted, before), PATIENCE_SECONDS)
    return row


def _go_on(stack: ChaosStack, row: Row, is_done: IsDone) -> None:
    died_at = time.monotonic()
    time.sleep(FIRST_PAUSE_SECONDS)
    stack.start("worker")
    with stack.world.app.app_context():
        until(is_done, f"{row.fault}: it does not go on", PATIENCE_SECONDS)
    row.seconds = time.monotonic() - died_at


def run_click(stack: ChaosStack) -> Row:
    """A click whose worker dies after Mango was asked to dial: it is dialled once, and its call ends."""
    row, both = Row(CLICK, 1), offices(stack.world)
    both.plan()
    stack.kill_all()
    armed = stack.start("worker", words="commands/callback: answered")
    stack.start("cron")
    client = number()
    both.click(ANNA, client)
    until(lambda: not stack.lives(armed), "the worker did not die", PATIENCE_SECONDS)
    _go_on(stack, row, lambda: both.dial(client)[0] == "done")
    both.finished(client)
    row.wrong["doubled"] += len(both.dialled(client)) - 1
    return row


def _lines(stack: ChaosStack) -> set[str]:
    return {line.number for line in list(stack.world.portal.lines.values())}


def run_flush(stack: ChaosStack) -> Row:
    """Settings with new lines are saved, and Valkey is flushed before a worker takes the job."""
    row, world = Row(FLUSH, 1), stack.world
    stack.kill_all()
    line = LineSettings(number="74990000099", name="After a flush")
    document = DOCUMENT.model_copy(update={"pbxs": (DOCUMENT.pbxs[0].model_copy(update={"lines": (line,)}),)})
    world.connect(document, KEYS)
    saved_at = time.monotonic()
    with world.app.app_context():
        lifecycle.queue_line_sync(world.portal_row()["id"])
    stack.valkey.flush()
    stack.start("worker")
    stack.start("cron")
    until(lambda: line.number in _lines(stack), "the line never comes", PATIENCE_SECONDS)
    row.seconds = time.monotonic() - saved_at
    return row


def describe(row: Row, aim: int) -> str:
    cells = [row.fault, *(row.wrong[sign] for sign in SIGNS), f"{row.seconds:.0f}", aim]
    return "| " + " | ".join(map(str, cells)) + " |"


def run_all(database: str, only: str = "") -> list[Row]:
    """All whose name contains `only`, on a stack of their own with real waits; prints the table."""
    runs: list[tuple[str, int, Callable[[ChaosStack], Row]]] = [
        (death.name, ELSEWHERE_SECONDS if death.is_machine_lost else HERE_SECONDS, partial(run_death, death=death))
        for death in DEATHS
    ]
    runs += [(CLICK, HERE_SECONDS, run_click), (FLUSH, FLUSH_SECONDS, run_flush)]
    chosen = [(aim, run) for name, aim, run in runs if only in f"death: {name}"]
    if not chosen:
        return []
    rows = []
    print(f"\n{HEAD}\n|{' --- |' * 8}", flush=True)
    with chaos_stack(database, waits="real") as stack:
        for aim, run in chosen:
            rows.append(run(stack))
            rows[-1].aim = aim
            print(describe(rows[-1], aim), flush=True)
    return rows
