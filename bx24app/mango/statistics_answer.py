"""The finished answer of `stats/calls`: the calls of all its days. Pure; `MangoClient.fetch_calls` calls it."""

from __future__ import annotations

from typing import Any

from bx24app.mango.errors import RequestRefused


def read_lists(data: Any) -> list[dict[str, Any]]:
    """The entries of all days. `data` is an array of days (D26, 3.4.2.3) or, on some accounts, one object; an empty
    array means no calls, anything without a list of objects is an error and not "no calls".

    Raises:
        RequestRefused: there is no list.
    """
    days = [data] if isinstance(data, dict) else data
    lists = [day.get("list") if isinstance(day, dict) else None for day in days] if isinstance(days, list) else [None]
    entries = [entry for entries in lists if isinstance(entries, list) for entry in entries]
    if not all(isinstance(entries, list) for entries in lists) or not all(isinstance(entry, dict) for entry in entries):
        raise RequestRefused("Mango's statistics hold no list of calls.")
    return entries
