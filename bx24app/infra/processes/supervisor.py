"""The process tree of `bx24app up`: a parent that has loaded everything, and processes forked from it, so that they
share its memory.

`cli.up` calls `run_process_tree`. A process that dies is started again with back-off; five deaths of one kind within a
minute end the tree. SIGTERM and SIGINT are passed on; what still runs after ten seconds is killed. Children are killed
when the parent is (`child_process`).
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType

import structlog

from bx24app.infra import memory
from bx24app.infra.processes.child_process import STOP_SIGNALS, run_child

_log = structlog.get_logger(__name__)

SHUTDOWN_TIMEOUT_SECONDS = 10.0
"""Seconds from the signal to the end of the tree, whatever the processes do."""
MAX_DEATHS, DEATH_WINDOW_SECONDS = 5, 60.0
_POLL_SECONDS = 0.05
_LAST_STOP_SECONDS = 0.8
"""Seconds of the time-out that are left for the processes that are stopped last."""


@dataclass(frozen=True)
class ProcessSpec:
    """One kind of process in the tree.

    `target` runs in the forked child until SIGTERM; returning earlier counts as a death. `is_ready` is asked in the
    parent before the next kind is started (and before `up` reports that it is ready). `is_stopped_last`: stopped after
    the others have ended.
    """

    name: str
    target: Callable[[], None]
    count: int = 1
    is_ready: Callable[[], bool] | None = None
    is_stopped_last: bool = False


@dataclass
class _ProcessSlot:
    """One process of the tree: running (`pid`), or to be started again (`restart_at`, monotonic seconds)."""

    spec: ProcessSpec
    pid: int = 0
    restart_at: float = 0.0


@dataclass
class _ProcessTree:
    slots: list[_ProcessSlot]
    deaths: dict[str, deque[float]] = field(default_factory=dict)
    signals: list[int] = field(default_factory=list)
    failure: str = ""
    """Why the tree ends by itself; empty while it does not."""


def run_process_tree(
    specs: Sequence[ProcessSpec],
    on_ready: Callable[[], None] = lambda: None,
    grace: float = SHUTDOWN_TIMEOUT_SECONDS,
) -> int:
    """Run the processes until a signal, or until one dies too often; returns the exit code.

    `on_ready` is called once, when every process is ready. Call this in the main thread, with no other thread running
    and no database or Redis connection open, since the processes are forks of this one.
    """
    tree = _ProcessTree([_ProcessSlot(spec) for spec in specs for _ in range(spec.count)])
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a line of a child reaches the log when it is written
    memory.limit_arenas()
    gc.collect()
    gc.freeze()  # a collection in a child must not touch, and so copy, the shared pages
    with _SignalWakeup(tree.signals) as wakeup:
        _start_in_order(tree, specs, wakeup)
        if not tree.signals and not tree.failure:
            on_ready()
        while not tree.signals and not tree.failure:
            wakeup.wait(_seconds_to_restart(tree))
            _supervise_tree(tree)
        _stop_tree(tree, wakeup, grace)
    if tree.failure:
        print(f"bx24app: {tree.failure}", file=sys.stderr, flush=True)
        return 1
    return 0


def _start_in_order(tree: _ProcessTree, specs: Sequence[ProcessSpec], wakeup: _SignalWakeup) -> None:
    """Start one kind of process after the other, the next when the last is ready."""
    for spec in specs:
        for slot in tree.slots:
            if slot.spec is spec:
                _start_process(slot)
        while spec.is_ready is not None and not tree.signals and not tree.failure and not spec.is_ready():
            _supervise_tree(tree)
            wakeup.wait(_POLL_SECONDS)
        if tree.signals or tree.failure:
            return


def _start_process(slot: _ProcessSlot) -> None:
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal between the fork and the child's own handlers must wait; the parent's handlers would swallow it.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    pid = os.fork()
    if pid == 0:
        run_child(slot.spec.name, slot.spec.target, parent)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    slot.pid, slot.restart_at = pid, 0.0


def _supervise_tree(tree: _ProcessTree) -> None:
    """Reap processes that ended, and start again those that are due."""
    for slot in tree.slots:
        if slot.pid and (code := _reap_process(slot.pid)) is not None:
            _handle_death(tree, slot, code)
        elif slot.restart_at and time.monotonic() >= slot.restart_at and not tree.failure:
            _start_process(slot)


def _handle_death(tree: _ProcessTree, slot: _ProcessSlot, code: int) -> None:
    name, now = slot.spec.name, time.monotonic()
    deaths = tree.deaths.setdefault(name, deque(maxlen=MAX_DEATHS))
    deaths.append(now)
    recent = sum(1 for death in deaths if now - death < DEATH_WINDOW_SECONDS)
    if recent >= MAX_DEATHS:
        tree.failure = f"{name} died {recent} times within a minute, the last time by {_describe_exit(code)}; ending"
        slot.pid = 0
        return
    wait = min(5.0, 0.1 * 2**recent)
    _log.warning("part died, starting it again", part=name, pid=slot.pid, by=_describe_exit(code), seconds=wait)
    slot.pid, slot.restart_at = 0, now + wait


def _reap_process(pid: int) -> int | None:
    """None while the process runs, else its exit code (negative: a signal). What it left running is killed."""
    if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        return None
    # A child leads its own process group. Until it is waited for, no other process or group can get its number.
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _describe_exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _seconds_to_restart(tree: _ProcessTree) -> float:
    """Seconds until a process is due; SIGCHLD ends the wait earlier."""
    due = [slot.restart_at - time.monotonic() for slot in tree.slots if slot.restart_at]
    return max(0.0, min([5.0, *due]))


def _stop_tree(tree: _ProcessTree, wakeup: _SignalWakeup, grace: float) -> None:
    """SIGTERM to all, in two phases; SIGKILL to what still runs after `grace` seconds, or at a second Ctrl-C."""
    deadline = time.monotonic() + grace
    for is_last, phase_end in ((False, deadline - min(_LAST_STOP_SECONDS, grace / 2)), (True, deadline)):
        slots = [slot for slot in tree.slots if slot.spec.is_stopped_last is is_last and slot.pid]
        for slot in slots:
            os.kill(slot.pid, signal.SIGTERM)
        while _reap_slots(slots) and time.monotonic() < phase_end and tree.signals.count(signal.SIGINT) < 2:
            wakeup.wait(min(_POLL_SECONDS, max(0.0, phase_end - time.monotonic())))
        for slot in slots:
            if slot.pid:
                _log.warning("part did not end in time, killed", part=slot.spec.name, pid=slot.pid)
                os.kill(slot.pid, signal.SIGKILL)
                os.waitid(os.P_PID, slot.pid, os.WEXITED | os.WNOWAIT)
                _reap_process(slot.pid)


def _reap_slots(slots: Sequence[_ProcessSlot]) -> int:
    """Reap the processes that have ended; returns how many still run."""
    for slot in slots:
        if slot.pid and _reap_process(slot.pid) is not None:
            slot.pid = 0
    return sum(1 for slot in slots if slot.pid)


class _SignalWakeup:
    """Lets signals end a wait: the interpreter writes each to a socket on which `wait` selects (signal.set_wakeup_fd).
    """

    def __init__(self, seen: list[int]) -> None:
        self._signals = seen
        self._reader, self._writer = socket.socketpair()
        self._old_handlers: dict[int, signal.Handlers | Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> _SignalWakeup:
        for end in (self._reader, self._writer):
            end.setblocking(False)
        for number in STOP_SIGNALS:
            self._old_handlers[number] = signal.signal(number, lambda number, frame: self._signals.append(number))
        self._old_handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *error: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def wait(self, seconds: float) -> None:
        """Wait for a signal, at most `seconds`."""
        if select.select([self._reader], [], [], seconds)[0]:
            self._reader.recv(4096)
