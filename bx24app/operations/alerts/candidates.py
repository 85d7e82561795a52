"""Portals of which administrators may have to hear something: those with a trouble, or with one that was told and may be over.

`watching` looks at these alone. A constant number of queries, however many portals are installed; whoever is named here needlessly costs a
look, whoever is left out would never be told.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import redis
from sqlalchemy import ColumnElement, Select, or_, select

from bx24app.infra import circuit_breaker
from bx24app.models import Call, Delivery, Notice, Pbx, Portal, Recording, db

MIN_ASK_FAILURES = 3
"""So many questions in a row that Mango did not answer: of a PBX without recordings on their way no circuit tells."""
DEAD_FOR = timedelta(days=3)
"""A refused delivery stands for so long; whoever has not tried it again by then does not want it."""
LOST_FOR = timedelta(days=3)
"""A lost recording stands for so long after its call; then it is over, if no other was lost."""
UNMAPPED_FOR = timedelta(days=7)
SILENCE = timedelta(hours=1)
"""A PBX that said nothing for so long, though it is working time, has fallen silent, if such an hour usually brings calls."""
COMPARED_WEEKS = 3
"""The hour is compared with the same one of so many weeks before."""


def find_candidates(now: datetime) -> list[int]:
    """Ids of portals, in order. Ends the transaction."""
    found: set[int] = set()
    for query in _candidate_queries(now):
        found |= set(db.session.scalars(query))
    db.session.rollback()
    return sorted(found)


def _candidate_queries(now: datetime) -> list[Select[int]]:
    portals, pbxs = _unreachable_ids()
    installed = Portal.state.in_(("active", "needs_admin"))
    told = select(Notice.portal_id).distinct()
    lost = select(Recording.portal_id).join(Call, Call.id == Recording.call_id)
    troubled = or_(Pbx.ask_failures >= MIN_ASK_FAILURES, Pbx.id.in_(pbxs))
    return [
        select(Portal.id).where(or_(Portal.state == "needs_admin", installed & Portal.id.in_(told))),
        select(Portal.id).where(installed, Portal.id.in_(portals)),
        _only_active(select(Pbx.portal_id).where(Pbx.removed_at.is_(None), or_(troubled, _is_silent(now)))),
        _only_active(lost.where(Recording.state == "lost", Call.started_at > now - LOST_FOR)),
        _only_active(select(Recording.portal_id).where(Recording.due_at.is_not(None), Recording.problem.is_not(None))),
        _only_active(select(Call.portal_id).where(Call.unmapped.is_not(None), Call.started_at > now - UNMAPPED_FOR)),
        _only_active(select(Delivery.portal_id).where(Delivery.state == "dead", Delivery.created_at > now - DEAD_FOR)),
    ]


def _only_active(query: Select[int]) -> Select[int]:
    """Without those that are paused or gone."""
    return select(Portal.id).where(Portal.state == "active", Portal.id.in_(query))


def _is_silent(now: datetime) -> ColumnElement[bool]:
    """Not heard of for an hour that brought calls before. One that has been silent for longer than the weeks looked at usually is."""
    heard = Pbx.last_notification_at
    return (heard <= now - SILENCE) & (heard > now - timedelta(weeks=COMPARED_WEEKS) - SILENCE) & or_(
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
    """(portals, PBXs) with an open circuit; without Redis nobody knows."""
    try:
        names = circuit_breaker.list_open_names()
    except redis.RedisError:
        return [], []
    numbers: dict[str, list[int]] = {"portal": [], "pbx": []}
    for name in names:
        kind, _, number = name.partition(":")
        numbers[kind].append(int(number))
    return numbers["portal"], numbers["pbx"]


__all__ = ["COMPARED_WEEKS", "DEAD_FOR", "LOST_FOR", "MIN_ASK_FAILURES", "SILENCE", "UNMAPPED_FOR", "find_candidates"]
