"""Calls in numbers, for pages that say what an action would stop."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from zoneinfo import ZoneInfo

from flask import g
from sqlalchemy import ColumnElement, and_, func, or_, select

from bx24app.domain import phone
from bx24app.models import Call, db, utcnow
from bx24app.web.base.i18n import current_timezone


def count_calls_today() -> dict[int, int]:
    """PBX row id -> calls since the portal's midnight."""

    midnight = utcnow().astimezone(ZoneInfo(current_timezone())).replace(hour=0, minute=0, second=0, microsecond=0)
    query = select(Call.pbx_id, func.count()).where(Call.portal_id == g.portal.id, Call.started_at >= midnight)
    found: dict[int, int] = {row[0]: row[1] for row in db.session.execute(query.group_by(Call.pbx_id))}
    return found


def count_calls_last_day(pbx_id: int) -> int:
    """Calls of one PBX in the last 24 hours."""

    since = utcnow() - timedelta(days=1)
    where = (Call.portal_id == g.portal.id, Call.pbx_id == pbx_id, Call.started_at >= since)
    return db.session.scalar(select(func.count()).where(*where)) or 0


WEEK = timedelta(days=7)


def count_calls_by_rule() -> dict[str, tuple[int, int]]:
    """Rule -> (calls that it decided in the last seven days, those of them with a problem)."""
    where = (Call.portal_id == g.portal.id, Call.started_at >= utcnow() - WEEK, Call.rule.is_not(None))
    query = select(Call.rule, func.count(), func.count(Call.problem)).where(*where).group_by(Call.rule)
    return {str(rule): (count, troubled) for rule, count, troubled in db.session.execute(query)}


def count_calls_yesterday(pbxs: Iterable[str], lines: Iterable[tuple[str, str]] = (), users: Iterable[int] = ()) -> int:
    """Calls of the portal's yesterday on these PBXs (keys), on these lines (PBX key and number), or talked by these employees."""
    today = utcnow().astimezone(ZoneInfo(current_timezone())).replace(hour=0, minute=0, second=0, microsecond=0)
    numbers = [(key, _number_spellings(number)) for key, number in lines]
    where: list[ColumnElement[bool]] = [Call.pbx_key.in_(list(pbxs)), Call.user_id.in_(list(users))]
    where += [and_(Call.pbx_key == key, Call.line_number.in_(written)) for key, written in numbers]
    query = select(func.count()).where(
        Call.portal_id == g.portal.id,
        Call.visible.is_(True),
        Call.started_at >= today - timedelta(days=1),
        Call.started_at < today,
        or_(*where),
    )
    return db.session.scalar(query) or 0


def _number_spellings(number: str) -> list[str]:
    """A line's number as the PBX and the settings may write it."""
    digits = phone.digits_only(number)
    return [number, digits, f"+{digits}"] if digits else [number]
