"""How large an answer in JSON may be, how many pieces one has, counted before it is parsed, and its parsing, of large
ones one at a time. Both adapters use it, so a process never parses a large answer of a portal beside one of Mango.

Each empty list of a text of 32 MiB takes three bytes there and some sixty in memory, so a bound in bytes alone does not
bound the memory and the time that parsing takes.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

LARGE_BYTES: Final = 256 * 1024
"""Larger answers are parsed one at a time: while a text is parsed, no other thread of the process computes."""
_large_answers = threading.Lock()


@dataclass(frozen=True, slots=True)
class AnswerBounds:
    """How large an answer may be. `max_pieces`: lists, objects and their members, counted before parsing."""

    max_bytes: int
    max_pieces: int


def count_pieces(content: bytes) -> int:
    """Lists, objects and members of both, at most; signs inside texts are counted too."""
    return content.count(b"[") + content.count(b"{") + content.count(b",")


def parse_json(content: bytes) -> Any:
    """The parsed answer, whose pieces were counted; None if it is no JSON."""
    with _large_answers if len(content) > LARGE_BYTES else nullcontext():
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            return None


def _reset_after_fork() -> None:
    """A thread of the parent may hold the lock; threads do not survive a fork."""
    global _large_answers
    _large_answers = threading.Lock()


os.register_at_fork(after_in_child=_reset_after_fork)
