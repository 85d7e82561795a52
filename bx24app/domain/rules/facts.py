"""What rules know of a call.

The worker fills a `CallSnapshot` from the fold's view of the call, the dry run and the timeline fill it from the
journal's row. `conditions.compute_facts` turns a snapshot into `RuleFacts`, so all of them judge a call by the same
values. This module also writes the facts to the call's row and reads a snapshot back from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from bx24app.domain.settings import Day, LineSettings

NEVER = float("inf")
"""`minutes_since_last` of a client who has not called before."""

Moment = Literal["ring", "answer", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSnapshot:
    """A call at a moment, before any condition looks at it. None: not known yet, or never known."""

    moment: Moment
    started_at: datetime
    """Aware."""
    timezone: str
    """IANA name of the portal's zone."""
    pbx_key: str
    line: LineSettings | None = None
    raw_line: str | None = None
    """The line as the PBX names it, also where the settings do not know it."""
    direction: Literal["in", "out"] | None = None
    outcome: Literal["answered", "missed", "failed"] | None = None
    client_number: str | None = None
    """E.164; None or empty: anonymous."""
    client: Literal["new", "known"] | None = None
    talk_seconds: int | None = None
    rang: frozenset[str] = frozenset()
    """Extensions and groups."""
    open_records: frozenset[str] | None = None
    """Of deal and lead, those of which the client has an open one."""
    minutes_since_last: float | None = None
    """Since the same client's previous call; `NEVER`: there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFacts:
    """The values that conditions compare, one field for each condition of the table.

    None: not known yet. A fact that is still None at the end fulfils no condition.
    """

    moment: Moment
    direction: Literal["in", "out"] | None = None
    outcome: Literal["answered", "missed", "failed"] | None = None
    pbx: str | None = None
    line: str | None = None
    """Digits of the line as the PBX names it."""
    number: str | None = None
    """The client's, E.164; empty: anonymous."""
    client: Literal["new", "known"] | None = None
    hours: Literal["working", "off"] | None = None
    weekday: Day | None = None
    day_of_month: frozenset[str] | None = None
    """The day as a number, and `last` on the month's last day."""
    talk_seconds: int | None = None
    """Not before the end."""
    rang: frozenset[str] = frozenset()
    """Extensions and groups; grows until the end."""
    open_records: frozenset[str] | None = None
    minutes_since_last: float | None = None


STORED_FACTS = (
    "moment", "direction", "outcome", "pbx", "line", "number", "client", "hours", "weekday", "talk_seconds", "rang",
    "open_records", "minutes_since_last",
)  # fmt: skip
"""Facts on the call's row. One that follows from the row's own columns is computed when the row is read, and is not
stored: an older version of the program, which runs beside this one during an upgrade, refuses a fact that it does
not know."""


def facts_to_json(facts: RuleFacts) -> dict[str, Any]:
    """The facts as plain data for the call's row. Facts that are not known are left out."""
    values = {name: getattr(facts, name) for name in STORED_FACTS}
    values["rang"] = sorted(facts.rang)
    values["open_records"] = sorted(facts.open_records) if facts.open_records is not None else None
    if facts.minutes_since_last == NEVER:
        values["minutes_since_last"] = "never"
    return {name: value for name, value in values.items() if value is not None}


def snapshot_from_json(
    stored: Mapping[str, Any],
    *,
    started_at: datetime,
    timezone: str,
    pbx_key: str,
    line: LineSettings | None,
    raw_line: str | None,
) -> CallSnapshot:
    """The snapshot behind stored facts. The rest comes from the call's row and from the settings that look at it."""
    open_records, minutes = stored.get("open_records"), stored.get("minutes_since_last")
    return CallSnapshot(
        moment=stored.get("moment", "end"),
        started_at=started_at,
        timezone=timezone,
        pbx_key=pbx_key,
        line=line,
        raw_line=raw_line,
        direction=stored.get("direction"),
        outcome=stored.get("outcome"),
        client_number=stored.get("number"),
        client=stored.get("client"),
        talk_seconds=stored.get("talk_seconds"),
        rang=frozenset(stored.get("rang") or ()),
        open_records=frozenset(open_records) if open_records is not None else None,
        minutes_since_last=NEVER if minutes == "never" else minutes,
    )


def minutes_between(previous: float | None, started: float) -> float | None:
    """Minutes from the client's previous call to this one (both epoch seconds). Minus infinity: there was none;
    None: nobody looked."""
    if previous is None:
        return None
    return NEVER if previous == float("-inf") else max(0.0, (started - previous) / 60)
