"""Checks for what needs an administrator: a portal or a PBX that does not answer, refused deliveries, a full disk.

They read the tables and the circuit breakers; `monitor` sends the alerts to the portal, and the pages count by the same
functions. That the portal itself does not answer can be sent only when it is over.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import redis
from sqlalchemy import func, select

from bx24app.calls import replay, set_aside
from bx24app.domain.settings import Settings
from bx24app.infra import circuit_breaker
from bx24app.infra.messages import message, needs_admin_message
from bx24app.models import Delivery, Pbx, Portal, Recording, db
from bx24app.models.problem_codes import RecordingProblem, recording_has_problem
from bx24app.operations.alerts.candidates import DEAD_FOR, MIN_ASK_FAILURES
from bx24app.operations.alerts.notices import Alert

ALERT_AFTER = timedelta(minutes=10)
"""A circuit that has been open this long is more than a hiccup."""
UNREACHABLE_KIND = "away"


def find_alerts(portal: Portal, document: Settings, now: datetime) -> dict[str, dict[str, Alert]]:
    """The alerts that hold now, by kind and by what they concern. A kind that cannot be judged now is left out."""
    alerts = {
        "dead": _dead_delivery_alerts(portal, now),
        "set_aside": _set_aside_alerts(portal),
        "disk": _full_disk_alerts(portal),
        UNREACHABLE_KIND: {},
    }
    pbx_alerts = _unreachable_pbxs(portal, document)
    if pbx_alerts is not None:
        alerts["pbx_away"] = pbx_alerts
    portal_alert = unreachable_alert(portal, document, now)
    if portal_alert is not None:
        alerts[UNREACHABLE_KIND] = {"portal": portal_alert}
    return alerts


def unreachable_alert(portal: Portal, document: Settings, now: datetime) -> Alert | None:
    """An alert if the portal has not answered for some time."""
    try:
        seconds = circuit_breaker.of_portal(portal.id).seconds_open()
    except redis.RedisError:
        return None
    if seconds < ALERT_AFTER.total_seconds():
        return None
    at = (now - timedelta(seconds=seconds)).astimezone(ZoneInfo(document.portal.timezone)).strftime("%d.%m %H:%M")
    return Alert(message(portal.lang, "portal_away", since=at), message(portal.lang, "portal_away_over", since=at))


def _unreachable_pbxs(portal: Portal, document: Settings) -> dict[str, Alert] | None:
    """Alerts, by PBX key, of PBXs whose Mango does not answer our requests; None: unknown, Redis does not answer."""
    alerts: dict[str, Alert] = {}
    query = select(Pbx).where(Pbx.portal_id == portal.id, Pbx.removed_at.is_(None))
    for row in db.session.scalars(query):
        pbx = document.by_key.get(row.key)
        breaker = circuit_breaker.of_pbx(row.id)
        try:
            is_away = row.ask_failures >= MIN_ASK_FAILURES or breaker.seconds_open() >= ALERT_AFTER.total_seconds()
        except redis.RedisError:
            return None
        if is_away and pbx is not None:
            name = pbx.name or pbx.key
            over = message(portal.lang, "pbx_away_over", pbx=name)
            alerts[row.key] = Alert(message(portal.lang, "pbx_away", pbx=name), over)
    return alerts


def count_refused(portal_id: int, now: datetime) -> int:
    """How many deliveries of the last days the portal refused that a person may try again."""
    dead = replay.retryable_deliveries(portal_id).where(Delivery.created_at > now - DEAD_FOR).subquery()
    return db.session.scalar(select(func.count()).select_from(dead)) or 0


def count_without_space(portal_id: int) -> int:
    """How many recordings wait because the portal's disk is full."""
    without_space = recording_has_problem(RecordingProblem.PORTAL_DISK)
    waiting = (Recording.due_at.is_not(None), Recording.portal_id == portal_id, without_space)
    return db.session.scalar(select(func.count()).where(*waiting)) or 0


def _dead_delivery_alerts(portal: Portal, now: datetime) -> dict[str, Alert]:
    count = count_refused(portal.id, now)
    if not count:
        return {}
    return {"portal": Alert(message(portal.lang, "dead", count=str(count)), message(portal.lang, "dead_over"))}


def _set_aside_alerts(portal: Portal) -> dict[str, Alert]:
    count = set_aside.count_rows(portal.id)
    if not count:
        return {}
    text = message(portal.lang, "set_aside", count=str(count))
    return {"portal": Alert(text, message(portal.lang, "set_aside_over"))}


def _full_disk_alerts(portal: Portal) -> dict[str, Alert]:
    count = count_without_space(portal.id)
    if not count:
        return {}
    text = message(portal.lang, "disk", why=needs_admin_message(portal.lang, "disk"), count=str(count))
    return {"portal": Alert(text, message(portal.lang, "disk_over"))}
