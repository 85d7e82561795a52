"""Background work of a portal that must not be lost: each piece is a row (`models.intents`) until it is done.

Use cases `ask` in the transaction that makes the work necessary and `ring` after its commit. `jobs` carries the work
out inside `carry_out`, which removes the row, or leaves it for a later try. The sweep calls `ring_due`: a job that was
lost with Redis or with its worker is queued again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import and_, delete, or_, select, update

from bx24app.infra import queue
from bx24app.infra.leases import worker_name
from bx24app.infra.queue import JOB_TIMEOUT_SECONDS
from bx24app.models import Portal, db, utcnow
from bx24app.models.intents import RING_AFTER, Intent, add_intent
from bx24app.models.patience import is_database_away, store_patiently

LONGEST_PAUSE = timedelta(hours=1)
"""Between two rings of a job that is never carried out; the time doubles from `RING_AFTER`."""
AFTER_ERROR, AFTER_OUTAGE = timedelta(minutes=10), timedelta(seconds=5)
"""When a job that raised something unforeseen runs again, and one that met the database away."""
ROWS_PER_ROUND = 200
"""Intents that one sweep queues."""
_WITHOUT_THE_PORTAL = ("try_again",)
"""Jobs that change only our own rows, so that they run in any state of the installation."""


@dataclass(slots=True)
class Attempt:
    """One run of the job. `retry_after`: it is not done yet and wants to run again after this; None: it is done."""

    retry_after: timedelta | None = None


def ask(portal_id: int, job: str, *, delay: timedelta = timedelta(0), user_id: int | None = None) -> None:
    """Write down that `bx24app.jobs.<job>` has to run for the portal. The caller commits, then calls `ring`."""
    add_intent(db.session, portal_id, job, delay=delay, user_id=user_id)


def ring(portal_id: int, job: str, *, delay: timedelta = timedelta(0), user_id: int | None = None) -> None:
    """Queue the job, `delay` from now. Does not raise if Redis does not answer: then the sweep rings."""
    arguments = (portal_id,) if user_id is None else (portal_id, user_id)
    queue.enqueue_background(job, *arguments, when=utcnow() + delay if delay else None)


@contextmanager
def carry_out(portal_id: int, job: str) -> Iterator[Attempt]:
    """Run the job inside this. Afterwards the row is gone, unless the attempt wants another try, raised, or somebody
    asked again meanwhile.

    A worker that dies in between is noticed (`calls.leases`), and the sweep rings.
    """
    mine = (Intent.portal_id == portal_id, Intent.job == job)
    asked_at = db.session.scalar(select(Intent.asked_at).where(*mine))
    limit = utcnow() + timedelta(seconds=JOB_TIMEOUT_SECONDS)
    db.session.execute(update(Intent).where(*mine).values(due_at=limit, owner=worker_name(), tries=0))
    db.session.commit()
    attempt = Attempt()
    try:
        yield attempt
    except BaseException as error:
        db.session.rollback()
        pause = AFTER_OUTAGE if is_database_away(error) else AFTER_ERROR
        store_patiently(lambda: _leave_for_later(portal_id, job, pause))
        raise

    def store() -> None:
        if attempt.retry_after is None:
            db.session.execute(delete(Intent).where(*mine, Intent.asked_at == asked_at))
        _leave_for_later(portal_id, job, attempt.retry_after or timedelta(0))

    store_patiently(store)


def _leave_for_later(portal_id: int, job: str, pause: timedelta) -> None:
    """What is left of the intent is nobody's now and due after `pause`."""
    mine = (Intent.portal_id == portal_id, Intent.job == job)
    db.session.execute(update(Intent).where(*mine).values(due_at=utcnow() + pause, owner=None))
    db.session.commit()
    db.session.remove()


def ring_due() -> None:
    """Queue the jobs that are due: their first job was lost, or their next try has come.

    An installation that cannot be asked now keeps its intents; they ring when it is active again.
    """
    now = utcnow()
    query = (
        select(Intent.portal_id, Intent.job, Intent.user_id, Intent.tries, Intent.asked_at)
        .join(Portal, Portal.id == Intent.portal_id)
        .where(Intent.due_at <= now)
        .where(
            or_(
                Portal.state.in_(("active", "pending")),
                and_(Intent.job.in_(_WITHOUT_THE_PORTAL), Portal.state != "removed"),
            )
        )
        .order_by(Intent.due_at)
        .limit(ROWS_PER_ROUND)
    )
    rows = db.session.execute(query).all()
    for row in rows:
        again = now + min(RING_AFTER * 2 ** min(row.tries, 6), LONGEST_PAUSE)
        mine = (Intent.portal_id == row.portal_id, Intent.job == row.job, Intent.asked_at == row.asked_at)
        db.session.execute(update(Intent).where(*mine).values(due_at=again, tries=row.tries + 1))
    db.session.commit()
    db.session.remove()
    for row in rows:
        ring(row.portal_id, row.job, user_id=row.user_id)
