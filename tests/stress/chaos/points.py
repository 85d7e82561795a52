"""Counts the points between two side effects of a worker, and kills the process at the n-th one with SIGKILL."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from bx24app.bitrix24.transport import Transport
from bx24app.calls.statistics import aggregation
from bx24app.infra import queue
from bx24app.infra.circuit_breaker import CircuitBreaker
from bx24app.mango.transport import SignedTransport
from bx24app.portals import tokens

FINISH = "telephony.externalcall.finish"
_WRITES = ("INSERT", "UPDATE", "DELETE")


class _Counter:
    def __init__(self, kill_at: int, trace: Path, words: str) -> None:
        self.kill_at, self.trace, self.count, self.lock = kill_at, trace, 0, threading.Lock()
        self.words = words

    def at(self, what: str) -> None:
        """Count one point: a side effect is about to happen or has just happened."""
        with self.lock:
            self.count += 1
            with self.trace.open("a") as file:
                file.write(f"{self.count} {what}\n")
            if self.count == self.kill_at or (self.words and self.words in what):
                os.kill(os.getpid(), signal.SIGKILL)


def arm(kill_at: int, trace: Path, words: str = "") -> None:
    """Make this process die at its `kill_at`-th point (from 1), or at the first that these words name. It writes each
    point that it reaches to `trace`.
    """
    counter = _Counter(kill_at, trace, words)
    _leases(counter)
    _around(Transport, "post", counter, _describe_request)
    _around(SignedTransport, "send", counter, lambda args: f"mango {args[2]}")
    _commits(counter)
    put = queue._enqueue_by_name

    def counted_enqueue(*args: Any, **options: Any) -> bool:
        done = put(*args, **options)
        counter.at(f"queued {args[1]}")
        return done

    queue._enqueue_by_name = counted_enqueue


def _describe_request(args: tuple[Any, ...]) -> str:
    """The method; of a batch also whether it finishes a call."""
    method = str(args[1]).rpartition("/")[2].partition("?")[0]
    return f"portal {method}{' with a finish' if FINISH in f'{method} {args[2]}'.lower() else ''}"


def _around(kind: type, name: str, counter: _Counter, words: Callable[[tuple[Any, ...]], str]) -> None:
    inner = getattr(kind, name)

    def counted(*args: Any, **options: Any) -> Any:
        counter.at(f"{words(args)}: leaves")
        answer = inner(*args, **options)
        counter.at(f"{words(args)}: answered")
        return answer

    setattr(kind, name, counted)


def _leases(counter: _Counter) -> None:
    """Count a point where a lease was taken."""
    refresh, trial, note = tokens._refresh_grant, CircuitBreaker.acquire_trial, aggregation._note_changes

    def counted_refresh(*args: Any) -> str:
        counter.at("refresh: lease taken")
        return refresh(*args)

    def counted_trial(breaker: CircuitBreaker) -> bool:
        is_mine = trial(breaker)
        if is_mine:
            counter.at("trial: lease taken")
        return is_mine

    def counted_note() -> None:
        counter.at("statistics: lease taken")
        note()

    tokens._refresh_grant, aggregation._note_changes = counted_refresh, counted_note
    CircuitBreaker.acquire_trial = counted_trial  # type: ignore[method-assign]


def _commits(counter: _Counter) -> None:
    """Count a point before and after every commit that has written something."""

    @event.listens_for(Engine, "before_cursor_execute")
    def _written(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().upper().startswith(_WRITES):
            connection.info["chaos-wrote"] = True

    @event.listens_for(Engine, "engine_connect")
    def _wrapped(connection: Any) -> None:
        dialect = connection.dialect
        if getattr(dialect, "chaos", False):
            return
        inner, dialect.chaos = dialect.do_commit, True

        def commit(raw: Any) -> None:
            wrote = wrote_on.pop(id(raw), False)
            if wrote:
                counter.at("database: commits")
            inner(raw)
            if wrote:
                counter.at("database: committed")

        dialect.do_commit = commit

    wrote_on: dict[int, bool] = {}

    @event.listens_for(Engine, "commit")
    def _committing(connection: Any) -> None:
        if connection.info.pop("chaos-wrote", False):
            wrote_on[id(connection.connection)] = True
