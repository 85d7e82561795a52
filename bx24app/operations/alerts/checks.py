"""What stands still and should alarm somebody: a portal or a PBX that does not answer, refused deliveries, a full disk.

Judged from the tables and the circuits; `watching` tells it. That the portal itself does not answer can be told only when it is over.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import redis
from sqlalchemy import func, select

from bx24app.bitrix24.admin_messages import sentence
from bx24app.calls import replay
from bx24app.calls.recordings.transfer import DISK_FULL
from bx24app.domain.settings import Settings
from bx24app.infra import circuit_breaker
from bx24app.infra.messages import say
from bx24app.models import Delivery, Pbx, Portal, Recording, db
from bx24app.operations.alerts.candidates import ASKED_IN_VAIN, DEAD_FOR
from bx24app.operations.alerts.notices import Trouble

AFTER = timedelta(minutes=10)
"""A circuit that is open for so long is no hiccup."""
AWAY = "away"


def standing(portal: Portal, document: Settings, now: datetime) -> dict[str, dict[str, Trouble]]:
    """By kind and by what it concerns: what holds now. Of a kind that cannot be judged now nothing is said."""
    found = {"dead": _dead(portal, now), "disk": _disk(portal), AWAY: {}}
    quiet = _quiet(portal, document)
    if quiet is not None:
        found["pbx_away"] = quiet
    trouble = away(portal, document, now)
    if trouble is not None:
        found[AWAY] = {"portal": trouble}
    return found


def away(portal: Portal, document: Settings, now: datetime) -> Trouble | None:
    """The portal has not answered for some time."""
    try:
        seconds = circuit_breaker.of_portal(portal.id).open_for()
    except redis.RedisError:
        return None
    if seconds < AFTER.total_seconds():
        return None
    at = (now - timedelta(seconds=seconds)).astimezone(ZoneInfo(document.portal.timezone)).strftime("%d.%m %H:%M")
    return Trouble(say(portal.lang, "portal_away", since=at), say(portal.lang, "portal_away_over", since=at))


def _quiet(portal: Portal, document: Settings) -> dict[str, Trouble] | None:
    """PBXs whose Mango does not answer what we ask; None: without Redis nobody knows."""
    found: dict[str, Trouble] = {}
    query = select(Pbx).where(Pbx.portal_id == portal.id, Pbx.removed_at.is_(None))
    for row in db.session.scalars(query):
        pbx = document.by_key.get(row.key)
        try:
            stands = row.ask_failures >= ASKED_IN_VAIN or circuit_breaker.of_pbx(row.id).open_for() >= AFTER.total_seconds()
        except redis.RedisError:
            return None
        if stands and pbx is not None:
            name = pbx.name or pbx.key
            found[row.key] = Trouble(say(portal.lang, "pbx_away", pbx=name), say(portal.lang, "pbx_away_over", pbx=name))
    return found


def refused(portal_id: int, now: datetime) -> int:
    """Deliveries of the last days that the portal refused for good and a person may try again."""
    dead = replay.revivable(portal_id).where(Delivery.created_at > now - DEAD_FOR).subquery()
    return db.session.scalar(select(func.count()).select_from(dead)) or 0


def without_space(portal_id: int) -> int:
    """Recordings that wait because the portal's disk is full."""
    waiting = (Recording.due_at.is_not(None), Recording.portal_id == portal_id, Recording.problem == DISK_FULL)
    return db.session.scalar(select(func.count()).where(*waiting)) or 0


def _dead(portal: Portal, now: datetime) -> dict[str, Trouble]:
    count = refused(portal.id, now)
    return {"portal": Trouble(say(portal.lang, "dead", count=str(count)), say(portal.lang, "dead_over"))} if count else {}


def _disk(portal: Portal) -> dict[str, Trouble]:
    count = without_space(portal.id)
    if not count:
        return {}
    words = say(portal.lang, "disk", why=sentence("disk", portal.lang), count=str(count))
    return {"portal": Trouble(words, say(portal.lang, "disk_over"))}
