"""What stands still and should alarm somebody: a portal or a PBX that does not answer, refused deliveries, a full disk.

Judged from the tables and the circuits; `watching` tells it. That the portal itself does not answer can be told only when it is over.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import redis
from sqlalchemy import func, select

from bx24app.calls import replay
from bx24app.domain.settings import Settings
from bx24app.infra import circuit_breaker
from bx24app.infra.messages import message, needs_admin_message
from bx24app.models import Delivery, Pbx, Portal, Recording, db
from bx24app.models.problem_codes import RecordingProblem, recording_has_problem
from bx24app.operations.alerts.candidates import DEAD_FOR, MIN_ASK_FAILURES
from bx24app.operations.alerts.notices import Alert

ALERT_AFTER = timedelta(minutes=10)
"""A circuit that is open for so long is no hiccup."""
UNREACHABLE_KIND = "away"


def find_alerts(portal: Portal, document: Settings, now: datetime) -> dict[str, dict[str, Alert]]:
    """By kind and by what it concerns: what holds now. Of a kind that cannot be judged now nothing is said."""
    found = {"dead": _dead_delivery_alerts(portal, now), "disk": _full_disk_alerts(portal), UNREACHABLE_KIND: {}}
    quiet = _unreachable_pbxs(portal, document)
    if quiet is not None:
        found["pbx_away"] = quiet
    trouble = unreachable_alert(portal, document, now)
    if trouble is not None:
        found[UNREACHABLE_KIND] = {"portal": trouble}
    return found


def unreachable_alert(portal: Portal, document: Settings, now: datetime) -> Alert | None:
    """The portal has not answered for some time."""
    try:
        seconds = circuit_breaker.of_portal(portal.id).seconds_open()
    except redis.RedisError:
        return None
    if seconds < ALERT_AFTER.total_seconds():
        return None
    at = (now - timedelta(seconds=seconds)).astimezone(ZoneInfo(document.portal.timezone)).strftime("%d.%m %H:%M")
    return Alert(message(portal.lang, "portal_away", since=at), message(portal.lang, "portal_away_over", since=at))


def _unreachable_pbxs(portal: Portal, document: Settings) -> dict[str, Alert] | None:
    """PBXs whose Mango does not answer what we ask; None: without Redis nobody knows."""
    found: dict[str, Alert] = {}
    query = select(Pbx).where(Pbx.portal_id == portal.id, Pbx.removed_at.is_(None))
    for row in db.session.scalars(query):
        pbx = document.by_key.get(row.key)
        try:
            stands = row.ask_failures >= MIN_ASK_FAILURES or circuit_breaker.of_pbx(row.id).seconds_open() >= ALERT_AFTER.total_seconds()
        except redis.RedisError:
            return None
        if stands and pbx is not None:
            name = pbx.name or pbx.key
            found[row.key] = Alert(message(portal.lang, "pbx_away", pbx=name), message(portal.lang, "pbx_away_over", pbx=name))
    return found


def count_refused(portal_id: int, now: datetime) -> int:
    """Deliveries of the last days that the portal refused for good and a person may try again."""
    dead = replay.retryable_deliveries(portal_id).where(Delivery.created_at > now - DEAD_FOR).subquery()
    return db.session.scalar(select(func.count()).select_from(dead)) or 0


def count_without_space(portal_id: int) -> int:
    """Recordings that wait because the portal's disk is full."""
    waiting = (Recording.due_at.is_not(None), Recording.portal_id == portal_id, recording_has_problem(RecordingProblem.PORTAL_DISK))
    return db.session.scalar(select(func.count()).where(*waiting)) or 0


def _dead_delivery_alerts(portal: Portal, now: datetime) -> dict[str, Alert]:
    count = count_refused(portal.id, now)
    return {"portal": Alert(message(portal.lang, "dead", count=str(count)), message(portal.lang, "dead_over"))} if count else {}


def _full_disk_alerts(portal: Portal) -> dict[str, Alert]:
    count = count_without_space(portal.id)
    if not count:
        return {}
    words = message(portal.lang, "disk", why=needs_admin_message(portal.lang, "disk"), count=str(count))
    return {"portal": Alert(words, message(portal.lang, "disk_over"))}
