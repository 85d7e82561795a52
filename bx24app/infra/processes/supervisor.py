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
from bx24app.infra.processes.child_process import STOPPING, run_child

log = structlog.get_logger(__name__)

GRACE_SECONDS = 10.0
"""From the signal to the end of the tree, whatever the parts do."""
DEATHS, DEATHS_SECONDS = 5, 60.0
_TICK = 0.05
_LAST = 0.8
"""Seconds of the grace kept for the parts that outlive the others."""


@dataclass(frozen=True)
class Part:
    """One kind of process in the tree.

    `target` runs in the forked child until SIGTERM; coming back before it counts as a death.
    `ready` is asked in the parent, before what stands after the part is started (and `up` is called ready).
    `outlives`: stopped after the others have ended.
    """

    name: str
    target: Callable[[], None]
    count: int = 1
    ready: Callable[[], bool] | None = None
    outlives: bool = False


@dataclass
class _Seat:
    """A place in the tree: a part's n-th process, running (`pid`) or to be started again (`due`, monotonic seconds)."""

    part: Part
    pid: int = 0
    due: float = 0.0


@dataclass
class _Tree:
    seats: list[_Seat]
    deaths: dict[str, deque[float]] = field(default_factory=dict)
    signals: list[int] = field(default_factory=list)
    failed: str = ""
    """Why the tree ends by itself; empty while it does not."""


def run_up(parts: Sequence[Part], ready: Callable[[], None] = lambda: None, grace: float = GRACE_SECONDS) -> int:
    """Runs the parts until a signal or a part that cannot live; gives the exit code.

    `ready` is called once, when every part that has a `ready` said yes. Must be called in a main thread, with no other thread running
    and no database or Redis connection open: the parts are forks of this process.
    """
    tree = _Tree([_Seat(part) for part in parts for _ in range(part.count)])
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a line of a part reaches the log when it is written
    memory.share()
    gc.collect()
    gc.freeze()  # a collection in a part must not touch, and so copy, the pages that all share
    with _Wakeup(tree.signals) as wakeup:
        _start_in_order(tree, parts, wakeup)
        if not tree.signals and not tree.failed:
            ready()
        while not tree.signals and not tree.failed:
            wakeup.wait(_pause(tree))
            _tend(tree)
        _stop(tree, wakeup, grace)
    if tree.failed:
        print(f"bx24app: {tree.failed}", file=sys.stderr, flush=True)
        return 1
    return 0


def _start_in_order(tree: _Tree, parts: Sequence[Part], wakeup: _Wakeup) -> None:
    """Starts part after part; one that has a `ready` must say yes before the next begins."""
    for part in parts:
        for seat in tree.seats:
            if seat.part is part:
                _start(seat)
        while part.ready is not None and not tree.signals and not tree.failed and not part.ready():
            _tend(tree)
            wakeup.wait(_TICK)
        if tree.signals or tree.failed:
            return


def _start(seat: _Seat) -> None:
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal between the fork and the child's own handlers must wait, not be swallowed by ours.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    pid = os.fork()
    if pid == 0:
        run_child(seat.part.name, seat.part.target, parent)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    seat.pid, seat.due = pid, 0.0


def _tend(tree: _Tree) -> None:
    """Buries the dead and starts again what is due."""
    for seat in tree.seats:
        if seat.pid and (code := _ended(seat.pid)) is not None:
            _bury(tree, seat, code)
        elif seat.due and time.monotonic() >= seat.due and not tree.failed:
            _start(seat)


def _bury(tree: _Tree, seat: _Seat, code: int) -> None:
    name, now = seat.part.name, time.monotonic()
    deaths = tree.deaths.setdefault(name, deque(maxlen=DEATHS))
    deaths.append(now)
    recent = sum(1 for death in deaths if now - death < DEATHS_SECONDS)
    if recent >= DEATHS:
        tree.failed = f"{name} died {recent} times within a minute, the last time by {_words(code)}; ending"
        seat.pid = 0
        return
    wait = min(5.0, 0.1 * 2**recent)
    log.warning("part died, starting it again", part=name, pid=seat.pid, by=_words(code), seconds=wait)
    seat.pid, seat.due = 0, now + wait


def _ended(pid: int) -> int | None:
    """None while a part lives; else its exit code (negative: a signal), after what it left running was killed too."""
    if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        return None
    # A part leads a process group of its own. Until we wait for it, its number, and so the group's, is nobody else's.
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _words(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _pause(tree: _Tree) -> float:
    """Seconds until something is due; a death wakes us before."""
    due = [seat.due - time.monotonic() for seat in tree.seats if seat.due]
    return max(0.0, min([5.0, *due]))


def _stop(tree: _Tree, wakeup: _Wakeup, grace: float) -> None:
    """SIGTERM to all, those that outlive the others last; SIGKILL to what is left after `grace` seconds, or at a second Ctrl-C."""
    end = time.monotonic() + grace
    for outlives, until in ((False, end - min(_LAST, grace / 2)), (True, end)):
        seats = [seat for seat in tree.seats if seat.part.outlives is outlives and seat.pid]
        for seat in seats:
            os.kill(seat.pid, signal.SIGTERM)
        while _reap(seats) and time.monotonic() < until and tree.signals.count(signal.SIGINT) < 2:
            wakeup.wait(min(_TICK, max(0.0, until - time.monotonic())))
        for seat in seats:
            if seat.pid:
                log.warning("part did not end in time, killed", part=seat.part.name, pid=seat.pid)
                os.kill(seat.pid, signal.SIGKILL)
                os.waitid(os.P_PID, seat.pid, os.WEXITED | os.WNOWAIT)
                _ended(seat.pid)


def _reap(seats: Sequence[_Seat]) -> int:
    """Buries those that have ended; how many live."""
    for seat in seats:
        if seat.pid and _ended(seat.pid) is not None:
            seat.pid = 0
    return sum(1 for seat in seats if seat.pid)


class _Wakeup:
    """Signals end a wait: their handlers run in Python, and the interpreter writes to a socket that we select on (signal.set_wakeup_fd)."""

    def __init__(self, seen: list[int]) -> None:
        self._seen = seen
        self._read, self._write = socket.socketpair()
        self._before: dict[int, signal.Handlers | Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> _Wakeup:
        for end in (self._read, self._write):
            end.setblocking(False)
        for number in STOPPING:
            self._before[number] = signal.signal(number, lambda number, frame: self._seen.append(number))
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *error: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._read.close()
        self._write.close()

    def wait(self, seconds: float) -> None:
        """Until a signal comes, at most `seconds`."""
        if select.select([self._read], [], [], seconds)[0]:
            self._read.recv(4096)
