"""Keeps calls of one unknown client that ring, or end, within milliseconds from asking the portal at the same time.

The portal looks a number up and creates the record in two steps, so two requests at once would create two records.
`batches.claim` asks which calls may go on. A call that waits learns from its own register, or its own query, that the
client is known by now.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from bx24app.domain import phone
from bx24app.domain.calls import record_queries
from bx24app.models import Delivery

MAX_WAIT = timedelta(seconds=10)
"""A call waits no longer than this for another one: a request that hangs, or is refused again and again, must not hold
up cards."""


def select_sendable(
    due: list[list[Delivery]], open_rows: Iterable[Delivery], now: datetime, *, shared: bool = False
) -> list[list[Delivery]]:
    """Of the calls that are due, those that need not wait for another call of the same client.

    Args:
        due: the open rows of each call, the most urgent call first.
        open_rows: all rows of the portal that wait or are on their way.
        shared: the calls leave in one batch, which carries them out one after the other; only a decision that needs an
            answer must wait.
    """
    ahead: dict[str, int] = {}
    in_flight: set[str] = set()
    for row in open_rows:
        number = requested_number(row)
        if number and _is_in_flight(row, now):
            in_flight.add(number)
            ahead.setdefault(number, row.call_id)
        if number and (row.kind == "CreateRecord" and _is_due_now(row, now)):
            ahead.setdefault(number, row.call_id)
    sendable: list[list[Delivery]] = []
    for rows in due:
        number = next(filter(None, map(requested_number, rows)), None)
        is_first = number is None or ahead.setdefault(number, rows[0].call_id) == rows[0].call_id
        is_together = shared and number not in in_flight and not any(map(_is_client_lookup, rows))
        if is_first or is_together:
            sendable.append(rows)
    return sendable


def requested_number(row: Delivery) -> str | None:
    """The number whose client this command looks up or creates."""
    if not (row.kind in ("Register", "CreateRecord") or _is_client_lookup(row)) or row.command.get("part", 1) != 1:
        return None
    number = row.command.get("number")
    return str(number) if number and number != phone.PLACEHOLDER else None


def _is_client_lookup(row: Delivery) -> bool:
    """Does its answer decide whether a record is created?"""
    return row.kind == "ReadClient" and row.key == record_queries.FIND_CLIENT_KEY


def _is_in_flight(row: Delivery, now: datetime) -> bool:
    return row.state == "sent" and row.sent_at is not None and row.sent_at > now - MAX_WAIT


def _is_due_now(row: Delivery, now: datetime) -> bool:
    return row.state == "waiting" and (row.due_at is None or row.due_at <= now) and row.created_at > now - MAX_WAIT
