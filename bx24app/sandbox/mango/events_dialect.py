"""The dialect `events`: `call_start`, `call_answer`, `call_transfer`, `call_end` and `call_record` as unsigned JSON.

`Board` uses it for products with this dialect. The events are translated from the notifications that the signed dialect
sends, so both dialects tell the same story.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bx24app.sandbox.mango.call_log import CallLog, Entry
from bx24app.sandbox.mango.model import Pbx

EventList = list[tuple[str, dict[str, Any]]]
_DIRECTIONS = {0: "internal", 1: "in", 2: "out"}


class EventsTranslator:
    """Translates the notifications of one PBX. Remembers per entry what it has already sent."""

    def __init__(self, pbx: Pbx, call_log: CallLog, make_link: Callable[[str], str]) -> None:
        self.pbx = pbx
        self.call_log = call_log
        self.make_link = make_link
        self._started_entries: set[str] = set()
        self._talking_extensions: dict[str, str] = {}

    def translate_notification(self, path: str, body: dict[str, Any]) -> EventList:
        """The events for one notification, as (name, body): one or none."""
        if path == "events/call":
            return self._leg_events(body)
        if path == "events/summary":
            return [("call_end", self._end_body(body))]
        if path == "events/record/added":
            entry = self.call_log.entries[body["entry_id"]]
            event = self._event_body(entry, "Answered" if entry.talk_seconds else "Missed")
            return [("call_record", {**event, "record_url": self.make_link(body["recording_id"])})]
        return []

    def _leg_events(self, body: dict[str, Any]) -> EventList:
        entry = self.call_log.entries[body["entry_id"]]
        if entry.entry_id not in self._started_entries:
            self._started_entries.add(entry.entry_id)
            return [("call_start", self._event_body(entry, "Appeared"))]
        if body["call_state"] != "Connected" or body["location"] != "abonent" or self._is_first_callback_leg(body):
            return []
        extension = str(body["to"].get("extension") or body["from"].get("extension") or "")
        previous = self._talking_extensions.get(entry.entry_id)
        self._talking_extensions[entry.entry_id] = extension
        if previous is None:
            return [("call_answer", self._event_body(entry, "Answered"))]
        if previous == extension:
            return []
        return [("call_transfer", {**self._event_body(entry, "Answered"), "from": {"extension": previous}})]

    def _is_first_callback_leg(self, body: dict[str, Any]) -> bool:
        return "callback_initiator" in body and "taken_from_call_id" not in body["from"]

    def _end_body(self, summary: dict[str, Any]) -> dict[str, Any]:
        entry = self.call_log.entries[summary["entry_id"]]
        talk = entry.talk_seconds
        event = self._event_body(entry, "Answered" if talk else "Missed")
        whole = summary["end_time"] - summary["create_time"]
        return {**event, "finish_time": summary["end_time"], "duration": talk if summary["talk_time"] else whole}

    def _event_body(self, entry: Entry, state: str) -> dict[str, Any]:
        leg = next(iter(entry.legs.values()))
        event: dict[str, Any] = {
            "uuid": f"u-{entry.entry_id}",
            "entry_id": entry.entry_id,
            "start_time": entry.started_at,
            "finish_time": None,
            "duration": 0,
            "call_direction": self._direction_of(entry),
            "call_state": state,
        }
        line = next((side["line_number"] for side in leg.sides.values() if "line_number" in side), None)
        if line or self.pbx.first_line:
            event["line_number"] = line or self.pbx.notified_line(self.pbx.first_line)
        extension = self._talking_extensions.get(entry.entry_id, "0")
        person = {"number": extension, "extension": extension}
        number = self._client_number(entry)
        client = {"number": number} if number else {}
        event["from"], event["to"] = (person, client) if event["call_direction"] == "out" else (client, person)
        return event

    def _direction_of(self, entry: Entry) -> str:
        """The summary's direction; before the summary, what the first leg suggests."""
        if entry.summary:
            return _DIRECTIONS[int(entry.summary["call_direction"])]
        first = next(iter(entry.legs.values()))
        if first.sides["from"].get("extension") or first.callback:
            return "internal" if first.sides["to"].get("extension") and not first.callback else "out"
        return "in"

    def _client_number(self, entry: Entry) -> str:
        """The outside number of the first leg that has one, with a leading `+`."""
        for leg in entry.legs.values():
            for side in leg.sides.values():
                number = str(side.get("number", ""))
                if number.isdigit() and "extension" not in side and not self.pbx.find_line(number):
                    return f"+{number}"
        return ""
