"""One simulated communication: its clock, its legs, its tapes. Every change of state becomes a notification here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.plans import Plan, Signal

Side = dict[str, Any]
MIN_RECORDING_SECONDS = 2
"""Shorter tapes are not stored (code 4002); Mango does not publish its threshold."""
_RESULT_COMMANDS = {
    "hangup": "call/hangup", "route": "route", "blind": "transfer", "blind-handset": "transfer", "consult": "transfer",
    "hold": "call/hold/on",
}  # fmt: skip


@dataclass
class LiveLeg:
    """A leg as long as it lives."""

    call_id: str
    location: str
    sender: Side
    receiver: Side
    extra: dict[str, Any] = field(default_factory=dict)
    seq: int = 0
    state: str = ""

    @property
    def extension(self) -> str:
        """The short number of the called employee, else of the calling one."""
        return str(self.receiver.get("extension") or self.sender.get("extension") or "")


@dataclass
class RunningRecording:
    """A running recording of one employee."""

    recording_id: str
    extension: str
    started_at: int
    leg: LiveLeg
    seq: int = 0


class Call:
    """One entry. `talkers` are the extensions that talked to the client, in order: the truth that tests compare with."""

    def __init__(self, board: Board, plan: Plan, direction: int) -> None:
        self.board = board
        self.plan = plan
        self.direction = direction
        self.entry_id = board.ids.next_entry_id()
        start = time.time() - plan.expected_seconds * (1 - 1 / plan.speed) if plan.speed != 1 else time.time()
        self.clock = plan.start if plan.start is not None else float(start)
        self.created_at = self.now
        self.forwarded_at = 0
        self.answered_at = 0
        self.legs: dict[str, LiveLeg] = {}
        self.running_recordings: dict[str, RunningRecording] = {}
        self.talkers: list[str] = []
        self.summary_to: Side = {}
        self.signals: asyncio.Queue[Signal] = asyncio.Queue()
        self.talk_event = asyncio.Event()
        self.end_event = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._scheduled_actions: list[tuple[float, Callable[[], None]]] = []
        self._recording_count = 0

    @property
    def now(self) -> int:
        """The call's own time, epoch seconds."""
        return int(self.clock)

    @property
    def line(self) -> str:
        """The PBX line of the call."""
        return self.plan.line or (self.board.pbx.lines[0].number if self.board.pbx.lines else "")

    async def wait_for_signal(self, seconds: float) -> Signal | None:
        """Lets time pass; ends early with a signal when one comes."""
        until = self.clock + seconds
        while True:
            due = min([until, *(at for at, _ in self._scheduled_actions)])
            began = time.monotonic()
            try:
                signal = await asyncio.wait_for(self.signals.get(), max(0.0, due - self.clock) / self.plan.speed)
            except TimeoutError:
                self.clock = max(self.clock, due)
                self._run_due_actions()
                if self.clock >= until:
                    return None
            else:
                passed = (time.monotonic() - began) * self.plan.speed if self.plan.speed != float("inf") else 0.0
                self.clock = min(due, self.clock + passed)
                self.accept_signal(signal)
                return signal

    async def pass_time(self, seconds: float) -> None:
        """Lets time pass; signals that come meanwhile are kept for later."""
        kept: list[Signal] = []
        until = self.clock + seconds
        while self.clock < until:
            try:
                kept.append(self.signals.get_nowait())
            except asyncio.QueueEmpty:
                due = min([until, *(at for at, _ in self._scheduled_actions)])
                await asyncio.sleep(max(0.0, due - self.clock) / self.plan.speed)
                self.clock = max(self.clock, due)
                self._run_due_actions()
        for signal in kept:
            self.signals.put_nowait(signal)

    def schedule_action(self, seconds: float, action: Callable[[], Any]) -> None:
        """Something that happens later, even after the end of the call."""
        self._scheduled_actions.append((self.clock + seconds, action))

    def accept_signal(self, signal: Signal) -> None:
        """Tells the outcome of a command when the call takes it up."""
        if signal.kind in _RESULT_COMMANDS:
            self.emit_result(_RESULT_COMMANDS[signal.kind], signal.command_id)

    async def run_scheduled(self) -> None:
        """Lets everything happen that is still due after the end."""
        while self._scheduled_actions:
            await self.pass_time(max(0.001, min(at for at, _ in self._scheduled_actions) - self.clock))

    def _run_due_actions(self) -> None:
        due = [item for item in self._scheduled_actions if item[0] <= self.clock]
        self._scheduled_actions = [item for item in self._scheduled_actions if item[0] > self.clock]
        for _, action in sorted(due, key=lambda item: item[0]):
            action()

    # --- legs

    def start_leg(self, location: str, sender: Side, receiver: Side, **extra: Any) -> LiveLeg:
        """A new leg appears."""
        call_id = self.board.ids.next_call_id(self.board.pbx.client_id, ivr=location == "ivr")
        leg = self.legs[call_id] = LiveLeg(call_id, location, _drop_empty(sender), _drop_empty(receiver), _drop_empty(extra))
        return self.set_leg_state(leg, "Appeared")

    def set_leg_state(self, leg: LiveLeg, state: str, **extra: Any) -> LiveLeg:
        """A leg's next state."""
        leg.seq += 1
        leg.state = state
        body: dict[str, Any] = {
            "entry_id": self.entry_id,
            "call_id": leg.call_id,
            "timestamp": self.now,
            "seq": leg.seq,
            "call_state": state,
            "location": leg.location,
            "from": dict(leg.sender),
            "to": dict(leg.receiver),
        }
        for side in ("from", "to"):
            body[side] |= extra.pop(side, {})
        self.board.emit_notification("events/call", {**body, **extra, **leg.extra, "dct": {"type": 0}}, at=self.clock)
        return leg

    def end_leg(self, leg: LiveLeg, reason: int, **extra: Any) -> None:
        """A leg ends; a tape that runs on it ends with it. Ending twice does nothing."""
        if leg.state != "Disconnected":
            self.set_leg_state(leg, "Disconnected", disconnect_reason=reason, **extra)
            for tape in [tape for tape in self.running_recordings.values() if tape.leg is leg]:
                self.stop_recording(tape)

    def connect_leg(self, leg: LiveLeg) -> None:
        """The client and the other side of this leg talk."""
        self.set_leg_state(leg, "Connected")
        self.mark_talking(leg)

    def mark_talking(self, leg: LiveLeg) -> None:
        """The client is now on this leg: for the summary, the truth of tests, and the tape."""
        if leg.extension and (not self.talkers or self.talkers[-1] != leg.extension):
            self.talkers.append(leg.extension)
        if not self.answered_at:
            self.answered_at = self.now
        self.talk_event.set()
        self.start_recording(leg, leg.extension)

    # --- tapes

    def start_recording(self, leg: LiveLeg, extension: str, command_id: str = "") -> None:
        """Starts the tape of an employee, unless it runs already or is switched off."""
        person = self.board.pbx.find_employee(extension)
        if person is None or extension in self.running_recordings or not (person.recorded or command_id):
            return
        recording_id = self.board.ids.make_recording_id(self.board.pbx.client_id, self.entry_id, self._recording_count)
        self._recording_count += 1
        tape = self.running_recordings[extension] = RunningRecording(recording_id, extension, self.now, leg)
        self._emit_recording_state(tape, "Started", **({"command_id": command_id} if command_id else {}))

    def continue_recording(self, extension: str, leg: LiveLeg) -> None:
        """The recorded employee has moved to another leg."""
        if tape := self.running_recordings.get(extension):
            tape.leg = leg
            self._emit_recording_state(tape, "Continued")

    def stop_recording(self, tape: RunningRecording) -> None:
        """Ends a tape; its file is stored later, or not at all when it is too short."""
        self.running_recordings.pop(tape.extension, None)
        if self.now - tape.started_at < MIN_RECORDING_SECONDS:
            self._emit_recording_state(tape, "Completed", completion_code=4002)
            return
        self._emit_recording_state(tape, "Completed", completion_code=1000, recipient="Cloud")
        if self.plan.record_delay is not None:
            self.schedule_action(self.plan.record_delay, lambda: self._emit_recording_added(tape))

    def _emit_recording_state(self, tape: RunningRecording, state: str, **extra: Any) -> None:
        tape.seq += 1
        body = {
            "recording_id": tape.recording_id,
            "recording_state": state,
            "seq": tape.seq,
            "entry_id": self.entry_id,
            "call_id": tape.leg.call_id,
            "extension": tape.extension,
            "timestamp": self.now,
        }
        self.board.emit_notification("events/recording", {**body, **extra}, at=self.clock)

    def _emit_recording_added(self, tape: RunningRecording) -> None:
        person = self.board.pbx.find_employee(tape.extension)
        body = {
            "entry_id": self.entry_id,
            "product_id": self.board.pbx.product_id,
            "user_id": person.user_id if person else -1,
            "timestamp": self.now,
            "recording_id": tape.recording_id,
        }
        self.board.emit_notification("events/record/added", body, at=self.clock)

    # --- the end

    def emit_result(self, command: str, command_id: str, code: int = 1000) -> None:
        """The outcome of a command of the REST side."""
        if command_id:
            self.board.emit_notification(f"result/{command}", {"command_id": command_id, "result": code}, at=self.clock)

    async def conclude_call(self, reason: int, sender: Side, receiver: Side) -> None:
        """What is still open ends, the summary follows a second later, the tapes when they are ready."""
        for leg in self.legs.values():
            self.end_leg(leg, reason)
        ended = self.now
        await self.pass_time(1)
        body: dict[str, Any] = {
            "entry_id": self.entry_id,
            "call_direction": self.direction,
            "from": _drop_empty(sender),
            "to": _drop_empty(receiver),
        }
        if self.direction and self.line:
            body["line_number"] = self.line
        body |= {
            "create_time": self.created_at,
            "forward_time": self.forwarded_at,
            "talk_time": self.answered_at,
            "end_time": ended,
            "entry_result": int(bool(self.answered_at)) if self.plan.entry_result is None else self.plan.entry_result,
            "disconnect_reason": reason,
        }
        self.board.emit_notification("events/summary", body, at=self.clock)
        self.board.calls.pop(self.entry_id, None)
        self.end_event.set()
        self.board.on_change()
        await self.run_scheduled()


def _drop_empty(side: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty; an empty `acd_group` stays, as a group without a short number sends it."""
    return {name: value for name, value in side.items() if value or (name == "acd_group" and value is not None)}
