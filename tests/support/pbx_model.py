"""A model of the PBX for random calls: who rings, who talks, and who transfers the client to whom.

A test drives a `Scene` through a call in the order of time. The scene records the notifications that Mango would send
and the expected result: outcome, talker, all who talked, seconds, and recordings with their owners. It shares no code
with the fold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.support.offices import Office, journal_of, user_of

CLIENT = "79160000001"
ALONE = Office("moscow", {"101": 11, "102": 12, "103": 13}, {"74950000001": ("74950000001", None)}, default=9)
"""The PBX of a portal with a single PBX."""


@dataclass
class Leg:
    id: str
    seq: int = 0
    open: bool = True
    owner: str | None = None
    """Extension of the leg's employee."""


@dataclass
class Scene:
    """One call while it is played."""

    office: Office = ALONE
    line: str = "74950000001"
    number: str | None = CLIENT
    """The client's number as the PBX writes it; None: hidden."""
    entry: str = "RW50cnk="
    now: int = 1776060000
    overflow: bool = False
    """Whether each round rings another group while the client waits in that group's queue."""
    line_named: bool = True
    """Whether the legs of an outgoing call name the line; otherwise only its summary does."""
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    talked: list[str] = field(default_factory=list)
    """Extensions in the order of their talks with the client."""
    recordings: list[dict[str, Any]] = field(default_factory=list)
    legs: int = 0
    started: int = 0
    talk_at: int = 0
    direction: int = 1
    """The summary's value: 1 incoming, 2 outgoing, 0 internal."""
    last_reason: int = 1110
    forwarded: int = 0
    rung: list[str] = field(default_factory=list)
    rounds: int = 0
    """How many groups have rung without an answer."""

    def __post_init__(self) -> None:
        self.started = self.now

    @property
    def extensions(self) -> list[str]:
        """All extensions that this PBX can ring."""
        return [*(name for name in self.office.users if len(name) == 3), *self.office.strangers]

    def wait(self, seconds: int) -> None:
        self.now += seconds

    def leg(self, owner: str | None = None) -> Leg:
        self.legs += 1
        return Leg(f"{self.entry}bGVn{self.legs}", owner=owner)

    def send(
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
        side: dict[str, Any] = {"line_number": self.line}
        if self.number is not None:
            side["number"] = self.number
        if parent is not None:
            side["taken_from_call_id"] = parent.id
        return side

    def employee(self, extension: str, device: int = 0) -> dict[str, Any]:
        number = f"sip:user{extension}.{device}@vpbx.mangosip.ru"
        return {"extension": extension, "number": number, "line_number": self.line}

    def dialling(self, extension: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Both sides of an outgoing leg."""
        caller: dict[str, Any] = {"extension": extension, "number": f"sip:user{extension}@vpbx.mangosip.ru"}
        if self.line_named:
            caller["line_number"] = self.line
        return caller, {"number": self.number}

    def ivr(self) -> Leg:
        leg = self.leg()
        line = {"number": self.line, "line_number": self.line}
        self.send(leg, "Appeared", "ivr", self.client(), line)
        self.wait(4)
        self.send(leg, "Disconnected", "ivr", self.client(), line, disconnect_reason=1100)
        self.forwarded = self.now
        return leg

    def ring(
        self, extensions: list[str], parent: Leg | None, group: bool
    ) -> list[tuple[Leg, dict[str, Any], dict[str, Any]]]:
        """Telephones ring. An extension given twice stands for two devices of one employee."""
        ringing = []
        name = self.group_now if group else ""
        for number, extension in enumerate(extensions):
            leg = self.leg(extension)
            caller, callee = self.client(parent), self.employee(extension, number)
            if group:
                callee["acd_group"] = name
            self.send(leg, "Appeared", "abonent", caller, callee)
            self.rung.append(extension)
            ringing.append((leg, caller, callee))
        return ringing

    @property
    def group_now(self) -> str:
        return str(int(self.office.group) + self.rounds)

    def queue(self, parent: Leg | None) -> tuple[Leg, dict[str, Any], dict[str, Any]]:
        """The client waits in the queue of the group that is about to ring."""
        leg = self.leg()
        caller = self.client(parent)
        callee = {"number": self.group_now, "line_number": self.line, "acd_group": self.group_now}
        self.send(leg, "Appeared", "queue", caller, callee)
        return leg, caller, callee

    def leave(self, queue: tuple[Leg, dict[str, Any], dict[str, Any]], reason: int) -> None:
        leg, caller, callee = queue
        self.send(leg, "Disconnected", "queue", caller, callee, disconnect_reason=reason)

    def connect(self, leg: Leg, caller: dict[str, Any], callee: dict[str, Any], **more: Any) -> None:
        self.send(leg, "Connected", "abonent", caller, callee, **more)
        self.talk_at = self.talk_at or self.now
        assert leg.owner is not None
        self.talked.append(leg.owner)
        self.record(leg)

    def record(self, leg: Leg) -> None:
        index = len(self.recordings)
        rec = {
            "id": f"{self.entry}cmVj{index}",
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
        self.send(leg, "Disconnected", "abonent", caller, callee, disconnect_reason=reason, **more)
        self.stop_recording(leg)

    def summary(self, to: dict[str, Any] | None = None) -> None:
        answerer = self.talked[0] if self.talked else None
        if not self.talked and self.direction != 1:
            answerer = self.rung[0]
        staff: dict[str, Any] = {"extension": answerer, "number": f"sip:user{answerer}@x"} if answerer else {}
        client: dict[str, Any] = {"number": self.number} if self.number is not None else {}
        inward = self.direction == 1
        event = {
            "entry_id": self.entry, "call_direction": self.direction, "from": client if inward else staff,
            "to": to or (staff if inward else client), "create_time": self.started, "forward_time": self.forwarded,
            "talk_time": self.talk_at, "end_time": self.now, "entry_result": int(bool(self.talk_at)),
            "disconnect_reason": self.last_reason, **({"line_number": self.line} if self.direction else {}),
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

    def own_recording(self) -> str | None:
        """The recording of the entry's own call: that of its last talker."""
        if not self.talked:
            return None
        return next((rec["id"] for rec in reversed(self.recordings) if rec["extension"] == self.talked[-1]), None)

    def expected(self) -> dict[str, Any]:
        """The expected result by the contract."""
        return {
            **journal_of(self),
            "own": self.own_recording(),
            "recordings": {
                rec["id"]: (user_of(self.office, rec["extension"]), rec["ended"] - rec["started"])
                for rec in self.recordings
            },
        }
