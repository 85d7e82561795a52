"""What a pass must know of the portal besides its calls, read in one statement: which calls are folded again by
themselves, and which users are dismissed.

`portal_fold.fold_portal` reads it after the new notifications have their calls.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, cast, literal, null, select, union_all
from sqlalchemy.orm import Session

from bx24app.models import Call, Portal, PortalUser
from bx24app.models.base import Moment

FIRST_DUE = 20
"""Of the portal's calls that wait for a time, so many are read: the first ones."""

_DUE = (
    select(literal("due").label("kind"), Call.id.label("number"), Call.due_at.label("at"))
    .where(Call.portal_id == bindparam("portal"), Call.due_at.is_not(None))
    .order_by(Call.due_at)
    .limit(FIRST_DUE)
    .subquery()
)
_DISMISSED = select(literal("dismissed"), PortalUser.user_id, cast(null(), Moment)).where(
    PortalUser.portal_id == bindparam("portal"), PortalUser.active.is_(False)
)
# Built once: building a statement costs more than SQLite needs to answer it.
_FACTS = union_all(select(_DUE), _DISMISSED)


@dataclass(frozen=True, slots=True)
class PortalFacts:
    """What `load` has read."""

    due: tuple[tuple[int, datetime], ...]
    """(row id, `Call.due_at`) of the first calls that wait for a time."""
    dismissed_users: frozenset[int]

    def has_due_call(self, now: datetime) -> bool:
        """Must a call be folded now because its time has come?"""
        return any(at <= now for _, at in self.due)

    def next_due_at(self, folded: Container[int], times: Iterable[datetime | None]) -> tuple[datetime | None, bool]:
        """When the next call is due by itself, and whether that is certain: the table may hold an earlier one where all
        that was read has changed.

        Args:
            folded: row ids of the calls that were folded meanwhile.
            times: their new `Call.due_at`.
        """
        others = [at for number, at in self.due if number not in folded]
        soonest = min([*others, *(at for at in times if at is not None)], default=None)
        return soonest, bool(others) or len(self.due) < FIRST_DUE


def load(session: Session, portal: Portal) -> PortalFacts:
    """Read them for this portal, whose lock the caller holds."""
    due: list[tuple[int, datetime]] = []
    dismissed: set[int] = set()
    for kind, number, at in session.execute(_FACTS, {"portal": portal.id}):
        if kind == "due":
            due.append((number, at))
        else:
            dismissed.add(number)
    return PortalFacts(tuple(due), frozenset(dismissed))
