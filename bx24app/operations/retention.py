"""Retention: delete old notifications, calls, spool files and portals; a periodic job runs `prune`.

Rows are deleted in small steps, so that no lock is held for long. A run that was cut short is continued by the next
one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, select

from bx24app.calls.recordings import spool_files
from bx24app.infra import spool
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Notification, db, utcnow
from bx24app.portals import lifecycle
from bx24app.settings import hook_keys

_log = get_logger(__name__)

ROWS_PER_STATEMENT = 1000
"""Rows that one statement deletes."""
WRITTEN_WITHIN = timedelta(hours=1)
"""A file that changed this recently is taken as being written."""


def prune() -> None:
    """Delete whatever is older than its setting (BX24APP_KEEP_…) allows."""
    config, now = runtime().config, utcnow()
    notifications = _delete_in_steps(
        Notification, _old_notifications(now - timedelta(days=config.keep_notifications_days))
    )
    calls = 0
    if config.keep_calls_days:
        calls = _delete_in_steps(Call, _old_calls(now - timedelta(days=config.keep_calls_days)))
    files = _delete_files(timedelta(days=config.keep_spool_days))
    if notifications or calls or files:
        _log.info("retention finished", notifications=notifications, calls=calls, files=files)
    hook_keys.end_overlaps()
    hook_keys.hide_plain_keys()
    lifecycle.remove_vanished()
    lifecycle.purge_due()


def _old_notifications(before: datetime) -> Select[Any]:
    # Oldest first follows an index; without an order each step would search from the beginning of the table.
    query = select(Notification.id).where(Notification.received_at < before, Notification.state != "new")
    return query.order_by(Notification.received_at)


def _old_calls(before: datetime) -> Select[Any]:
    """Finished calls; open ones and those that wait for a person stay.

    Deliveries, recordings and to-dos are deleted with their call; the statistics keep what they counted.
    """
    query = select(Call.id).where(Call.started_at < before, Call.updated_at < before, Call.state == "finished")
    return query.order_by(Call.updated_at)


def _delete_in_steps(table: type[Call] | type[Notification], query: Select[Any]) -> int:
    count = 0
    while ids := list(db.session.scalars(query.limit(ROWS_PER_STATEMENT))):
        db.session.execute(delete(table).where(table.id.in_(ids)))
        db.session.commit()
        count += len(ids)
    db.session.commit()
    return count


def _delete_files(keep: timedelta) -> int:
    """Delete files that no recording waits for, and those older than `keep`.

    A recording that still waits is downloaded again.
    """
    now, count = utcnow().timestamp(), 0
    for path in spool.list_files():
        try:
            age = timedelta(seconds=now - path.stat().st_mtime)
            if age > keep or (age > WRITTEN_WITHIN and not spool_files.is_wanted(path)):
                path.unlink()
                count += 1
        except FileNotFoundError:
            continue  # a worker has just removed it
    db.session.rollback()
    return count
