"""The client history of one pass: other calls and open to-dos of all clients of the pass, read in one query each and
only on demand.

The fold context asks it whether a call has overlapping calls or open to-dos.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session

from bx24app.domain.calls import linked_calls
from bx24app.models import Call, Portal, Todo

RECENT_SPAN = timedelta(minutes=2)
"""A call that ended this short a time ago may still be creating its record."""
MAX_CALL_LENGTH = timedelta(seconds=linked_calls.MAX_TALK_SECONDS)
MAX_CALLS = 1_000
"""Calls that are read for a whole pass; if there are more, each call asks for its own."""

# Built once: building a statement costs more than SQLite needs to answer it.
_CALLS_QUERY = select(Call.client_number, Call.id, Call.started_at, Call.ended_at).where(
    Call.portal_id == bindparam("portal"),
    Call.client_number.in_(bindparam("clients", expanding=True)),
    Call.started_at >= bindparam("first"),
    or_(Call.ended_at.is_(None), Call.ended_at >= bindparam("since")),
)
_CALLS_QUERY = _CALLS_QUERY.limit(MAX_CALLS)
_OVERLAP_QUERY = select(Call.id).where(
    Call.portal_id == bindparam("portal"),
    Call.client_number == bindparam("client"),
    Call.id != bindparam("call"),
    Call.started_at.between(bindparam("first"), bindparam("last")),
    or_(Call.ended_at.is_(None), Call.ended_at >= bindparam("since")),
)
_OVERLAP_QUERY = _OVERLAP_QUERY.limit(1)
_TODOS_QUERY = select(Todo).where(
    Todo.portal_id == bindparam("portal"),
    Todo.client_number.in_(bindparam("clients", expanding=True)),
    Todo.state == "open",
)
_TODOS_QUERY = _TODOS_QUERY.order_by(Todo.id)


class ClientHistory:
    """Other calls and open to-dos of the clients of one pass.

    Decisions of a pass stay in the session until all its calls are folded, because one statement for many rows costs
    little more than for one. Only if a pass holds two calls of one client, the first must be in the tables before the
    second is decided: `mark_unwritten` and `flush_unwritten` see to that.

    Args:
        clients: numbers as `Call.client_number` has them.
        since: when the first call of the pass began.
    """

    def __init__(self, session: Session, portal: Portal, clients: Iterable[str], since: datetime) -> None:
        self._session, self._portal_id = session, portal.id
        self._clients, self._since = sorted(set(clients)), since
        self._unwritten_clients: set[str] = set()
        self._reset_cache()

    def mark_unwritten(self, *clients: str | None) -> None:
        """From now on the session holds changes about these clients that the tables do not have."""
        self._unwritten_clients.update(filter(None, clients))

    def flush_unwritten(self, *clients: str | None) -> None:
        """Write the session's changes if some of them concern these clients."""
        if not self._unwritten_clients.isdisjoint(clients):
            self._session.flush()
            self._unwritten_clients.clear()
            self._reset_cache()

    def _reset_cache(self) -> None:
        self._calls_by_client: dict[str | None, list[tuple[int, datetime, datetime | None]]] | None = None
        self._has_too_many = False
        self._todos_by_client: dict[str, list[Todo]] | None = None

    def open_todos(self, client: str) -> list[Todo]:
        """The open to-dos of this client's missed calls, oldest first."""
        if self._todos_by_client is None:
            self._todos_by_client = defaultdict(list)
            for row in self._session.scalars(_TODOS_QUERY, {"portal": self._portal_id, "clients": self._clients}):
                self._todos_by_client[row.client_number].append(row)
        return self._todos_by_client.get(client, [])

    def has_overlapping_call(self, client: str, call_id: int, begin: datetime, end: datetime) -> bool:
        """Whether another call of this client was under way, or just over, between these moments."""
        if self._calls_by_client is None:
            self._read_calls()
        first, last, since = begin - MAX_CALL_LENGTH, end + RECENT_SPAN, begin - RECENT_SPAN
        if self._has_too_many or self._calls_by_client is None:
            span = {"first": first, "last": last, "since": since}
            values = {"portal": self._portal_id, "client": client, "call": call_id, **span}
            return self._session.scalar(_OVERLAP_QUERY, values) is not None
        return any(
            other_id != call_id and first <= started <= last and (ended is None or ended >= since)
            for other_id, started, ended in self._calls_by_client.get(client, ())
        )

    def _read_calls(self) -> None:
        span = {"first": self._since - MAX_CALL_LENGTH, "since": self._since - RECENT_SPAN}
        rows = self._session.execute(_CALLS_QUERY, {"portal": self._portal_id, "clients": self._clients, **span}).all()
        self._calls_by_client, self._has_too_many = defaultdict(list), len(rows) == MAX_CALLS
        for client, call_id, started, ended in rows:
            self._calls_by_client[client].append((call_id, started, ended))
