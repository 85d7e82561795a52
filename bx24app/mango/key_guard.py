"""What a client asks and tells of its API key at each request. `infra.key_guard` keeps it for all processes.

Mango's API document (D26, 1.4.1) calls a request wrong that is answered 3xxx, and allows one in two minutes: after a
second one every request with the key, commands too, is answered 401 until two minutes after the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

KEY_CODES: Final = frozenset({3101, 3102, 3103, 3104, 3105, 3400})
"""Refusals that Mango may send before it has accepted key and signature."""


class KeyGuard(Protocol):
    """The memory of one API key."""

    def question(self, *, is_alone: bool = False) -> AbstractContextManager[None]:
        """Entered before a question is sent, left when its answer is judged. Commands do not enter it.

        `is_alone`: the answer may well be 3xxx, so no other such question of the key is under way meanwhile.

        Raises:
            QuestionPostponed: the key had an answer 3xxx within two minutes, so this question must not be sent.
        """

    def record_wrong(self) -> None:
        """Mango answered 3xxx."""

    def record_worked(self) -> None:
        """Mango accepted key and signature."""

    def locked_seconds(self) -> float | None:
        """Mango answered 401: seconds until the lock ends; None: the key has not worked lately, so it is no lock."""


class Unguarded:
    """Remembers nothing."""

    @contextmanager
    def question(self, *, is_alone: bool = False) -> Iterator[None]:
        yield

    def record_wrong(self) -> None:
        return

    def record_worked(self) -> None:
        return

    def locked_seconds(self) -> float | None:
        return None
