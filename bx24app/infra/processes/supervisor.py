"""The process tree of `bx24app up`: one parent that has everything loaded, and parts forked from it, so that they share its memory.

A part that dies is started again with back-off; five deaths of one within a minute end the tree. SIGTERM and SIGINT are passed on, and what
is left after ten seconds is killed. Parts are killed when the parent is (see `processes_child`).
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
"""From the signal to the end of the tree, whatever the parts do."""
MAX_DEATHS, DEATH_WINDOW_SECONDS = 5, 60.0
_POLL_SECONDS = 0.05
_LAST_STOP_SECONDS = 0.8
"""Seconds of the grace kept for the parts that outlive the others."""


@dataclass(frozen=True)
class ProcessSpec:
    """One kind of process in the tree.

    `target` runs in the forked child until SIGTERM; coming back before it counts as a death.
    `ready` is asked in the parent, before what stands after the part is started (and `up` is called ready).
    `outlives`: stopped after the others have ended.
    """

    name: str
    target: Callable[[], None]
    count: int = 1
    is_ready: Callable[[], bool] | None = None
    is_stopped_last: bool = False


@dataclass
class _ProcessSlot:
    """A place in the tree: a part's n-th process, running (`pid`) or to be started again (`due`, monotonic seconds)."""

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


def run_process_tree(parts: Sequence[ProcessSpec], ready: Callable[[], None] = lambda: None, grace: float = SHUTDOWN_TIMEOUT_SECONDS) -> int:
    """Runs the parts until a signal or a part that cannot live; gives the exit code.

    `ready` is called once, when every part that has a `ready` said yes. Must be called in a main thread, with no other thread running
    and no database or Redis connection open: the parts are forks of this process.
    """
    tree = _ProcessTree([_ProcessSlot(part) for part in parts for _ in range(part.count)])
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a line of a part reaches the log when it is written
    memory.limit_arenas()
    gc.collect()
    gc.freeze()  # a collection in a part must not touch, and so copy, the pages that all share
    with _SignalWakeup(tree.signals) as wakeup:
        _start_in_order(tree, parts, wakeup)
        if not tree.signals and not tree.failure:
            ready()
        while not tree.signals and not tree.failure:
            wakeup.wait(_seconds_to_restart(tree))
            _supervise_tree(tree)
        _stop_tree(tree, wakeup, grace)
    if tree.failure:
        print(f"bx24app: {tree.failure}", file=sys.stderr, flush=True)
        return 1
    return 0


def _start_in_order(tree: _ProcessTree, parts: Sequence[ProcessSpec], wakeup: _SignalWakeup) -> None:
    """Starts part after part; one that has a `ready` must say yes before the next begins."""
    for part in parts:
        for seat in tree.slots:
            if seat.spec is part:
                _start_process(seat)
        while part.is_ready is not None and not tree.signals and not tree.failure and not part.is_ready():
            _supervise_tree(tree)
            wakeup.wait(_POLL_SECONDS)
        if tree.signals or tree.failure:
            return


def _start_process(seat: _ProcessSlot) -> None:
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal between the fork and the child's own handlers must wait, not be swallowed by ours.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    pid = os.fork()
    if pid == 0:
        run_child(seat.spec.name, seat.spec.target, parent)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    seat.pid, seat.restart_at = pid, 0.0


def _supervise_tree(tree: _ProcessTree) -> None:
    """Buries the dead and starts again what is due."""
    for seat in tree.slots:
        if seat.pid and (code := _reap_process(seat.pid)) is not None:
            _handle_death(tree, seat, code)
        elif seat.restart_at and time.monotonic() >= seat.restart_at and not tree.failure:
            _start_process(seat)


def _handle_death(tree: _ProcessTree, seat: _ProcessSlot, code: int) -> None:
    name, now = seat.spec.name, time.monotonic()
    deaths = tree.deaths.setdefault(name, deque(maxlen=MAX_DEATHS))
    deaths.append(now)
    recent = sum(1 for death in deaths if now - death < DEATH_WINDOW_SECONDS)
    if recent >= MAX_DEATHS:
        tree.failure = f"{name} died {recent} times within a minute, the last time by {_describe_exit(code)}; ending"
        seat.pid = 0
        return
    wait = min(5.0, 0.1 * 2**recent)
    _log.warning("part died, starting it again", part=name, pid=seat.pid, by=_describe_exit(code), seconds=wait)
    seat.pid, seat.restart_at = 0, now + wait


def _reap_process(pid: int) -> int | None:
    """None while a part lives; else its exit code (negative: a signal), after what it left running was killed too."""
    if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        return None
    # A part leads a process group of its own. Until we wait for it, its number, and so the group's, is nobody else's.
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _describe_exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _seconds_to_restart(tree: _ProcessTree) -> float:
    """Seconds until something is due; a death wakes us before."""
    due = [seat.restart_at - time.monotonic() for seat in tree.slots if seat.restart_at]
    return max(0.0, min([5.0, *due]))


def _stop_tree(tree: _ProcessTree, wakeup: _SignalWakeup, grace: float) -> None:
    """SIGTERM to all, those that outlive the others last; SIGKILL to what is left after `grace` seconds, or at a second Ctrl-C."""
    end = time.monotonic() + grace
    for outlives, until in ((False, end - min(_LAST_STOP_SECONDS, grace / 2)), (True, end)):
        seats = [seat for seat in tree.slots if seat.spec.is_stopped_last is outlives and seat.pid]
        for seat in seats:
            os.kill(seat.pid, signal.SIGTERM)
        while _reap_slots(seats) and time.monotonic() < until and tree.signals.count(signal.SIGINT) < 2:
            wakeup.wait(min(_POLL_SECONDS, max(0.0, until - time.monotonic())))
        for seat in seats:
            if seat.pid:
                _log.warning("part did not end in time, killed", part=seat.spec.name, pid=seat.pid)
                os.kill(seat.pid, signal.SIGKILL)
                os.waitid(os.P_PID, seat.pid, os.WEXITED | os.WNOWAIT)
                _reap_process(seat.pid)


def _reap_slots(seats: Sequence[_ProcessSlot]) -> int:
    """Buries those that have ended; how many live."""
    for seat in seats:
        if seat.pid and _reap_process(seat.pid) is not None:
            seat.pid = 0
    return sum(1 for seat in seats if seat.pid)


class _SignalWakeup:
    """Signals end a wait: their handlers run in Python, and the interpreter writes to a socket that we select on (signal.set_wakeup_fd)."""

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
        """Until a signal comes, at most `seconds`."""
        if select.select([self._reader], [], [], seconds)[0]:
            self._reader.recv(4096)
