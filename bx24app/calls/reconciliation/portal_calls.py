"""Calls that the portal has already, whatever application reported them: read from its own telephony statistics for a
backfill.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from bx24app.bitrix24 import telephony
from bx24app.bitrix24.budget import Priority
from bx24app.calls.reconciliation.missing_calls import SAME_CALL_WITHIN, StatisticsEntry
from bx24app.domain import phone
from bx24app.portals import clients

PortalCall = tuple[str, bool, datetime]
"""(E.164 digits, outgoing, beginning) of a call that the portal has."""


def load_around(portal_id: int, entries: list[StatisticsEntry]) -> list[PortalCall]:
    """The portal's own statistics around these calls."""
    if not entries:
        return []
    client = clients.client_by_id(portal_id)
    since = entries[0].started_at - SAME_CALL_WITHIN
    until = entries[-1].started_at + SAME_CALL_WITHIN
    method, params = telephony.build_statistics_query(int(since.timestamp()), int(until.timestamp()))
    rows = client.iter_rows(method, params, Priority.BACKGROUND)
    return [call for row in rows if (call := _parse_call(row)) is not None]


def _parse_call(row: dict[str, Any]) -> PortalCall | None:
    """None: nothing to compare with; one odd row of the portal must not stop the others."""
    try:
        number, outgoing, started = telephony.parse_statistic(row)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if started.tzinfo is None:
        return None
    normal = phone.normalise(number)
    return (normal, outgoing, started) if normal is not None else None


def includes(calls: Iterable[PortalCall], entry: StatisticsEntry) -> bool:
    """Does the portal have a call with the same number and direction within a minute?

    Anonymous calls cannot be told apart: no.
    """
    return entry.client is not None and any(
        number == entry.client
        and outgoing == (entry.direction == "out")
        and abs(started - entry.started_at) <= SAME_CALL_WITHIN
        for number, outgoing, started in calls
    )
