"""Which portals the alert monitor checks: those with a problem, and those with a notice whose problem may be over.

The number of queries does not depend on how many portals are installed. A portal that is listed needlessly costs one
check; a portal that is left out would never be alerted.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import redis
from sqlalchemy import ColumnElement, Select, or_, select

from bx24app.infra import circuit_breaker
from bx24app.models import Call, Delivery, Notice, Pbx, Portal, Recording, SetAside, db

MIN_ASK_FAILURES = 3
"""Requests in a row that Mango did not answer. A PBX without waiting recordings has no circuit breaker that would show
it."""
DEAD_FOR = timedelta(days=3)
"""How long a refused delivery counts; whoever has not tried it again by then does not want it."""
LOST_FOR = timedelta(days=3)
"""How long after its call a lost recording counts."""
UNMAPPED_FOR = timedelta(days=7)
"""How long after a call its unmapped extensions count."""
SILENCE = timedelta(hours=1)
"""A PBX without notifications for this long in working hours is silent, if the same hour usually brings calls."""
COMPARED_WEEKS = 3
"""How many previous weeks the hour is compared with."""


def find_candidates(now: datetime) -> list[int]:
    """Ids of portals, in order. Ends the transaction."""
    ids: set[int] = set()
    for query in _candidate_queries(now):
        ids |= set(db.session.scalars(query))
    db.session.rollback()
    return sorted(ids)


def _candidate_queries(now: datetime) -> list[Select[int]]:
    portals, pbxs = _unreachable_ids()
    installed = Portal.state.in_(("active", "needs_admin"))
    with_notice = select(Notice.portal_id).distinct()
    lost = select(Recording.portal_id).join(Call, Call.id == Recording.call_id)
    unreachable = or_(Pbx.ask_failures >= MIN_ASK_FAILURES, Pbx.id.in_(pbxs))
    return [
        select(Portal.id).where(or_(Portal.state == "needs_admin", installed & Portal.id.in_(with_notice))),
        select(Portal.id).where(installed, Portal.id.in_(portals)),
        _only_active(select(Pbx.portal_id).where(Pbx.removed_at.is_(None), or_(unreachable, _is_silent(now)))),
        _only_active(lost.where(Recording.state == "lost", Call.started_at > now - LOST_FOR)),
        _only_active(select(Recording.portal_id).where(Recording.due_at.is_not(None), Recording.problem.is_not(None))),
        _only_active(select(Call.portal_id).where(Call.unmapped.is_not(None), Call.started_at > now - UNMAPPED_FOR)),
        _only_active(select(Delivery.portal_id).where(Delivery.state == "dead", Delivery.created_at > now - DEAD_FOR)),
        _only_active(select(SetAside.portal_id).where(SetAside.is_waiting.is_(False))),
    ]


def _only_active(query: Select[int]) -> Select[int]:
    """Without portals that are paused or removed."""
    return select(Portal.id).where(Portal.state == "active", Portal.id.in_(query))


def _is_silent(now: datetime) -> ColumnElement[bool]:
    """The last hour brought no notification, and the same hour of some week did bring calls.

    A PBX silent for all these weeks is left out.
    """
    last = Pbx.last_notification_at
    return (last <= now - SILENCE) & (last > now - timedelta(weeks=COMPARED_WEEKS) - SILENCE) & or_(
        *(_has_calls(now - timedelta(weeks=week)) for week in range(1, COMPARED_WEEKS + 1))
    )  # fmt: skip


def _has_calls(until: datetime) -> ColumnElement[bool]:
    # One probe of an index for each PBX; as EXISTS, PostgreSQL may read the whole table instead.
    call = select(Call.id).where(
        Call.portal_id == Pbx.portal_id,
        Call.pbx_key == Pbx.key,
        Call.started_at > until - SILENCE,
        Call.started_at <= until,
    )
    return call.limit(1).correlate(Pbx).scalar_subquery().is_not(None)


def _unreachable_ids() -> tuple[list[int], list[int]]:
    """(portals, PBXs) with an open circuit breaker; none if Redis does not answer."""
    try:
        names = circuit_breaker.list_open_names()
    except redis.RedisError:
        return [], []
    numbers: dict[str, list[int]] = {"portal": [], "pbx": []}
    for name in names:
        kind, _, number = name.partition(":")
        numbers[kind].append(int(number))
    return numbers["portal"], numbers["pbx"]
