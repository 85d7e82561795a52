"""Calls of one unknown client that ring, or end, within milliseconds: one asks the portal after the other.

The portal looks a number up and makes the record in two steps, so two requests at once would make one each. Whoever waits here learns
from its own register, or its own look-up, that the client is known by now.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from bx24app.domain import phone
from bx24app.domain.calls import record_queries
from bx24app.models import Delivery

MAX_WAIT = timedelta(seconds=10)
"""Nobody's card waits longer for another call: a request that hangs, or is refused again and again, holds up no one else."""


def select_sendable(
    due: list[list[Delivery]], open_rows: Iterable[Delivery], now: datetime, *, shared: bool = False
) -> list[list[Delivery]]:
    """Of the calls whose head may leave (most urgent first), those that need not wait for another call of the same client.

    Args:
        open_rows: everything of the portal that waits or is on its way.
        shared: they leave in one batch, where they stand one behind the other anyway; only what is decided by an answer must wait for it.
    """
    ahead: dict[str, int] = {}
    for row in open_rows:
        number = _requested_number(row)
        if number and (_is_in_flight(row, now) or (row.kind == "CreateRecord" and _is_due_now(row, now))):
            ahead.setdefault(number, row.call_id)
    free: list[list[Delivery]] = []
    for rows in due:
        number = next(filter(None, map(_requested_number, rows)), None)
        first = number is None or ahead.setdefault(number, rows[0].call_id) == rows[0].call_id
        if first or (shared and not any(map(_is_client_lookup, rows))):
            free.append(rows)
    return free


def _requested_number(row: Delivery) -> str | None:
    """The number whose client is looked up or made by this command."""
    if not (row.kind in ("Register", "CreateRecord") or _is_client_lookup(row)) or row.command.get("part", 1) != 1:
        return None
    number = row.command.get("number")
    return str(number) if number and number != phone.PLACEHOLDER else None


def _is_client_lookup(row: Delivery) -> bool:
    """Is its answer what decides whether a record is made?"""
    return row.kind == "ReadClient" and row.key == record_queries.FIND_CLIENT_KEY


def _is_in_flight(row: Delivery, now: datetime) -> bool:
    return row.state == "sent" and row.sent_at is not None and row.sent_at > now - MAX_WAIT


def _is_due_now(row: Delivery, now: datetime) -> bool:
    return row.state == "waiting" and (row.due_at is None or row.due_at <= now) and row.created_at > now - MAX_WAIT
