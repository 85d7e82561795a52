"""What the tables hold of the clients of one pass: their other calls and their open to-dos, asked for together and only when somebody needs them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session

from bx24app.domain.calls import linked_calls
from bx24app.models import Call, Portal, Todo

JUST = timedelta(minutes=2)
"""A call that ended so shortly before may still be making its record."""
LONGEST = timedelta(seconds=linked_calls.LONGEST_SECONDS)
MOST = 1_000
"""Calls that are looked at for a whole pass; where there are more, each call asks for its own."""

# Made once: building a statement costs more than SQLite needs to answer it.
_NEAR = select(Call.client_number, Call.id, Call.started_at, Call.ended_at).where(
    Call.portal_id == bindparam("portal"),
    Call.client_number.in_(bindparam("clients", expanding=True)),
    Call.started_at >= bindparam("first"),
    or_(Call.ended_at.is_(None), Call.ended_at >= bindparam("since")),
)
_NEAR = _NEAR.limit(MOST)
_OTHERS = select(Call.id).where(
    Call.portal_id == bindparam("portal"),
    Call.client_number == bindparam("client"),
    Call.id != bindparam("call"),
    Call.started_at.between(bindparam("first"), bindparam("last")),
    or_(Call.ended_at.is_(None), Call.ended_at >= bindparam("since")),
)
_OTHERS = _OTHERS.limit(1)
_MISSES = select(Todo).where(
    Todo.portal_id == bindparam("portal"), Todo.client_number.in_(bindparam("clients", expanding=True)), Todo.state == "open"
)
_MISSES = _MISSES.order_by(Todo.id)


class Past:
    """Of the clients of one pass. What is decided of a call stays in the session until the whole pass is written, since a statement for many
    rows costs little more than for one; only before another call of the same client is decided it must be in the tables.

    Args:
        clients: numbers as `Call.client_number` has them.
        since: when the first of these calls began.
    """

    def __init__(self, session: Session, portal: Portal, clients: Iterable[str], since: datetime) -> None:
        self._session, self._portal = session, portal.id
        self._clients, self._since = sorted(set(clients)), since
        self._unwritten: set[str] = set()
        self._forget()

    def decided(self, *clients: str | None) -> None:
        """Something of these clients is in the session alone from now on."""
        self._unwritten.update(filter(None, clients))

    def catch_up(self, *clients: str | None) -> None:
        """Bring the tables up to date where something of these clients is not there yet."""
        if not self._unwritten.isdisjoint(clients):
            self._session.flush()
            self._unwritten.clear()
            self._forget()

    def _forget(self) -> None:
        self._calls: dict[str | None, list[tuple[int, datetime, datetime | None]]] | None = None
        self._too_many = False
        self._todos: dict[str, list[Todo]] | None = None

    def todos(self, client: str) -> list[Todo]:
        """The open to-dos of this client's misses, the oldest first."""
        if self._todos is None:
            self._todos = defaultdict(list)
            for row in self._session.scalars(_MISSES, {"portal": self._portal, "clients": self._clients}):
                self._todos[row.client_number].append(row)
        return self._todos.get(client, [])

    def crowded(self, client: str, call_id: int, began: datetime, over: datetime) -> bool:
        """Was another call of this client under way, or just over, between these moments?"""
        if self._calls is None:
            self._read_calls()
        if self._too_many or self._calls is None:
            span = {"first": began - LONGEST, "last": over + JUST, "since": began - JUST}
            return self._session.scalar(_OTHERS, {"portal": self._portal, "client": client, "call": call_id, **span}) is not None
        return any(
            number != call_id
            and began - LONGEST <= started <= over + JUST
            and (ended is None or ended >= began - JUST)
            for number, started, ended in self._calls.get(client, ())
        )

    def _read_calls(self) -> None:
        span = {"first": self._since - LONGEST, "since": self._since - JUST}
        rows = self._session.execute(_NEAR, {"portal": self._portal, "clients": self._clients, **span}).all()
        self._calls, self._too_many = defaultdict(list), len(rows) == MOST
        for client, number, started, ended in rows:
            self._calls[client].append((number, started, ended))
