"""The alert monitor: which problems of a portal its administrators get notices about.

The periodic job `check_all` judges the portals that `candidates` lists: silent PBXs, a dead authorisation, lost
recordings, unmapped extensions, and the problems of `checks`. It reads the tables and the circuit breakers alone; the
portal is asked for nothing but to deliver the notices (`notices`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from bx24app import settings
from bx24app.bitrix24 import errors
from bx24app.calls.journal import unmapped
from bx24app.domain.settings import PbxSettings, Settings
from bx24app.domain.working_hours import is_open
from bx24app.infra.logs import get_logger
from bx24app.infra.messages import message, needs_admin_message
from bx24app.models import Call, Portal, Recording, db, portal_loop, utcnow
from bx24app.operations.alerts import checks, notices
from bx24app.operations.alerts.candidates import COMPARED_WEEKS, LOST_FOR, SILENCE, UNMAPPED_FOR, find_candidates
from bx24app.operations.alerts.notices import Alert
from bx24app.portals import lookup

_log = get_logger(__name__)

USUAL_CALLS, USUAL_WEEKS = 3, 2
"""An hour usually brings calls if it brought at least 3 in at least 2 of the compared weeks, at the same time of the
week."""
RUN_SECONDS = 180.0
"""How long one run checks portals; the next one continues behind the last."""
MAX_SINGLE_ALERTS = 3
"""How many unmapped extensions of a PBX get a notice each; more than that share one."""
AlertsByKey = dict[str, Alert]


def check_all() -> None:
    """Check all candidates one after the other; a portal that cannot be notified now is notified by the next run."""
    portal_loop.for_each("watch", find_candidates(utcnow()), _try_portal, seconds=RUN_SECONDS)


def _try_portal(portal_id: int) -> None:
    try:
        check_portal(portal_id)
    except errors.PortalError as error:
        db.session.rollback()
        _log.info("administrators not notified yet", portal=portal_id, error=str(error))


def check_portal(portal_id: int) -> None:
    """Check one portal and send its notices.

    Raises:
        bx24app.bitrix24.errors.PortalError: the notices cannot be sent now.
    """
    portal = db.session.get_one(Portal, portal_id)
    if portal.state == "needs_admin" or portal.trouble is not None:
        _report_authorisation(portal)
        return
    document, lang = settings.current(portal), portal.lang
    now = utcnow()
    alerts: dict[str, AlertsByKey] = {
        "authorisation": {},
        "silent": _silent_pbxs(portal, document, now),
        "lost": _lost_recordings(portal_id, document, lang, now),
        "unmapped": _unmapped_extensions(portal_id, document, lang, now),
    }
    alerts |= checks.find_alerts(portal, document, now)
    unreachable = checks.unreachable_alert(portal, document, now)
    db.session.rollback()  # no transaction stays open while the notices are sent
    if unreachable is not None:
        notices.remember_alert(portal_id, f"{checks.UNREACHABLE_KIND}:portal", unreachable)
    for kind, by_key in alerts.items():
        notices.sync_notices(portal_id, kind, by_key)


def _report_authorisation(portal: Portal) -> None:
    """The first notice may reach nobody, since the portal refuses the app; the one about the end always does."""
    portal_id, lang = portal.id, portal.lang
    zone = ZoneInfo(settings.current(portal).portal.timezone)
    since = (portal.trouble_at or utcnow()).astimezone(zone).strftime("%d.%m %H:%M")
    why = needs_admin_message(lang, portal.trouble)
    alert = Alert(message(lang, "authorisation", why=why), message(lang, "authorisation_over", since=since))
    db.session.rollback()
    notices.send_once(portal_id, "authorisation:portal", alert)


def _silent_pbxs(portal: Portal, document: Settings, now: datetime) -> AlertsByKey:
    """PBXs without notifications for an hour of working time; the silence ends with the next notification.

    The end of the working day does not end it.
    """
    open_notices = notices.load_open_notices(portal.id, "silent")
    alerts: AlertsByKey = {}
    for row in lookup.load_pbxs(portal.id).values():
        pbx, last = document.by_key.get(row.key), row.last_notification_at
        if pbx is None or last is None:
            continue
        if row.key in open_notices:
            is_silent = last <= open_notices[row.key].told_at
        else:
            is_silent = (
                last <= now - SILENCE
                and _is_working_time(pbx, document, now)
                and _is_usually_busy(portal.id, row.key, now)
            )
        if is_silent:
            at = last.astimezone(ZoneInfo(document.portal.timezone)).strftime("%d.%m %H:%M")
            name = pbx.name or pbx.key
            alerts[row.key] = Alert(
                message(portal.lang, "silent", pbx=name, at=at), message(portal.lang, "silent_over", pbx=name)
            )
    return alerts


def _is_working_time(pbx: PbxSettings, document: Settings, now: datetime) -> bool:
    """Was one of its lines open during the whole last hour?"""
    zone = document.portal.timezone
    return any(
        is_open(line.working_hours, now, zone) and is_open(line.working_hours, now - SILENCE, zone)
        for line in pbx.lines
    )


def _is_usually_busy(portal_id: int, key: str, now: datetime) -> bool:
    busy_weeks = 0
    for week in range(1, COMPARED_WEEKS + 1):
        until = now - timedelta(days=7 * week)
        in_hour = (Call.started_at > until - SILENCE, Call.started_at <= until)
        query = select(func.count()).where(Call.portal_id == portal_id, Call.pbx_key == key, *in_hour)
        busy_weeks += (db.session.scalar(query) or 0) >= USUAL_CALLS
    return busy_weeks >= USUAL_WEEKS


def _lost_recordings(portal_id: int, document: Settings, lang: str, now: datetime) -> AlertsByKey:
    """By PBX: recordings of the last days that could not be fetched."""
    query = (
        select(Call.pbx_key, func.count())
        .join(Recording, Recording.call_id == Call.id)
        .where(Recording.portal_id == portal_id, Recording.state == "lost", Call.started_at > now - LOST_FOR)
        .group_by(Call.pbx_key)
    )
    alerts: AlertsByKey = {}
    for key, count in db.session.execute(query):
        name = _pbx_name(document, key)
        text = message(lang, "recordings_lost", pbx=name, count=str(count))
        alerts[key] = Alert(text, message(lang, "recordings_lost_over", pbx=name))
    return alerts


def _unmapped_extensions(portal_id: int, document: Settings, lang: str, now: datetime) -> AlertsByKey:
    """Extensions that rang without an employee.

    One with a notice counts until it is mapped, whether it rings again or not.
    """
    extensions = unmapped.load_extensions(portal_id, now - UNMAPPED_FOR)
    for what in notices.load_open_notices(portal_id, "unmapped"):
        key, _, extension = what.partition(":")
        if extension and extension != "many":
            extensions.setdefault(key, set()).add(extension)
    alerts: AlertsByKey = {}
    for key, names in extensions.items():
        pbx = document.by_key.get(key)
        if pbx is not None:
            alerts |= _unmapped_alerts(key, pbx.name or key, sorted(names - pbx.by_extension.keys()), lang)
    return alerts


def _unmapped_alerts(key: str, name: str, extensions: list[str], lang: str) -> AlertsByKey:
    if len(extensions) > MAX_SINGLE_ALERTS:
        some = ", ".join(extensions[:MAX_SINGLE_ALERTS])
        text = message(lang, "unmapped_many", pbx=name, count=str(len(extensions)), some=some)
        return {f"{key}:many": Alert(text, message(lang, "unmapped_many_over", pbx=name))}
    return {
        f"{key}:{extension}": Alert(
            message(lang, "unmapped", pbx=name, extension=extension),
            message(lang, "unmapped_over", pbx=name, extension=extension),
        )
        for extension in extensions
    }


def _pbx_name(document: Settings, key: str) -> str:
    pbx = document.by_key.get(key)
    return (pbx.name or key) if pbx is not None else key
