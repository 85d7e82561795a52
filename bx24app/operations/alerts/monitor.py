"""USE CASE: troubles that administrators hear of in Bitrix24 itself: a PBX that fell silent, a dead authorisation, lost recordings, unmapped employees;
and those of `alarms`.

Each is told once, and once more when it is over (`notices`). Judged every few minutes from the tables, of those portals alone of which there
may be something to tell (`suspects`); nothing here asks Mango or the portal but to tell.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from bx24app import settings
from bx24app.bitrix24 import errors
from bx24app.domain.settings import PbxSettings as PbxSettings
from bx24app.domain.settings import Settings
from bx24app.domain.working_hours import is_open
from bx24app.infra.logs import get_logger
from bx24app.infra.messages import message, needs_admin_message
from bx24app.models import Call, Notice, Pbx, Portal, Recording, db, utcnow
from bx24app.operations.alerts import checks as alarms
from bx24app.operations.alerts import notices
from bx24app.operations.alerts.candidates import COMPARED_WEEKS, LOST_FOR, SILENCE, UNMAPPED_FOR, find_candidates
from bx24app.operations.alerts.notices import Alert

_log = get_logger(__name__)

USUAL_CALLS, USUAL_WEEKS = 3, 2
"""An hour usually brings calls: at least so many in at least so many of the last weeks, at the same time of the week."""
MAX_SINGLE_ALERTS = 3
"""Unmapped extensions of a PBX that are told one by one; more of them are told as one."""
AlertsByKey = dict[str, Alert]


def check_all() -> None:
    """One portal after the other; one that cannot be told now is told by the next run."""
    for portal_id in find_candidates(utcnow()):
        try:
            check_portal(portal_id)
        except errors.PortalError as error:
            db.session.rollback()
            _log.info("administrators not told yet", portal=portal_id, error=str(error))


def check_portal(portal_id: int) -> None:
    """One portal.

    Raises:
        bx24app.bitrix24.errors.PortalError: it cannot be told now.
    """
    portal = db.session.get_one(Portal, portal_id)
    if portal.state == "needs_admin":
        _report_authorisation(portal)
        return
    document, lang = settings.current(portal), portal.lang
    now = utcnow()
    found: dict[str, AlertsByKey] = {
        "authorisation": {},
        "silent": _silent_pbxs(portal, document, now),
        "lost": _lost_recordings(portal_id, document, lang, now),
        "unmapped": _unmapped_extensions(portal_id, document, lang, now),
    }
    found |= alarms.find_alerts(portal, document, now)
    away = alarms.unreachable_alert(portal, document, now)
    db.session.rollback()  # no transaction is held while the portal is told
    if away is not None:
        notices.remember_alert(portal_id, f"{alarms.UNREACHABLE_KIND}:portal", away)
    for kind, standing in found.items():
        notices.sync_notices(portal_id, kind, standing)


def _report_authorisation(portal: Portal) -> None:
    """Where the portal lets nobody in, the beginning may reach no one; the end always does."""
    portal_id, lang = portal.id, portal.lang
    zone = ZoneInfo(settings.current(portal).portal.timezone)
    since = (portal.trouble_at or utcnow()).astimezone(zone).strftime("%d.%m %H:%M")
    why = needs_admin_message(lang, portal.trouble)
    trouble = Alert(message(lang, "authorisation", why=why), message(lang, "authorisation_over", since=since))
    db.session.rollback()
    notices.send_once(portal_id, "authorisation:portal", trouble)


def _open_notices(portal_id: int, kind: str) -> dict[str, Notice]:
    """What is told and not over yet, by what it concerns."""
    rows = select(Notice).where(Notice.portal_id == portal_id, Notice.key.startswith(f"{kind}:"))
    return {row.key.partition(":")[2]: row for row in db.session.scalars(rows)}


def _silent_pbxs(portal: Portal, document: Settings, now: datetime) -> AlertsByKey:
    """It begins with an hour of silence in working time, and ends with the next notification, not with the working day."""
    told = _open_notices(portal.id, "silent")
    rows = select(Pbx).where(Pbx.portal_id == portal.id, Pbx.removed_at.is_(None))
    found: AlertsByKey = {}
    for row in db.session.scalars(rows):
        pbx, heard = document.by_key.get(row.key), row.last_notification_at
        if pbx is None or heard is None:
            continue
        if row.key in told:
            stands = heard <= told[row.key].told_at
        else:
            stands = heard <= now - SILENCE and _is_working_time(pbx, document, now) and _is_usually_busy(portal.id, row.key, now)
        if stands:
            at = heard.astimezone(ZoneInfo(document.portal.timezone)).strftime("%d.%m %H:%M")
            name = pbx.name or pbx.key
            words = message(portal.lang, "silent", pbx=name, at=at)
            found[row.key] = Alert(words, message(portal.lang, "silent_over", pbx=name))
    return found


def _is_working_time(pbx: PbxSettings, document: Settings, now: datetime) -> bool:
    """Was a line of it open all the last hour?"""
    zone = document.portal.timezone
    return any(
        is_open(line.working_hours, now, zone) and is_open(line.working_hours, now - SILENCE, zone)
        for line in pbx.lines
    )


def _is_usually_busy(portal_id: int, key: str, now: datetime) -> bool:
    busy = 0
    for week in range(1, COMPARED_WEEKS + 1):
        until = now - timedelta(days=7 * week)
        mine = (
            Call.portal_id == portal_id,
            Call.pbx_key == key,
            Call.started_at > until - SILENCE,
            Call.started_at <= until,
        )
        busy += (db.session.scalar(select(func.count()).where(*mine)) or 0) >= USUAL_CALLS
    return busy >= USUAL_WEEKS


def _lost_recordings(portal_id: int, document: Settings, lang: str, now: datetime) -> AlertsByKey:
    """By PBX: recordings of the last days that never came."""
    query = (
        select(Call.pbx_key, func.count())
        .join(Recording, Recording.call_id == Call.id)
        .where(Recording.portal_id == portal_id, Recording.state == "lost", Call.started_at > now - LOST_FOR)
        .group_by(Call.pbx_key)
    )
    found: AlertsByKey = {}
    for key, count in db.session.execute(query):
        name = _pbx_name(document, key)
        words = message(lang, "recordings_lost", pbx=name, count=str(count))
        found[key] = Alert(words, message(lang, "recordings_lost_over", pbx=name))
    return found


def _unmapped_extensions(portal_id: int, document: Settings, lang: str, now: datetime) -> AlertsByKey:
    """Extensions that rang without an employee. One that was told stands until it is mapped, whether it rings again or not."""
    query = select(Call.pbx_key, Call.unmapped).where(
        Call.portal_id == portal_id, Call.unmapped.is_not(None), Call.started_at > now - UNMAPPED_FOR
    )
    rang: dict[str, set[str]] = defaultdict(set)
    for key, names in db.session.execute(query.distinct()):
        rang[key].update(name for name in str(names).split(",") if name)
    told = _open_notices(portal_id, "unmapped")
    for what in told:
        key, _, extension = what.partition(":")
        if extension and extension != "many":
            rang[key].add(extension)
    found: AlertsByKey = {}
    for key, extensions in rang.items():
        pbx = document.by_key.get(key)
        left = sorted(extensions - pbx.by_extension.keys()) if pbx is not None else []
        for what, trouble in _unmapped_alerts(key, _pbx_name(document, key), left, lang).items():
            found[what] = trouble
    return found


def _unmapped_alerts(key: str, name: str, extensions: list[str], lang: str) -> AlertsByKey:
    if len(extensions) > MAX_SINGLE_ALERTS:
        words = message(lang, "unmapped_many", pbx=name, count=str(len(extensions)), some=", ".join(extensions[:MAX_SINGLE_ALERTS]))
        return {f"{key}:many": Alert(words, message(lang, "unmapped_many_over", pbx=name))}
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
