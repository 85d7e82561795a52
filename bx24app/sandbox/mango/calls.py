"""One simulated call: its clock, its legs and its recordings.

`simulation`, `ringing` and `transfers` decide what happens. Every change that they make to a call is sent as a
notification here.
"""

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
"""Shorter recordings are not stored (code 4002). Mango does not publish its threshold."""
_RESULT_COMMANDS = {
    "hangup": "call/hangup", "route": "route", "blind": "transfer", "blind-handset": "transfer", "consult": "transfer",
    "hold": "call/hold/on",
}  # fmt: skip


@dataclass
class LiveLeg:
    """A leg in progress."""

    call_id: str
    location: str
    sender: Side
    receiver: Side
    extra: dict[str, Any] = field(default_factory=dict)
    seq: int = 0
    state: str = ""

    @property
    def extension(self) -> str:
        """The extension of the called employee, else of the calling one."""
        return str(self.receiver.get("extension") or self.sender.get("extension") or "")


@dataclass
class RunningRecording:
    """A recording in progress, of one employee."""

    recording_id: str
    extension: str
    started_at: int
    leg: LiveLeg
    seq: int = 0


class Call:
    """One entry.

    Attributes:
        clock: the call's own time, epoch seconds; it runs `plan.speed` times as fast as real time.
        talkers: the extensions that talked to the client, in order; tests compare the app's results with it.
        signals: what happens to the call from outside.
        talk_event: set when somebody answers; `end_event` after the summary.
    """

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
        """The call's own time in whole epoch seconds."""
        return int(self.clock)

    @property
    def line(self) -> str:
        """The line that the call came in on or goes out on, as notifications name it."""
        return self.board.pbx.notified_line(self.plan.line or self.board.pbx.first_line)

    async def wait_for_signal(self, seconds: float) -> Signal | None:
        """Lets time pass. Returns early with a signal when one comes, else None."""
        until = self.clock + seconds
        while True:
            due = min([until, *(at for at, _ in self._scheduled_actions)])
            started_at = time.monotonic()
            try:
                signal = await asyncio.wait_for(self.signals.get(), max(0.0, due - self.clock) / self.plan.speed)
            except TimeoutError:
                self.clock = max(self.clock, due)
                self._run_due_actions()
                if self.clock >= until:
                    return None
            else:
                passed = (time.monotonic() - started_at) * self.plan.speed if self.plan.speed != float("inf") else 0.0
                self.clock = min(due, self.clock + passed)
                self.accept_signal(signal)
                return signal

    async def pass_time(self, seconds: float) -> None:
        """Lets time pass. Signals that come meanwhile stay in the queue."""
        postponed: list[Signal] = []
        until = self.clock + seconds
        while self.clock < until:
            try:
                postponed.append(self.signals.get_nowait())
            except asyncio.QueueEmpty:
                due = min([until, *(at for at, _ in self._scheduled_actions)])
                await asyncio.sleep(max(0.0, due - self.clock) / self.plan.speed)
                self.clock = max(self.clock, due)
                self._run_due_actions()
        for signal in postponed:
            self.signals.put_nowait(signal)

    def schedule_action(self, seconds: float, action: Callable[[], Any]) -> None:
        """Runs an action later, even after the end of the call."""
        self._scheduled_actions.append((self.clock + seconds, action))

    def accept_signal(self, signal: Signal) -> None:
        """Sends the result of the command that the signal carries out."""
        if signal.kind in _RESULT_COMMANDS:
            self.emit_result(_RESULT_COMMANDS[signal.kind], signal.command_id)

    async def run_scheduled(self) -> None:
        """Runs all actions that are still due after the end."""
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
        leg = LiveLeg(call_id, location, _drop_empty(sender), _drop_empty(receiver), _drop_empty(extra))
        self.legs[call_id] = leg
        return self.set_leg_state(leg, "Appeared")

    def set_leg_state(self, leg: LiveLeg, state: str, **extra: Any) -> LiveLeg:
        """Sets a leg's next state."""
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
        """Ends a leg and the recordings on it. Ending it again does nothing."""
        if leg.state != "Disconnected":
            self.set_leg_state(leg, "Disconnected", disconnect_reason=reason, **extra)
            for recording in [one for one in self.running_recordings.values() if one.leg is leg]:
                self.stop_recording(recording)

    def connect_leg(self, leg: LiveLeg) -> None:
        """The client and the other party of this leg talk."""
        self.set_leg_state(leg, "Connected")
        self.mark_talking(leg)

    def mark_talking(self, leg: LiveLeg) -> None:
        """Notes that the client talks on this leg: for the summary and `talkers`. Starts the recording."""
        if leg.extension and (not self.talkers or self.talkers[-1] != leg.extension):
            self.talkers.append(leg.extension)
        if not self.answered_at:
            self.answered_at = self.now
        self.talk_event.set()
        self.start_recording(leg, leg.extension)

    # --- recordings

    def start_recording(self, leg: LiveLeg, extension: str, command_id: str = "") -> None:
        """Starts recording an employee, unless a recording runs already or is switched off for the employee."""
        person = self.board.pbx.find_employee(extension)
        if person is None or extension in self.running_recordings or not (person.recorded or command_id):
            return
        recording_id = self.board.ids.make_recording_id(self.board.pbx.client_id, self.entry_id, self._recording_count)
        self._recording_count += 1
        recording = self.running_recordings[extension] = RunningRecording(recording_id, extension, self.now, leg)
        self._emit_recording_state(recording, "Started", **({"command_id": command_id} if command_id else {}))

    def continue_recording(self, extension: str, leg: LiveLeg) -> None:
        """Moves the recording of an employee to another leg."""
        if recording := self.running_recordings.get(extension):
            recording.leg = leg
            self._emit_recording_state(recording, "Continued")

    def stop_recording(self, recording: RunningRecording) -> None:
        """Ends a recording. Its file is stored later, or never when it is too short."""
        self.running_recordings.pop(recording.extension, None)
        if self.now - recording.started_at < MIN_RECORDING_SECONDS:
            self._emit_recording_state(recording, "Completed", completion_code=4002)
            return
        self._emit_recording_state(recording, "Completed", completion_code=1000, recipient="Cloud")
        if self.plan.record_delay is not None:
            self.schedule_action(self.plan.record_delay, lambda: self._emit_recording_added(recording))

    def _emit_recording_state(self, recording: RunningRecording, state: str, **extra: Any) -> None:
        recording.seq += 1
        body = {
            "recording_id": recording.recording_id,
            "recording_state": state,
            "seq": recording.seq,
            "entry_id": self.entry_id,
            "call_id": recording.leg.call_id,
            "extension": recording.extension,
            "timestamp": self.now,
        }
        self.board.emit_notification("events/recording", {**body, **extra}, at=self.clock)

    def _emit_recording_added(self, recording: RunningRecording) -> None:
        person = self.board.pbx.find_employee(recording.extension)
        body = {
            "entry_id": self.entry_id,
            "product_id": self.board.pbx.product_id,
            "user_id": person.user_id if person else -1,
            "timestamp": self.now,
            "recording_id": recording.recording_id,
        }
        self.board.emit_notification("events/record/added", body, at=self.clock)

    # --- the end

    def emit_result(self, command: str, command_id: str, code: int = 1000) -> None:
        """Sends the result of a REST command, if there was one."""
        if command_id:
            self.board.emit_notification(f"result/{command}", {"command_id": command_id, "result": code}, at=self.clock)

    async def conclude_call(self, reason: int, sender: Side, receiver: Side) -> None:
        """Ends all open legs, sends the summary a second later, and the recordings when they are ready."""
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
    """Removes empty values. An empty `acd_group` stays, because groups without an extension send it."""
    return {name: value for name, value in side.items() if value or (name == "acd_group" and value is not None)}
