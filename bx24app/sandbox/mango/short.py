"""The short vocabulary: `call_start`, `call_answer`, `call_transfer`, `call_end`, `call_record`, as unsigned JSON.

Translated from the same true notifications that the signed dialect sends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bx24app.sandbox.mango.facts import Entry, Facts
from bx24app.sandbox.mango.model import Pbx

Told = list[tuple[str, dict[str, Any]]]
_DIRECTIONS = {0: "internal", 1: "in", 2: "out"}


class Translator:
    """Remembers per entry what has been told already."""

    def __init__(self, pbx: Pbx, facts: Facts, link: Callable[[str], str]) -> None:
        self.pbx = pbx
        self.facts = facts
        self.link = link
        self._told: dict[str, set[str]] = {}
        self._talks: dict[str, str] = {}

    def of(self, path: str, body: dict[str, Any]) -> Told:
        """The short events, none or one, that a notification gives."""
        if path == "events/call":
            return self._leg(body)
        if path == "events/summary":
            return [("call_end", self._end(body))]
        if path == "events/record/added":
            entry = self.facts.entries[body["entry_id"]]
            told = self._body(entry, "Answered" if entry.talk_seconds else "Missed")
            return [("call_record", {**told, "record_url": self.link(body["recording_id"])})]
        return []

    def _leg(self, body: dict[str, Any]) -> Told:
        entry = self.facts.entries[body["entry_id"]]
        told = self._told.setdefault(entry.entry_id, set())
        if "start" not in told:
            told.add("start")
            return [("call_start", self._body(entry, "Appeared"))]
        if body["call_state"] != "Connected" or body["location"] != "abonent" or self._first_callback_leg(body):
            return []
        extension = str(body["to"].get("extension") or body["from"].get("extension") or "")
        before = self._talks.get(entry.entry_id)
        self._talks[entry.entry_id] = extension
        if before is None:
            return [("call_answer", self._body(entry, "Answered"))]
        if before == extension:
            return []
        return [("call_transfer", {**self._body(entry, "Answered"), "from": {"extension": before}})]

    def _first_callback_leg(self, body: dict[str, Any]) -> bool:
        return "callback_initiator" in body and "taken_from_call_id" not in body["from"]

    def _end(self, summary: dict[str, Any]) -> dict[str, Any]:
        entry = self.facts.entries[summary["entry_id"]]
        talk = entry.talk_seconds
        out = self._body(entry, "Answered" if talk else "Missed")
        whole = summary["end_time"] - summary["create_time"]
        return {**out, "finish_time": summary["end_time"], "duration": talk if summary["talk_time"] else whole}

    def _body(self, entry: Entry, state: str) -> dict[str, Any]:
        leg = next(iter(entry.legs.values()))
        outgoing = self._outgoing(entry)
        out: dict[str, Any] = {
            "uuid": f"u-{entry.entry_id}",
            "entry_id": entry.entry_id,
            "start_time": entry.started,
            "finish_time": None,
            "duration": 0,
            "call_direction": _DIRECTIONS[int(entry.summary["call_direction"])] if entry.summary else outgoing,
            "call_state": state,
        }
        line = next((side["line_number"] for side in leg.sides.values() if "line_number" in side), None)
        if line or self.pbx.lines:
            out["line_number"] = line or self.pbx.lines[0].number
        extension = self._talks.get(entry.entry_id, "0")
        person = {"number": extension, "extension": extension}
        client = {"number": self._client(entry)} if self._client(entry) else {}
        out["from"], out["to"] = (person, client) if out["call_direction"] == "out" else (client, person)
        return out

    def _outgoing(self, entry: Entry) -> str:
        first = next(iter(entry.legs.values()))
        if first.sides["from"].get("extension") or first.callback:
            return "internal" if first.sides["to"].get("extension") and not first.callback else "out"
        return "in"

    def _client(self, entry: Entry) -> str:
        """The outside number of the first leg, `+` in front."""
        for leg in entry.legs.values():
            for side in leg.sides.values():
                number = str(side.get("number", ""))
                if number.isdigit() and "extension" not in side and not self.pbx.line(number):
                    return f"+{number}"
        return ""
