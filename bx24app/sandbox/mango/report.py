"""Writes the call log as Mango's older statistics do: a CSV row per leg (`stats/result`).

Column names and codes are those of the VPBX API. `statistics` handles the requests, `entry_report` writes the newer
statistics.
"""

from __future__ import annotations

from collections.abc import Callable

from bx24app.sandbox.mango.call_log import CallLog, Entry, Leg

DEFAULT_COLUMNS = (
    "records", "start", "finish", "answer", "from_extension", "from_number", "to_extension", "to_number",
    "disconnect_reason", "line_number", "location",
)  # fmt: skip
COLUMNS = (*DEFAULT_COLUMNS, "entry_id", "create")


def recording_ids(entry: Entry, call_id: str) -> list[str]:
    """The recordings of a leg whose file is stored or will be."""
    recordings = entry.recordings.values()
    return [
        recording.recording_id
        for recording in recordings
        if call_id in recording.call_ids and recording.code == 1000
    ]


def format_csv(call_log: CallLog, columns: list[str], is_wanted: Callable[[Leg], bool]) -> str:
    """The rows in the order of their start: `;` between columns, CRLF at the end, no header, no quoting."""
    rows = [(leg, entry) for entry in call_log.entries.values() for leg in entry.legs.values() if is_wanted(leg)]
    rows.sort(key=lambda row: row[0].start)
    return "".join(";".join(_csv_row(leg, entry, columns)) + "\r\n" for leg, entry in rows)


def _csv_row(leg: Leg, entry: Entry, columns: list[str]) -> list[str]:
    sender, receiver = leg.sides["from"], leg.sides["to"]
    line = sender.get("line_number") or receiver.get("line_number") or ""
    values = {
        "records": "[" + ",".join(recording_ids(entry, leg.call_id)) + "]",
        "start": leg.start,
        "finish": leg.end,
        "answer": leg.answer,
        "from_extension": sender.get("extension", ""),
        "from_number": sender.get("number", ""),
        "to_extension": receiver.get("extension", ""),
        "to_number": receiver.get("number", ""),
        "disconnect_reason": leg.reason,
        "line_number": line,
        "location": leg.location,
        "entry_id": entry.entry_id,
        "create": entry.started_at,
    }
    return [str(values[name]) for name in columns]
