"""How many calls an action would concern, for pages: the counts of `calls.journal.counts` for the portal of the
request.

Days are those of the portal's time zone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from flask import g

from bx24app.calls.journal import counts
from bx24app.models import utcnow
from bx24app.web.base.i18n import current_timezone

WEEK = timedelta(days=7)


def count_calls_today() -> dict[int, int]:
    """PBX row id -> calls since midnight."""
    return counts.count_by_pbx(g.portal.id, _midnight())


def count_calls_last_day(pbx_id: int) -> int:
    """Calls of one PBX in the last 24 hours."""
    return counts.count_of_pbx(g.portal.id, pbx_id, utcnow() - timedelta(days=1))


def count_calls_by_rule() -> dict[str, tuple[int, int]]:
    """Rule -> (calls that it decided in the last seven days, those of them with a problem)."""
    return counts.count_by_rule(g.portal.id, utcnow() - WEEK)


def count_calls_yesterday(
    pbxs: Iterable[str], lines: Iterable[tuple[str, str]] = (), users: Iterable[int] = ()
) -> int:
    """Yesterday's calls on these PBXs (keys), on these lines (PBX key, number), or with these employees."""
    today = _midnight()
    return counts.count_concerned(g.portal.id, (today - timedelta(days=1), today), pbxs, lines, users)


def _midnight() -> datetime:
    return utcnow().astimezone(ZoneInfo(current_timezone())).replace(hour=0, minute=0, second=0, microsecond=0)
