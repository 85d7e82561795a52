"""What happened on a PBX: its entries with their legs and recordings.

Every notification is added here before any delivery fault applies, whether a simulated call or a ready sequence
produced it. Statistics, recordings and pages read only this log, so they always agree with what was sent, or should
have been.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from bx24app.sandbox.mango import mp3


@dataclass
class Leg:
    """One `call_id`: the time in the menu or the queue, or one ringing device. Times are epoch seconds."""

    call_id: str
    location: str
    start: int
    sides: dict[str, dict[str, Any]] = field(default_factory=dict)
    answer: int = 0
    end: int = 0
    reason: int = 0
    hold_seconds: int = 0
    state: str = "Appeared"
    transfer: str = ""
    on_hold_since: int = 0
    callback: str = ""
    caller: str = ""
    """The extension that called first, before the call was handed over."""
    handed_over_at: int = 0
    """When the colleague who consulted here left the leg to the client."""
    recorded_as: str = ""
    """The leg whose recordings this one shares, if it is a part of that one."""


@dataclass
class Recording:
    """A recording of one employee. `is_stored` becomes true with `record/added`, at the monotonic time `stored_at`."""

    recording_id: str
    entry_id: str
    extension: str
    start: int
    end: int = 0
    call_ids: list[str] = field(default_factory=list)
    code: int = 0
    is_stored: bool = False
    stored_at: float = 0.0
    size: int | None = None
    is_deleted: bool = False

    def is_there(self, delay: float) -> bool:
        """Whether its file is found. Mango says that it sometimes is not, for about a minute (D26, 3.1.8 and 3.5)."""
        return self.is_stored and time.monotonic() >= self.stored_at + delay

    @property
    def seconds(self) -> int:
        """Length in seconds."""
        return max(1, self.end - self.start)

    @property
    def file_size(self) -> int:
        """Size of the file in bytes; `size` overrides what the length gives."""
        return self.size if self.size is not None else mp3.size_of(self.seconds)


@dataclass
class Entry:
    """All legs of one conversation."""

    entry_id: str
    legs: dict[str, Leg] = field(default_factory=dict)
    recordings: dict[str, Recording] = field(default_factory=dict)
    summary: dict[str, Any] | None = None
    started_at: int = 0

    @property
    def talk_seconds(self) -> int:
        """Length of the talk by the summary; 0 without a talk or a summary."""
        if not self.summary or not self.summary["talk_time"]:
            return 0
        return int(self.summary["end_time"]) - int(self.summary["talk_time"])


class CallLog:
    """All entries and recordings of one PBX. `recording_size` is the size in bytes of new recordings; None: by their
    length.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.recordings: dict[str, Recording] = {}
        self.recording_size: int | None = None

    def add_notification(self, path: str, body: dict[str, Any]) -> None:
        """Adds one notification. Paths that do not concern calls are ignored."""
        if path == "events/call":
            self._update_leg(body)
        elif path == "events/summary":
            entry = self._get_entry(body["entry_id"], int(body["create_time"]))
            entry.summary = body
            entry.started_at = int(body["create_time"])
        elif path == "events/recording":
            self._update_recording(body)
        elif path == "events/record/added" and (recording := self.recordings.get(body["recording_id"])):
            recording.stored_at = recording.stored_at if recording.is_stored else time.monotonic()
            recording.is_stored = True

    def _get_entry(self, entry_id: str, at: int) -> Entry:
        return self.entries.setdefault(entry_id, Entry(entry_id, started_at=at))

    def _update_leg(self, body: dict[str, Any]) -> None:
        at, state = int(body["timestamp"]), body["call_state"]
        entry = self._get_entry(body["entry_id"], at)
        leg = entry.legs.setdefault(body["call_id"], Leg(body["call_id"], body["location"], at))
        sender = body.get("from", {})
        if state == "Connected" and leg.answer and leg.sides["from"].get("extension") and "extension" not in sender:
            leg.handed_over_at = at
        leg.caller = leg.caller or str(sender.get("extension", ""))
        leg.sides = {"from": sender, "to": body.get("to", {})}
        leg.transfer = body.get("transfer", leg.transfer)
        leg.callback = body.get("callback_initiator", leg.callback)
        if leg.on_hold_since and state != "OnHold":
            leg.hold_seconds += at - leg.on_hold_since
            leg.on_hold_since = 0
        if state == "Connected" and not leg.answer:
            leg.answer = at
        elif state == "OnHold":
            leg.on_hold_since = at
        elif state == "Disconnected":
            leg.end, leg.reason = at, int(body["disconnect_reason"])
        leg.state = state

    def _update_recording(self, body: dict[str, Any]) -> None:
        at = int(body["timestamp"])
        entry = self._get_entry(body["entry_id"], at)
        recording = self.recordings.get(body["recording_id"])
        if recording is None:
            recording = Recording(body["recording_id"], entry.entry_id, str(body.get("extension", "")), at)
            recording.size = self.recording_size
            self.recordings[recording.recording_id] = entry.recordings[recording.recording_id] = recording
        if body["call_id"] not in recording.call_ids:
            recording.call_ids.append(body["call_id"])
        if body["recording_state"] == "Completed":
            recording.end, recording.code = at, int(body["completion_code"])
