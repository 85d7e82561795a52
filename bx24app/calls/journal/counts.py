"""How many calls of the journal a thing concerns: a PBX, a line, a rule, an employee. For pages and alerts.

Each function is one query on an index of `call`; times are aware datetimes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from bx24app.domain import phone
from bx24app.models import Call, Recording, db

MAX_RECORDING_LAGS = 2000
"""A median over the newest ones is as good, and a busy portal attaches tens of thousands a week."""


def count_by_pbx(portal_id: int, since: datetime) -> dict[int, int]:
    """PBX row id -> calls that began at `since` or later."""
    query = select(Call.pbx_id, func.count()).where(Call.portal_id == portal_id, Call.started_at >= since)
    return _as_dict(query)


def count_of_pbx(portal_id: int, pbx_id: int, since: datetime) -> int:
    """Calls of one PBX that began at `since` or later."""
    where = (Call.portal_id == portal_id, Call.pbx_id == pbx_id, Call.started_at >= since)
    return db.session.scalar(select(func.count()).where(*where)) or 0


def count_unmapped_by_pbx(portal_id: int, since: datetime) -> dict[int, int]:
    """PBX row id -> calls in which an extension rang that is mapped to no employee."""
    where = (Call.portal_id == portal_id, Call.unmapped.is_not(None), Call.started_at >= since)
    return _as_dict(select(Call.pbx_id, func.count()).where(*where))


def count_by_user(portal_id: int, pbx_key: str, since: datetime) -> dict[int, int]:
    """User id -> calls of this PBX in which the user talked last; an unanswered call counts for its responsible."""
    user = func.coalesce(Call.user_id, Call.responsible_id).label("user_id")
    where = (Call.portal_id == portal_id, Call.pbx_key == pbx_key, Call.started_at >= since)
    return {row.user_id: row[1] for row in db.session.execute(select(user, func.count()).where(*where).group_by(user))}


def count_by_rule(portal_id: int, since: datetime) -> dict[str, tuple[int, int]]:
    """Rule -> (calls that it decided, those of them with a problem)."""
    where = (Call.portal_id == portal_id, Call.started_at >= since, Call.rule.is_not(None))
    query = select(Call.rule, func.count(), func.count(Call.problem)).where(*where).group_by(Call.rule)
    return {str(rule): (count, with_problem) for rule, count, with_problem in db.session.execute(query)}


def count_concerned(
    portal_id: int,
    period: tuple[datetime, datetime],
    pbxs: Iterable[str],
    lines: Iterable[tuple[str, str]] = (),
    users: Iterable[int] = (),
) -> int:
    """Visible calls on these PBXs (keys), on these lines (PBX key, number), or with these employees.

    Args:
        period: from the first moment up to, but without, the second.
    """
    since, until = period
    numbers = [(key, _number_spellings(number)) for key, number in lines]
    where: list[ColumnElement[bool]] = [Call.pbx_key.in_(list(pbxs)), Call.user_id.in_(list(users))]
    where += [and_(Call.pbx_key == key, Call.line_number.in_(spellings)) for key, spellings in numbers]
    query = select(func.count()).where(
        Call.portal_id == portal_id,
        Call.visible.is_(True),
        Call.started_at >= since,
        Call.started_at < until,
        or_(*where),
    )
    return db.session.scalar(query) or 0


def recording_lags(portal_id: int, since: datetime) -> list[float]:
    """Seconds from the notice of a recording to its attachment, of the newest ones attached since then."""
    query = select(Recording.lag_seconds).where(
        Recording.portal_id == portal_id, Recording.attached_at >= since, Recording.lag_seconds.is_not(None)
    )
    newest = query.order_by(Recording.attached_at.desc()).limit(MAX_RECORDING_LAGS)
    return [float(lag) for lag in db.session.scalars(newest) if lag is not None]


def _as_dict(query: Select[int, int]) -> dict[int, int]:
    return {row[0]: row[1] for row in db.session.execute(query.group_by(Call.pbx_id))}


def _number_spellings(number: str) -> list[str]:
    """A line's number as the PBX and the settings may write it."""
    digits = phone.digits_only(number)
    return [number, digits, f"+{digits}"] if digits else [number]
