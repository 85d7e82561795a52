"""USE CASE: rows on which the program failed are set aside with their reason, so that the rows behind them go on.

Whoever works through rows of a portal does each in an `own_savepoint` once something has failed, and calls `set_aside`
with what was raised. The row is tried again by itself a few times and once after an upgrade of the program, and by a
person as often as they like. Only errors of the row itself count (`infra.row_errors`): all others fail the whole run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from bx24app.calls import set_aside_rows
from bx24app.infra import queue
from bx24app.infra.logs import get_logger
from bx24app.infra.row_errors import blames_row, describe_error
from bx24app.models import Portal, SetAside, audit, db, portal_loop, utcnow
from bx24app.models.locking import portal_lock
from bx24app.models.set_aside import RowKind

_log = get_logger(__name__)

PROGRAM_VERSION = version("bx24app")
RETRY_AFTER = (timedelta(minutes=1), timedelta(minutes=15), timedelta(hours=3))
"""When a row is tried again by itself after its first, second, third failure; then only after an upgrade."""
MAX_TRIES = 20
"""After this many failures only a person tries a row again, whatever the version is."""
FORGET_AFTER = timedelta(hours=1)
"""A row that was given back and has not failed again after this time was carried out."""
ROWS_PER_ROUND = 200


class SavepointFailed(Exception):
    """The work of one row was rolled back; `cause` is an error of the row."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(type(cause).__name__)
        self.cause = cause


@contextmanager
def own_savepoint(session: Session) -> Iterator[None]:
    """Work on one row, flushed at the end, without effect on the transaction around it if it fails.

    Raises:
        SavepointFailed: the row is to blame. Any other error passes on, and the caller's transaction has failed.
    """
    try:
        with session.begin_nested():
            yield
            session.flush()
    except Exception as error:
        if not blames_row(error):
            raise
        session.info.pop("journal", None)  # what `models.call_index` has noted of the rows that are gone again
        raise SavepointFailed(error) from error


def set_aside(
    session: Session,
    portal_id: int,
    kind: RowKind,
    row_id: int,
    error: Exception,
    entry_id: str | None = None,
    call_id: int | None = None,
    by_itself: bool = True,
) -> str:
    """Write that the program failed on this row. Returns the reason. The caller marks the row itself and commits.

    Args:
        by_itself: the row may be tried again without a person.
    """
    reason = describe_error(error)
    row = session.scalars(select(SetAside).where(SetAside.kind == kind, SetAside.row_id == row_id)).first()
    if row is None:
        row = SetAside(portal_id=portal_id, kind=kind, row_id=row_id, tries=0)
        session.add(row)
    row.entry_id, row.call_id, row.reason, row.version = entry_id, call_id, reason, PROGRAM_VERSION
    row.tries, row.at, row.is_waiting = row.tries + 1, utcnow(), False
    pause = RETRY_AFTER[row.tries - 1] if row.tries <= len(RETRY_AFTER) else None
    row.due_at = utcnow() + pause if by_itself and pause is not None else None
    traced = None if isinstance(error, StatementError) else error  # its text would hold the values of the row
    facts = {"portal": portal_id, "kind": kind, "row": row_id, "entry": entry_id, "call": call_id, "tries": row.tries}
    _log.error("row set aside, those behind it go on", reason=reason, exc_info=traced, **facts)
    return reason


LISTED_KINDS = ("notification", "call")
"""Deliveries and recordings have lists of their own, as refused and as lost."""


def stands_aside(portal_id: int) -> tuple[ColumnElement[bool], ...]:
    """The conditions of the rows that stand aside now."""
    return SetAside.portal_id == portal_id, SetAside.is_waiting.is_(False)


def listed(portal_id: int) -> tuple[ColumnElement[bool], ...]:
    """Those of them that pages list and administrators are told of."""
    return *stands_aside(portal_id), SetAside.kind.in_(LISTED_KINDS)


def count_rows(portal_id: int) -> int:
    """How many rows of the portal are listed."""
    return db.session.scalar(select(func.count()).where(*listed(portal_id))) or 0


def retry(portal_id: int, row_id: int | None = None, source: str = "cli", user_id: int | None = None) -> int:
    """Give rows of the portal back because a person asks: one (id of `SetAside`), or all. Returns how many."""
    chosen = stands_aside(portal_id) if row_id is None else (*stands_aside(portal_id), SetAside.id == row_id)
    count = _give_back(portal_id, *chosen)
    if count:
        audit.record(portal_id, user_id, source, "replayed", set_aside=count)
        db.session.commit()
    return count


def retry_due() -> None:
    """Give back what is due by itself, and what an older version of the program failed on. Called by the sweep."""
    now = utcnow()
    old = now - FORGET_AFTER
    db.session.execute(delete(SetAside).where(SetAside.is_waiting.is_(True), SetAside.at < old))
    due = (
        SetAside.is_waiting.is_(False),
        SetAside.tries < MAX_TRIES,
        or_(SetAside.due_at <= now, SetAside.version != PROGRAM_VERSION),
    )
    working = select(Portal.id).where(Portal.state.in_(("active", "pending")))
    query = select(SetAside.id, SetAside.portal_id).where(*due, SetAside.portal_id.in_(working))
    by_portal: dict[int, list[int]] = {}
    for row in db.session.execute(query.order_by(SetAside.id).limit(ROWS_PER_ROUND)):
        by_portal.setdefault(row.portal_id, []).append(row.id)
    db.session.commit()

    def give_back_due(portal_id: int) -> None:
        _give_back(portal_id, *stands_aside(portal_id), SetAside.id.in_(by_portal[portal_id]))

    portal_loop.for_each("set_aside", list(by_portal), give_back_due)


def _give_back(portal_id: int, *chosen: ColumnElement[bool]) -> int:
    has_recordings = False
    with portal_lock(portal_id) as (session, _):
        rows = session.scalars(select(SetAside).where(*chosen).order_by(SetAside.id).limit(ROWS_PER_ROUND)).all()
        for row in rows:
            if not set_aside_rows.give_back(session, row):
                session.delete(row)  # what it names is gone, or must not be done again
            else:
                has_recordings |= row.kind == "recording"
    if rows:
        queue.wake_portal(portal_id)
    if has_recordings:
        queue.wake_recordings(portal_id)
    return len(rows)
