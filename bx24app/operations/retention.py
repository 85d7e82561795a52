"""USE CASE: what is old goes: notifications, calls, files on their way, portals. In small steps, so that no lock is held for long."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Select, delete, select

from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Notification, Recording, db, utcnow
from bx24app.portals import lifecycle
from bx24app.settings import hook_keys

_log = get_logger(__name__)

ROWS_PER_STATEMENT = 1000
"""Rows that one statement deletes."""
WRITTEN_WITHIN = timedelta(hours=1)
"""A file that was touched so lately is being written now."""


def prune() -> None:
    """Whatever is older than its setting (BX24APP_KEEP_…) goes. Cut short, it goes on with the next round."""
    config, now = runtime().config, utcnow()
    notifications = _delete_in_steps(Notification, _old_notifications(now - timedelta(days=config.keep_notifications_days)))
    calls = 0
    if config.keep_calls_days:
        calls = _delete_in_steps(Call, _old_calls(now - timedelta(days=config.keep_calls_days)))
    files = _delete_files(timedelta(days=config.keep_spool_days))
    if notifications or calls or files:
        _log.info("old things have gone", notifications=notifications, calls=calls, files=files)
    hook_keys.end_overlaps()
    hook_keys.hide_plain_keys()
    lifecycle.remove_vanished()
    lifecycle.purge_due()


def _old_notifications(before: datetime) -> Select[Any]:
    """The oldest first: the order follows an index, where each step would else look for its rows from the table's beginning."""
    old = select(Notification.id).where(Notification.received_at < before, Notification.state != "new")
    return old.order_by(Notification.received_at)


def _old_calls(before: datetime) -> Select[Any]:
    """What is open, or waits for a person, stays. Deliveries, recordings and to-dos go with their call; the statistics stay as counted."""
    old = select(Call.id).where(Call.started_at < before, Call.updated_at < before, Call.state == "finished")
    return old.order_by(Call.updated_at)


def _delete_in_steps(table: type[Call] | type[Notification], old: Select[Any]) -> int:
    gone = 0
    while ids := list(db.session.scalars(old.limit(ROWS_PER_STATEMENT))):
        db.session.execute(delete(table).where(table.id.in_(ids)))
        db.session.commit()
        gone += len(ids)
    db.session.commit()
    return gone


def _delete_files(keep: timedelta) -> int:
    """Files that nobody waits for any more, and those that have waited too long: a recording that is still wanted is fetched again."""
    now, gone = utcnow().timestamp(), 0
    for path in _spool_files():
        try:
            age = timedelta(seconds=now - path.stat().st_mtime)
            if age > keep or (age > WRITTEN_WITHIN and not _is_wanted(path)):
                path.unlink()
                gone += 1
        except FileNotFoundError:
            continue  # a worker was quicker
    db.session.rollback()
    return gone


def _spool_files() -> Iterable[Path]:
    spool = runtime().config.data_dir / "spool"
    return [path for path in spool.iterdir() if path.suffix in (".mp3", ".part")] if spool.is_dir() else []


def _is_wanted(path: Path) -> bool:
    if not path.stem.isdecimal():
        return False
    state = db.session.scalar(select(Recording.state).where(Recording.id == int(path.stem)))
    return state == "waiting"
