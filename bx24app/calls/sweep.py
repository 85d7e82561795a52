"""USE CASE: ring for everything that is due and whose wake-up was lost; look after portals.

The queue is only an alarm clock. A crash between commit and enqueue, a flushed Redis, a killed worker: all are found here, by a
constant number of queries however many portals are installed.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from bx24app.calls import click_to_call, clock_jumps
from bx24app.calls.outbox import sender
from bx24app.calls.recordings import attempts
from bx24app.domain.calls.outcome import MAX_SILENCE_SECONDS
from bx24app.infra import queue
from bx24app.infra.logs import get_logger
from bx24app.models import Call, Delivery, Notification, Portal, Recording, db, utcnow
from bx24app.portals import sync

_log = get_logger(__name__)

ANSWER_TIMEOUT = timedelta(seconds=120)
"""A request whose answer is not stored after this long has died with its worker: it left within `parcels.LEAVE_SECONDS`, and the cloud
ends a request after 60 s. An answer that comes later still is taken, where nobody has asked again by then (`deliver`)."""
ROWS_PER_ROUND = 1000
"""Rows that one round takes."""


def sweep() -> None:
    """Wake what is due. Running it twice at once is harmless."""
    clock_jumps.detect_jumps()
    now = utcnow()
    working = select(Portal.id).where(Portal.state.in_(("active", "pending")))
    wake: set[int] = sender.recover_lost_requests(db.session(), ANSWER_TIMEOUT) | click_to_call.recover_lost_dials(db.session())
    wake |= _fetch_ids(
        select(Notification.portal_id)
        .where(Notification.state == "new", Notification.received_at < now - timedelta(seconds=3))
        .distinct()
    )
    wake |= _fetch_ids(select(Call.portal_id).where(Call.due_at <= now).distinct())
    wake |= _fetch_ids(
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
        (Recording.claimed_at.is_(None)) | (Recording.claimed_at < now - attempts.CLAIM_LIFETIME),
        Recording.portal_id.in_(working),
    )
    files = list(db.session.scalars(late.limit(ROWS_PER_ROUND)))
    db.session.commit()
    db.session.remove()
    for portal_id in wake:
        queue.wake_portal(portal_id, force=True)
    for recording_id in files:
        queue.wake_recording(recording_id)


def _fetch_ids(query: object) -> set[int]:
    return set(db.session.scalars(query))  # type: ignore[call-overload]


def maintain_portals() -> None:
    """Portals in trouble are asked again, grants kept fresh, the daily look queued."""
    sync.probe_due_portals()
    sync.refresh_due_grants()
    for portal_id in sync.claim_due_syncs():
        queue.enqueue_background("look", portal_id)


def close_silent_calls() -> None:
    """Open calls whose end never came are folded once more: after hours without a word they count as over."""
    silent = select(Call.id, Call.portal_id).where(
        Call.state == "open", Call.due_at.is_(None), Call.heard_at < utcnow() - timedelta(seconds=MAX_SILENCE_SECONDS)
    )
    rows = db.session.execute(silent.limit(ROWS_PER_ROUND)).all()
    db.session.execute(update(Call).where(Call.id.in_([row.id for row in rows])).values(due_at=utcnow()))
    db.session.commit()
    for portal_id in {row.portal_id for row in rows}:
        queue.wake_portal(portal_id, force=True)
