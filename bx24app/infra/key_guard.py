"""What all processes remember of each Mango API key: when it was refused, that it has worked, who asks with it now.

After an answer 3xxx no question leaves with the key for two minutes, since a second 3xxx would lock it and nobody could
dial (`mango.key_guard` has the rule). Commands still leave. A 401 of a key that has worked within the hour is that lock
and passes by itself; of any other key it means that Mango refuses this server's address. Kept in Redis; without it
requests leave as if nothing was remembered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis

from bx24app.infra.key_tries import digest_api_key
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import Runtime
from bx24app.mango.errors import QuestionPostponed

_log = get_logger(__name__)

LOCK_SECONDS = 120.0
"""How long after the first answer 3xxx another one would count."""
WORKED_SECONDS = 3600
"""How long a key that was accepted counts as one that works."""
NOTE_SECONDS = 60.0
"""A process writes at most once in this time that a key works."""
TURN_SECONDS = 30
"""How long a process that dies while it asks holds up the other questions."""
TURN_WAIT_SECONDS, _POLL_SECONDS = 3.0, 0.02
"""How long a question waits for another one under way before it is held back, and how often it looks."""


class _NotedKeys(dict[str, float]):
    """Name of a key in Redis -> when this process last wrote that it works (monotonic)."""


class RememberedKey:
    """The guard of one API key (`mango.key_guard.KeyGuard`). Threads may share it."""

    def __init__(self, process: Runtime, api_key: str) -> None:
        self._process = process
        self._name = f"mango_key:{digest_api_key(api_key)}"
        self._wrong, self._worked, self._turn = (f"{self._name}:{fact}" for fact in ("wrong", "worked", "turn"))

    @contextmanager
    def question(self, *, is_alone: bool = False) -> Iterator[None]:
        has_turn = is_alone and self._take_turn()
        try:
            seconds = self._seconds_left()
            if seconds > 0:
                raise QuestionPostponed(seconds)
            yield
        finally:
            if has_turn:
                self._ask(lambda client: client.delete(self._turn))

    def record_wrong(self) -> None:
        self._ask(lambda client: client.set(self._wrong, 1, nx=True, px=int(LOCK_SECONDS * 1000)))

    def record_worked(self) -> None:
        noted, now = self._process.get(_NotedKeys), time.monotonic()
        if now - noted.get(self._name, -NOTE_SECONDS) >= NOTE_SECONDS:
            noted[self._name] = now
            self._ask(lambda client: client.set(self._worked, 1, ex=WORKED_SECONDS))

    def locked_seconds(self) -> float | None:
        noted_at = self._process.get(_NotedKeys).get(self._name)
        is_noted = noted_at is not None and time.monotonic() - noted_at < WORKED_SECONDS
        if not is_noted and not self._ask(lambda client: client.exists(self._worked)):
            return None
        self.record_wrong()  # unless we know the first one ourselves, it was another program's with the same key
        return self._seconds_left() or None

    def _seconds_left(self) -> float:
        milliseconds = self._ask(lambda client: client.pttl(self._wrong))
        return max(0, milliseconds or 0) / 1000

    def _take_turn(self) -> bool:
        """Wait until no other question of the key is under way. False: Redis is away."""
        until = time.monotonic() + TURN_WAIT_SECONDS
        while time.monotonic() < until:
            is_mine = self._ask(lambda client: bool(client.set(self._turn, 1, nx=True, ex=TURN_SECONDS)))
            if is_mine is None:
                return False
            if is_mine:
                return True
            time.sleep(_POLL_SECONDS)
        raise QuestionPostponed(1.0)

    def _ask(self, question: Callable[[redis.Redis], Any]) -> Any:
        """Redis's answer; None: it is away."""
        try:
            return question(self._process.redis)
        except redis.RedisError as error:
            _log.warning("mango key not guarded, redis away", error=type(error).__name__)
            return None
