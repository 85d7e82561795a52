"""The short vocabulary: `call_start`, `call_answer`, `call_transfer`, `call_end`, `call_record`, as unsigned JSON.

Translated from the same true notifications that the signed dialect sends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bx24app.sandbox.mango.call_log import CallLog, Entry
from bx24app.sandbox.mango.model import Pbx

EventList = list[tuple[str, dict[str, Any]]]
_DIRECTIONS = {0: "internal", 1: "in", 2: "out"}


class EventsTranslator:
    """Remembers per entry what has been told already."""

    def __init__(self, pbx: Pbx, facts: CallLog, link: Callable[[str], str]) -> None:
        self.pbx = pbx
        self.call_log = facts
        self.make_link = link
        self._emitted_events: dict[str, set[str]] = {}
        self._talking_extensions: dict[str, str] = {}

    def translate_notification(self, path: str, body: dict[str, Any]) -> EventList:
        """The short events, none or one, that a notification gives."""
        if path == "events/call":
            return self._leg_events(body)
        if path == "events/summary":
            return [("call_end", self._end_body(body))]
        if path == "events/record/added":
            entry = self.call_log.entries[body["entry_id"]]
            told = self._event_body(entry, "Answered" if entry.talk_seconds else "Missed")
            return [("call_record", {**told, "record_url": self.make_link(body["recording_id"])})]
        return []

    def _leg_events(self, body: dict[str, Any]) -> EventList:
        entry = self.call_log.entries[body["entry_id"]]
        told = self._emitted_events.setdefault(entry.entry_id, set())
        if "start" not in told:
            told.add("start")
            return [("call_start", self._event_body(entry, "Appeared"))]
        if body["call_state"] != "Connected" or body["location"] != "abonent" or self._is_first_callback_leg(body):
            return []
        extension = str(body["to"].get("extension") or body["from"].get("extension") or "")
        before = self._talking_extensions.get(entry.entry_id)
        self._talking_extensions[entry.entry_id] = extension
        if before is None:
            return [("call_answer", self._event_body(entry, "Answered"))]
        if before == extension:
            return []
        return [("call_transfer", {**self._event_body(entry, "Answered"), "from": {"extension": before}})]

    def _is_first_callback_leg(self, body: dict[str, Any]) -> bool:
        return "callback_initiator" in body and "taken_from_call_id" not in body["from"]

    def _end_body(self, summary: dict[str, Any]) -> dict[str, Any]:
        entry = self.call_log.entries[summary["entry_id"]]
        talk = entry.talk_seconds
        out = self._event_body(entry, "Answered" if talk else "Missed")
        whole = summary["end_time"] - summary["create_time"]
        return {**out, "finish_time": summary["end_time"], "duration": talk if summary["talk_time"] else whole}

    def _event_body(self, entry: Entry, state: str) -> dict[str, Any]:
        leg = next(iter(entry.legs.values()))
        outgoing = self._guess_direction(entry)
        out: dict[str, Any] = {
            "uuid": f"u-{entry.entry_id}",
            "entry_id": entry.entry_id,
            "start_time": entry.started_at,
            "finish_time": None,
            "duration": 0,
            "call_direction": _DIRECTIONS[int(entry.summary["call_direction"])] if entry.summary else outgoing,
            "call_state": state,
        }
        line = next((side["line_number"] for side in leg.sides.values() if "line_number" in side), None)
        if line or self.pbx.lines:
            out["line_number"] = line or self.pbx.lines[0].number
        extension = self._talking_extensions.get(entry.entry_id, "0")
        person = {"number": extension, "extension": extension}
        client = {"number": self._client_number(entry)} if self._client_number(entry) else {}
        out["from"], out["to"] = (person, client) if out["call_direction"] == "out" else (client, person)
        return out

    def _guess_direction(self, entry: Entry) -> str:
        first = next(iter(entry.legs.values()))
        if first.sides["from"].get("extension") or first.callback:
            return "internal" if first.sides["to"].get("extension") and not first.callback else "out"
        return "in"

    def _client_number(self, entry: Entry) -> str:
        """The outside number of the first leg, `+` in front."""
        for leg in entry.legs.values():
            for side in leg.sides.values():
                number = str(side.get("number", ""))
                if number.isdigit() and "extension" not in side and not self.pbx.find_line(number):
                    return f"+{number}"
        return ""
