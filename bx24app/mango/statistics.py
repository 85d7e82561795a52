"""Mango's statistics as domain events: what lost notifications would have said of a call. Pure.

Both may be folded together: the ring and the answer of a leg carry no counter (0 and less), so that the fold places
them among the notifications by their time; the end lies behind all. A leg's id is the `call_id` of its notifications
(`external_call_id`).
"""

from __future__ import annotations

from bx24app.domain.calls.events import PbxEvent
from bx24app.mango import statistics_calls, statistics_legs
from bx24app.mango.notification import MalformedNotification, NotificationIdentity, make_dedup_key, read_object
from bx24app.mango.statistics_calls import entry_to_events
from bx24app.mango.statistics_legs import CSV_FIELDS, csv_to_entries, rows_to_events

__all__ = ["CALLS", "CSV_FIELDS", "LEGS", "csv_to_entries", "entry_to_events", "identify", "parse", "rows_to_events"]

DIALECT = "statistics"
"""`Notification.dialect` of an entry that came from statistics."""
CALLS = "stats/calls"
"""Name under which an entry of `calls_result` is stored, as its JSON."""
LEGS = "stats/legs"
"""Name under which rows of the older statistics are stored, as ``{"entry_id": …, "rows": […]}``."""


def identify(name: str, raw_json: str) -> NotificationIdentity:
    """The entry that it is about, and a key that is the same for the same content.

    Raises:
        MalformedNotification: not a JSON object, or without entry id.
    """
    content = read_object(raw_json)
    shape = statistics_calls.validate_entry(content) if name == CALLS else statistics_legs.validate_rows(content)[0]
    return NotificationIdentity(name, shape.entry_id, None, make_dedup_key(name, content))


def parse(name: str, raw_json: str, received_at: int = 0) -> list[PbxEvent]:
    """The events of a stored entry (`CALLS`) or of stored rows (`LEGS`). `received_at` is not needed, since every step
    has its time.

    Raises:
        MalformedNotification: wrong shape; the message names the path of the field.
    """
    del received_at
    content = read_object(raw_json)
    if name == CALLS:
        return entry_to_events(content)
    if name == LEGS:
        return statistics_legs.build_events(statistics_legs.validate_rows(content))
    raise MalformedNotification(f"{name[:40]!r} is no kind of statistics.")
