"""USE CASE: ring for everything that is due and whose wake-up was lost; look after portals.

The queue is only an alarm clock. A crash between commit and enqueue, a flushed Redis, a killed worker: all are found here, by a
constant number of queries however many portals are installed.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from bx24app import portals
from bx24app.calls import click_to_call, clock_jumps
from bx24app.calls.outbox import sender
from bx24app.calls.recordings import attempts
from bx24app.domain.calls.outcome import SILENT_SECONDS
from bx24app.infra import queue
from bx24app.infra.logs import log
from bx24app.models import Call, Delivery, Notification, Portal, Recording, db, utcnow

_log = log(__name__)

SENT_FOR = timedelta(seconds=120)
"""A request whose answer is not stored after this long has died with its worker: it left within `parcels.LEAVE_SECONDS`, and the cloud
ends a request after 60 s. An answer that comes later still is taken, where nobody has asked again by then (`deliver`)."""
STEP = 1000
"""Rows that one round takes."""


def sweep() -> None:
    """Wake what is due. Running it twice at once is harmless."""
    clock_jumps.look()
    now = utcnow()
    working = select(Portal.id).where(Portal.state.in_(("active", "pending")))
    wake: set[int] = sender.recover(db.session(), SENT_FOR) | click_to_call.recover(db.session())
    wake |= _ids(
        select(Notification.portal_id)
        .where(Notification.state == "new", Notification.received_at < now - timedelta(seconds=3))
        .distinct()
    )
    wake |= _ids(select(Call.portal_id).where(Call.due_at <= now).distinct())
    wake |= _ids(
        select(Delivery.portal_id)
        .where(
            Delivery.state == "waiting",
            (Delivery.due_at.is_(None)) | (Delivery.due_at <= now),
            Delivery.portal_id.in_(working),
        )
        .distinct()
    )
    late = select(Recording.id).where(
        Recording.due_at <= now - timedelta(seconds=5),
        Recording.state == "waiting",
        (Recording.claimed_at.is_(None)) | (Recording.claimed_at < now - attempts.CLAIM),
        Recording.portal_id.in_(working),
    )
    files = list(db.session.scalars(late.limit(STEP)))
    db.session.commit()
    db.session.remove()
    for portal_id in wake:
        queue.wake(portal_id, force=True)
    for recording_id in files:
        queue.wake_recording(recording_id)


def _ids(query: object) -> set[int]:
    return set(db.session.scalars(query))  # type: ignore[call-overload]


def look_after_portals() -> None:
    """Portals in trouble are asked again, grants kept fresh, the daily look queued."""
    portals.probe_due()
    portals.refresh_due()
    for portal_id in portals.looks_due():
        queue.later("look", portal_id)


def close_silent() -> None:
    """Open calls whose end never came are folded once more: after hours without a word they count as over."""
    silent = select(Call.id, Call.portal_id).where(
        Call.state == "open", Call.due_at.is_(None), Call.heard_at < utcnow() - timedelta(seconds=SILENT_SECONDS)
    )
    rows = db.session.execute(silent.limit(STEP)).all()
    db.session.execute(update(Call).where(Call.id.in_([row.id for row in rows])).values(due_at=utcnow()))
    db.session.commit()
    for portal_id in {row.portal_id for row in rows}:
        queue.wake(portal_id, force=True)
