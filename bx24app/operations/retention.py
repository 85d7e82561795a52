"""Retention: delete old notifications, calls, spool files and portals; a periodic job runs `prune`.

Rows are deleted in small steps, so that no lock is held for long. A run that was cut short is continued by the next
one.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, exists, select

from bx24app.calls.recordings import spool_files
from bx24app.infra import spool
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Delivery, Notification, Recording, SetAside, db, portal_loop, utcnow
from bx24app.operations import secret_checks
from bx24app.portals import lifecycle
from bx24app.settings import hook_keys

_log = get_logger(__name__)

ROWS_PER_STATEMENT = 1000
"""Rows that one statement deletes."""
RUN_SECONDS = 60.0
"""How long one run deletes rows of a table; the next one continues."""
WRITTEN_WITHIN = timedelta(hours=1)
"""A file that changed this recently is taken as being written."""


def prune() -> None:
    """Delete whatever is older than its setting (BX24APP_KEEP_…) allows. What one part cannot do stops no other one."""
    parts = (
        _prune_rows,
        clean_spool,
        hook_keys.end_overlaps,
        hook_keys.hide_plain_keys,
        lifecycle.remove_vanished,
        lifecycle.purge_due,
        secret_checks.count_undecryptable,
    )
    portal_loop.run_parts("prune", parts)


def _prune_rows() -> None:
    config, now = runtime().config, utcnow()
    notifications = _delete_in_steps(
        Notification, _old_notifications(now - timedelta(days=config.keep_notifications_days))
    )
    calls = 0
    if config.keep_calls_days:
        calls = _delete_in_steps(Call, _old_calls(now - timedelta(days=config.keep_calls_days)))
    _delete_orphans()
    if notifications or calls:
        _log.info("retention finished", notifications=notifications, calls=calls)


def _delete_orphans() -> None:
    """Entries of rows that were set aside and that are gone by now."""
    tables: dict[str, Any] = {
        "notification": Notification, "call": Call, "delivery": Delivery, "recording": Recording,
    }  # fmt: skip
    for kind, table in tables.items():
        exists_still = exists().where(table.id == SetAside.row_id)
        db.session.execute(delete(SetAside).where(SetAside.kind == kind, ~exists_still))
    db.session.commit()


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
    count, until = 0, time.monotonic() + RUN_SECONDS
    while time.monotonic() < until and (ids := list(db.session.scalars(query.limit(ROWS_PER_STATEMENT)))):
        db.session.execute(delete(table).where(table.id.in_(ids)))
        db.session.commit()
        count += len(ids)
    db.session.commit()
    return count


def clean_spool() -> None:
    """Delete files of this machine's spool that no recording waits for, and those that are too old.

    A recording that still waits is downloaded again. Complete files whose recording is gone (a purge, an erasure,
    possibly on another machine) are deleted whatever their age.
    """
    now, keep, removed = utcnow().timestamp(), timedelta(days=runtime().config.keep_spool_days), 0
    paths = spool.list_files()
    for start in range(0, len(paths), ROWS_PER_STATEMENT):
        chunk = paths[start : start + ROWS_PER_STATEMENT]
        known, waiting = spool_files.stems_of(chunk), spool_files.stems_of(chunk, waiting_only=True)
        db.session.rollback()
        for path in chunk:
            try:
                age, stem = timedelta(seconds=now - path.stat().st_mtime), path.name.split(".", 1)[0]
                is_orphan = path.suffix == ".mp3" and stem not in known
                if age > keep or is_orphan or (age > WRITTEN_WITHIN and stem not in waiting):
                    path.unlink()
                    removed += 1
            except OSError as error:
                if not isinstance(error, FileNotFoundError):  # a worker has just removed it
                    _log.warning("file of the spool not removed", error=type(error).__name__)
    if removed:
        _log.info("spool cleaned", files=removed)
