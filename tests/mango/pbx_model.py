"""A model of the PBX for random calls: who rings, who talks, who hands over to whom. It shares no code with the fold.

`Scene` is a small machine that lives through a call in the order of real time and writes down both what Mango would send and what must
come of it: outcome, talker, all who talked, seconds, recordings with their owners.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CLIENT, LINE, GROUP = "79160000001", "74950000001", "300"
EXTENSIONS = ["101", "102", "103"]
USERS = {"101": 11, "102": 12, "103": 13}
DEFAULT_USER = 9


@dataclass
class Leg:
    id: str
    seq: int = 0
    open: bool = True
    owner: str | None = None
    """Extension of the employee on it."""


@dataclass
class Scene:
    """One incoming or outgoing call in the making."""

    entry: str = "RW50cnk="
    now: int = 1776060000
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    talked: list[str] = field(default_factory=list)
    """Extensions in the order in which each talk with the client began."""
    recordings: list[dict[str, Any]] = field(default_factory=list)
    legs: int = 0
    started: int = 1776060000
    talk_at: int = 0
    direction: int = 1
    last_reason: int = 1110
    forwarded: int = 0
    rung: list[str] = field(default_factory=list)

    def wait(self, seconds: int) -> None:
        self.now += seconds

    def leg(self, owner: str | None = None) -> Leg:
        self.legs += 1
        return Leg(f"bGVn{self.legs}", owner=owner)

    def tell(
        self, leg: Leg, state: str, place: str, caller: dict[str, Any], callee: dict[str, Any], **more: Any
    ) -> None:
        leg.seq += 1
        event = {
            "entry_id": self.entry, "call_id": leg.id, "timestamp": self.now, "seq": leg.seq, "call_state": state,
            "location": place, "from": caller, "to": callee, "dct": {"type": 0}, **more,
        }  # fmt: skip
        self.sent.append(("events/call", event))
        if state == "Disconnected":
            leg.open = False
            self.last_reason = more["disconnect_reason"]

    def client(self, parent: Leg | None = None) -> dict[str, Any]:
        side: dict[str, Any] = {"number": CLIENT, "line_number": LINE}
        if parent is not None:
            side["taken_from_call_id"] = parent.id
        return side

    @staticmethod
    def employee(extension: str, device: int = 0) -> dict[str, Any]:
        return {"extension": extension, "number": f"sip:user{extension}.{device}@vpbx.mangosip.ru", "line_number": LINE}

    def ivr(self) -> Leg:
        leg = self.leg()
        line = {"number": LINE, "line_number": LINE}
        self.tell(leg, "Appeared", "ivr", self.client(), line)
        self.wait(4)
        self.tell(leg, "Disconnected", "ivr", self.client(), line, disconnect_reason=1100)
        self.forwarded = self.now
        return leg

    def ring(
        self, extensions: list[str], parent: Leg | None, group: bool
    ) -> list[tuple[Leg, dict[str, Any], dict[str, Any]]]:
        ringing = []
        for number, extension in enumerate(extensions):
            leg = self.leg(extension)
            caller, callee = self.client(parent), self.employee(extension, number)
            if group:
                callee["acd_group"] = GROUP
            self.tell(leg, "Appeared", "abonent", caller, callee)
            self.rung.append(extension)
            ringing.append((leg, caller, callee))
        return ringing

    def connect(self, leg: Leg, caller: dict[str, Any], callee: dict[str, Any], **more: Any) -> None:
        self.tell(leg, "Connected", "abonent", caller, callee, **more)
        self.talk_at = self.talk_at or self.now
        assert leg.owner is not None
        self.talked.append(leg.owner)
        self.record(leg)

    def record(self, leg: Leg) -> None:
        index = len(self.recordings)
        rec = {
            "id": f"cmVj{index}",
            "extension": leg.owner,
            "leg": leg.id,
            "started": self.now,
            "seq": 1,
            "ended": None,
        }
        self.recordings.append(rec)
        self._recording(rec, "Started")

    def stop_recording(self, leg: Leg) -> None:
        for rec in self.recordings:
            if rec["leg"] == leg.id and rec["ended"] is None:
                rec["ended"] = self.now
                self._recording(rec, "Completed", completion_code=1000, recipient="Cloud")

    def _recording(self, rec: dict[str, Any], state: str, **more: Any) -> None:
        event = {
            "recording_id": rec["id"], "recording_state": state, "seq": rec["seq"], "entry_id": self.entry,
            "call_id": rec["leg"], "extension": rec["extension"], "timestamp": self.now, **more,
        }  # fmt: skip
        rec["seq"] += 1
        self.sent.append(("events/recording", event))

    def hang_up(self, leg: Leg, caller: dict[str, Any], callee: dict[str, Any], reason: int, **more: Any) -> None:
        self.tell(leg, "Disconnected", "abonent", caller, callee, disconnect_reason=reason, **more)
        self.stop_recording(leg)

    def summary(self, to: dict[str, Any] | None = None) -> None:
        answerer = self.talked[0] if self.talked else None
        inward = self.direction == 1
        staff: dict[str, Any] = {"extension": answerer, "number": f"sip:user{answerer}@x"} if answerer else {}
        if not inward and not answerer:
            staff = {"extension": self.rung[0], "number": "sip:x@x"}
        event = {
            "entry_id": self.entry, "call_direction": self.direction,
            "from": {"number": CLIENT} if inward else staff, "to": staff if inward else {"number": CLIENT},
            "line_number": LINE, "create_time": self.started, "forward_time": self.forwarded, "talk_time": self.talk_at,
            "end_time": self.now, "entry_result": int(bool(self.talk_at)), "disconnect_reason": self.last_reason,
        }  # fmt: skip
        self.sent.append(("events/summary", event))
        for rec in self.recordings:
            added = {
                "entry_id": self.entry,
                "recording_id": rec["id"],
                "product_id": 1,
                "user_id": -1,
                "timestamp": self.now + 40,
            }
            self.sent.append(("events/record/added", added))

    def expected(self) -> dict[str, Any]:
        """What must come of it, by the contract."""
        users = [USERS[extension] for extension in self.talked]
        answered = bool(self.talk_at)
        talker = users[-1] if users else (DEFAULT_USER if self.direction == 1 else USERS[self.rung[0]])
        own = (
            next((rec for rec in reversed(self.recordings) if rec["extension"] == self.talked[-1]), None)
            if users
            else None
        )
        return {
            "outcome": "answered" if answered else ("missed" if self.direction == 1 else "failed"),
            "user_id": talker,
            "users": list(dict.fromkeys(users)),
            "talk_seconds": self.now - self.talk_at if answered else 0,
            "own": own["id"] if own else None,
            "recordings": {
                rec["id"]: (USERS[rec["extension"]], rec["ended"] - rec["started"]) for rec in self.recordings
            },
        }
