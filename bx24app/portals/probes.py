"""Asks portals that need an administrator whether they accept requests again.

The periodic job `probe_portals` asks those that are due, several at a time; an administrator's opening and the button
"Check now" ask one at once. A portal that accepts the request resumes. The time of the next probe is stored before the
portal is asked, so that its answer cannot keep it from that.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from flask import Flask, current_app
from sqlalchemy import exists, select, update

from bx24app.bitrix24 import errors
from bx24app.domain import probing
from bx24app.infra import circuit_breaker
from bx24app.infra.logs import get_logger
from bx24app.models import Delivery, Portal, db, portal_loop, utcnow
from bx24app.portals import lifecycle
from bx24app.portals.clients import client_by_id

_log = get_logger(__name__)

PROBE_THREADS = 6
"""How many portals a run asks at once."""
MAX_PROBES = 1000
"""How many portals a run asks at most: those with calls waiting first, then those that are due longest."""
RUN_SECONDS, PORTAL_SECONDS = 12.0, 8.0
"""How long a run asks portals, and how long it waits for one of them."""


def probe_due_portals() -> None:
    """Ask the portals that are due, and end trials in which nothing was refused."""
    lifecycle.end_long_trials()
    waits = exists().where(Delivery.portal_id == Portal.id, Delivery.state == "waiting")
    due = select(Portal.id).where(Portal.state == "needs_admin", Portal.probe_at <= utcnow())
    ids = list(db.session.scalars(due.order_by(waits.desc(), Portal.probe_at).limit(MAX_PROBES)))
    db.session.rollback()
    if len(ids) <= 1:
        _probe_each(ids)
        return
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]

    def probe_part(part: list[int]) -> None:
        with app.app_context():
            _probe_each(part)

    parts = [ids[first::PROBE_THREADS] for first in range(min(PROBE_THREADS, len(ids)))]
    with ThreadPoolExecutor(len(parts), thread_name_prefix="probe") as threads:
        list(threads.map(probe_part, parts))


def _probe_each(ids: list[int]) -> None:
    portal_loop.for_each(
        "probe", ids, probe_now, claim=_claim_probe, seconds=RUN_SECONDS, portal_seconds=PORTAL_SECONDS
    )


def _claim_probe(portal_id: int) -> bool:
    return _postpone_probe(portal_id, probing.PROBE_PAUSE, Portal.probe_at <= utcnow())


def _postpone_probe(portal_id: int, pause: timedelta, *conditions: object) -> bool:
    mine = update(Portal).where(Portal.id == portal_id, Portal.state == "needs_admin", *conditions)  # type: ignore[arg-type]
    claimed = db.session.execute(mine.values(probe_at=utcnow() + pause))
    db.session.commit()
    return bool(claimed.rowcount)  # type: ignore[attr-defined]


def probe_now(portal_id: int) -> None:
    """Ask this portal, whatever time its next probe is set for. What it answers is stored, and nothing is raised."""
    breaker = circuit_breaker.of_portal(portal_id)
    try:
        client_by_id(portal_id).probe_access()
    except (errors.NeedsAdmin, errors.Gone) as error:
        lifecycle.mark_needs_admin(portal_id, error)
    except errors.Later as error:
        if not error.is_rate_limited and error.retry_after is None:
            breaker.record_failure()
        _postpone_probe(portal_id, probing.silence_pause(breaker.read_state().pause))
        _log.info("portal that needs an administrator does not answer", portal=portal_id, error=str(error))
        return
    else:
        lifecycle.resume(portal_id)
    if breaker.read_state().failures:
        breaker.record_success()
