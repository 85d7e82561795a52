"""Runs the pure fold over a scenario and writes its decisions as readable text, one line for each command.

A test creates a `Play`, passes events with `receive`, lets time pass with `tick`, and compares `text()` with the
scenario's expected.txt. `Answers` stands in for the portal: it knows which numbers have a record and what register does
with CRM_CREATE. It shares no code with the sandbox, against which other tests run over HTTP.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from bx24app.domain.calls import decision
from bx24app.domain.calls.commands import (
    AddTodo,
    AnyCommand,
    CreateRecord,
    Finish,
    HideCard,
    ReadClient,
    ReadDay,
    ReadOpen,
    ReadTodo,
    Record,
    Ref,
    Register,
    ShowCard,
)
from bx24app.domain.calls.entry_assembly import assemble_entry
from bx24app.domain.calls.events import CallEnded, PbxEvent
from bx24app.domain.calls.ledger import USER_INACTIVE, Ledger, LedgerEntry
from bx24app.domain.calls.policy import CallTexts, Policy
from bx24app.mango import codes

WORDS = CallTexts(
    describe_reason=lambda code: codes.describe_code(code, "en"),
    failed_status=codes.sip_status,
    make_title=lambda what, number: f"{what} {number}",
)


@dataclass
class Answers:
    """A minimal portal: known clients by number; new ids count up from 101."""

    known: dict[str, tuple[str, int]] = field(default_factory=dict)
    crm_mode: int = 1
    last_id: int = 100
    inner: frozenset[str] = frozenset()
    """Numbers that are also employees' inner numbers: Bitrix24 does not use the CRM for those."""
    client: dict[str, Any] = field(default_factory=dict)
    """What searchCrmEntities returns: name, owner, day (the owner's).

    `found`: (entity, id) of a record that a web form created while the call rang.
    """
    open: dict[str, list[int]] = field(default_factory=dict)
    """Kind of record -> ids of the client's open ones."""
    days: dict[int, str] = field(default_factory=dict)
    """User -> TIMEMAN_STATUS."""
    done: frozenset[int] = frozenset()
    """To-dos that a user has completed."""
    refuses: list[dict[str, Any]] = field(default_factory=list)
    """Attributes that the portal refuses, such as `{stage_id: GONE}`. `code`: the error code, by default WRONG."""
    refused_kinds: frozenset[str] = frozenset()
    """Kinds of look-ups that the portal refuses."""
    bound: dict[str, Any] | None = None
    """The record that finish binds the call to by its number."""

    def refusal(self, command: AnyCommand) -> str | None:
        """The error code if the portal refuses the record or the look-up; None if it answers."""
        if type(command).__name__ in self.refused_kinds:
            return "ACCESS_DENIED"
        if not isinstance(command, CreateRecord):
            return None
        for wrong in self.refuses:
            if all(self._has(command, name, value) for name, value in wrong.items() if name != "code"):
                return str(wrong.get("code", "WRONG"))
        return None

    @staticmethod
    def _has(command: CreateRecord, name: str, value: Any) -> bool:
        return value in dict(command.fields) if name == "field" else getattr(command, name) == value

    def _client(self, number: str) -> dict[str, Any]:
        record = self.known.get(number) or self.client.get("found")
        if record is None:
            return {"records": []}
        details = {
            "name": self.client.get("name", ""),
            "responsible": self.client.get("owner", 1),
            "day": self.client.get("day", ""),
        }
        return {"records": [{"entity": record[0], "id": record[1], **details}]}

    def answer(self, command: AnyCommand) -> dict[str, Any]:
        match command:
            case Register():
                return self._register(command)
            case CreateRecord(entity=entity):
                number = self._next()
                if entity in ("lead", "contact"):
                    self.bound = self.bound or {"entity": entity, "id": number}
                return {"id": number}
            case AddTodo():
                return {"id": self._next()}
            case Finish(part=part):
                return {"activity_id": 900 + part, "record": self.bound}
            case _:
                return self._read(command)

    def _read(self, command: AnyCommand) -> dict[str, Any]:
        match command:
            case ReadClient(number=number):
                return self._client(number)
            case ReadOpen(entity=entity):
                return {"open": [{"id": number, "responsible": 1} for number in self.open.get(entity, ())]}
            case ReadDay(user_id=user):
                return {"day": self.days.get(user, "OPENED")}
            case ReadTodo(activity_id=number):
                return {"open": number not in self.done}
        return {}

    def _register(self, command: Register) -> dict[str, Any]:
        if command.number in self.inner:
            return {"call_id": f"call-{command.part}", "record": None, "created": []}
        client = self.known.get(command.number)
        record = {"entity": client[0], "id": client[1]} if client else None
        created = []
        if not client and command.create:
            created = [
                {"entity": kind, "id": self._next()}
                for kind in (["contact", "deal"] if self.crm_mode == 2 else ["lead"])
            ]
        self.bound = self.bound or record or next((item for item in created if item["entity"] != "deal"), None)
        return {"call_id": f"call-{command.part}", "record": record, "created": created}

    def _next(self) -> int:
        self.last_id += 1
        return self.last_id


