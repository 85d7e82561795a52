"""USE CASE: wake everything that is due and whose wake-up was lost; maintain portals. Run periodically by `jobs`.

Redis only schedules; the truth about what is due is in the database. A crash between commit and enqueue, a flushed
Redis, a killed worker: the sweep repairs them all, by a constant number of queries for any number of portals.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from bx24app.calls import click_to_call, clock_jumps, set_aside
from bx24app.calls.outbox import lost_requests
from bx24app.calls.recordings import attempts
from bx24app.domain.calls.outcome import MAX_SILENCE_SECONDS
from bx24app.infra import queue
from bx24app.infra.logs import get_logger
from bx24app.models import Call, Delivery, Notification, Portal, Recording, db, portal_loop, utcnow
from bx24app.portals import intents, sync

_log = get_logger(__name__)

ANSWER_TIMEOUT = timedelta(seconds=120)
"""A request without a stored answer after this time has died with its worker: it left within
`batches.SEND_WITHIN_SECONDS`, and the cloud ends a request after 60 s. A success that arrives even later is accepted
unless the row was claimed again meanwhile (`sender`)."""
ROWS_PER_ROUND = 1000
"""The largest number of rows that one round wakes."""


def sweep() -> None:
    """Wake portals and recordings with something due. Two sweeps at once do no harm."""
    portal_loop.run_parts("sweep", (clock_jumps.detect_jumps, set_aside.retry_due, _wake_due, intents.ring_due))


def _wake_due() -> None:
    now = utcnow()
    working = select(Portal.id).where(Portal.state.in_(("active", "pending")))
    wake = lost_requests.recover_lost_requests(db.session(), ANSWER_TIMEOUT)
    wake |= click_to_call.recover_lost_dials(db.session())
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
    late = select(Recording.portal_id).distinct().where(
        Recording.due_at <= now - timedelta(seconds=5),
        Recording.state == "waiting",
        Recording.bitrix_call_id.is_not(None),
        (Recording.claimed_at.is_(None)) | (Recording.claimed_at < now - attempts.CLAIM_LIFETIME),
        Recording.portal_id.in_(working),
    )
    late_portals = _fetch_ids(late)
    db.session.commit()
    db.session.remove()
    for portal_id in wake:
        queue.wake_portal(portal_id)
    for portal_id in late_portals:
        queue.wake_recordings(portal_id)


def _fetch_ids(query: object) -> set[int]:
    return set(db.session.scalars(query))  # type: ignore[call-overload]


def maintain_portals() -> None:
    """Keep grants fresh, queue the daily sync of each portal."""
    portal_loop.run_parts("look_after_portals", (sync.refresh_due_grants, _queue_syncs))


def _queue_syncs() -> None:
    for portal_id in sync.claim_due_syncs():
        intents.ring(portal_id, "look")


def close_silent_calls() -> None:
    """Let open calls whose end never came be folded again: after hours without a notification they count as over."""
    silent = select(Call.id, Call.portal_id).where(
        Call.state == "open", Call.due_at.is_(None), Call.heard_at < utcnow() - timedelta(seconds=MAX_SILENCE_SECONDS)
    )
    rows = db.session.execute(silent.limit(ROWS_PER_ROUND)).all()
    db.session.execute(update(Call).where(Call.id.in_([row.id for row in rows])).values(due_at=utcnow()))
    db.session.commit()
    for portal_id in {row.portal_id for row in rows}:
        queue.wake_portal(portal_id)