class Play:
    """One call: each received event is followed by a drain."""

    def __init__(self, policy: Policy, entry_id: str, answers: Answers | None = None, **known: Any) -> None:
        self.policy, self.answers, self.ledger = policy, answers or Answers(), Ledger()
        self.known = decision.FoldContext(entry_id=entry_id, **known)
        self.events: list[PbxEvent] = []
        self.now, self.last_event_at, self.end_received_at = 0.0, 0.0, None
        self.lines: list[str] = []
        self.decision: decision.Decision | None = None

    def receive(self, event: PbxEvent, at: float) -> None:
        """One event arrives at `at` (our clock)."""
        self.receive_all([event], at)

    def receive_all(self, events: list[PbxEvent], at: float) -> None:
        """Several events arrive together, as from an entry of the statistics."""
        self.now = self.last_event_at = max(self.now, at)
        self.events += events
        if any(isinstance(event, CallEnded) for event in events) and self.end_received_at is None:
            self.end_received_at = self.now
        self.lines += [f"event {describe(event)}" for event in events]
        self.drain()

    def tick(self) -> bool:
        """Let time pass until the fold's next due time. False if it waits for nothing."""
        if self.decision is None or self.decision.due_at is None:
            return False
        self.now = max(self.now, self.decision.due_at)
        self.lines.append("tick")
        self.drain()
        return True

    def drain(self) -> None:
        for _ in range(20):
            entry = assemble_entry(self.events, self.policy.find_employee)
            if entry is None:
                return
            clock = decision.CallClock(self.now, self.last_event_at, self.end_received_at)
            before = Ledger(list(self.ledger))
            self.decision = decision.decide_call(entry, self.policy, before, clock, self.known)
            if self.decision.needs_pick:
                self.known = dataclasses.replace(self.known, pick=0)
                continue
            parts = {recording.recording_id: recording.part for recording in self.decision.recordings if recording.part}
            self.known = dataclasses.replace(self.known, recording_parts=parts)
            plan = self.decision.plan
            if plan is not None and plan.is_decided:  # stored, as the program does
                self.known = dataclasses.replace(self.known, chosen_rule=plan.rule.name if plan.rule else "")
            if not self.decision.commands:
                return
            self._send(self.decision.commands)
        raise AssertionError("the fold never comes to rest")

    def _send(self, commands: tuple[AnyCommand, ...]) -> None:
        """The portal answers in order; commands after a refused record are not sent."""
        for command in commands:
            self.lines.append(f"command {describe(command)}")
            code = self.answers.refusal(command)
            entry = (
                LedgerEntry(command, "dead", {}, code)
                if code
                else LedgerEntry(command, "done", self.answers.answer(command))
            )
            self.ledger = Ledger([*self.ledger, entry])
            if code is None:
                continue
            self.lines.append(f"refused {command.key} {code}")
            if code == USER_INACTIVE and isinstance(command, CreateRecord):
                dismissed = self.policy.dismissed_users | {command.responsible}
                self.policy = dataclasses.replace(self.policy, dismissed_users=dismissed)
            return

    def text(self) -> str:
        lines = list(self.lines)
        if self.decision:
            lines += [
                f"recording {recording.recording_id} part={recording.part} user={recording.user_id}"
                f" seconds={recording.seconds} wanted={recording.should_attach}"
                for recording in self.decision.recordings
            ]
            lines.append("call " + " ".join(f"{k}={describe(v)}" for k, v in self.decision.journal.items()))
        return self._readable("\n".join(lines) + "\n")

    def _readable(self, text: str) -> str:
        """Replace ids by leg1, rec1 and so on, in order of arrival."""
        names: dict[str, str] = {self.known.entry_id: "ENTRY"}
        for event in self.events:
            for value, word in ((getattr(event, "leg", None), "leg"), (getattr(event, "recording_id", None), "rec")):
                if value and value not in names:
                    names[value] = f"{word}{sum(1 for name in names.values() if name.startswith(word)) + 1}"
        for value in sorted(names, key=len, reverse=True):
            text = text.replace(value, names[value])
        return text


def describe(thing: Any) -> str:
    """An event, command or value as text, without empty and default fields."""
    if isinstance(thing, Ref):
        return f"<{thing.key}.{thing.fact}>"
    if isinstance(thing, Record):
        return f"{thing.entity}:{describe(thing.id)}"
    if isinstance(thing, tuple | list):
        return ",".join(describe(item) for item in thing) or "-"
    if hasattr(thing, "isoformat"):
        return str(thing.isoformat())
    if not dataclasses.is_dataclass(thing):
        return str(thing)
    parts = [type(thing).__name__]
    for item in dataclasses.fields(thing):
        value = getattr(thing, item.name)
        if item.name == "key" and isinstance(thing, ShowCard | HideCard):
            continue
        default = item.default if item.default is not dataclasses.MISSING else None
        if value in (None, "", (), default):
            continue
        parts.append(f"{item.name}={describe_party(value)}")
    return " ".join(parts)


def describe_party(value: Any) -> str:
    if type(value).__name__ == "Party":
        return "/".join(part for part in (value.extension, value.number) if part) or "nobody"
    return describe(value)
