"""Lets the clock of the forked processes jump.

The processes that `fork_server` forks read an offset in seconds from a file whenever the program reads its clock. Only
`time.time` is replaced, on which `bx24app.infra.clock` is built. Time-outs and `time.monotonic` do not jump, as on a
real machine. The web process and the sandbox keep the right time, as if one of two machines had a wrong clock.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

FILE = "CHAOS_CLOCK"
"""The environment variable that names the file."""


def follow() -> None:
    """Make this process and its children add the offset in the file to their clock."""
    path, right = Path(os.environ[FILE]), time.time

    def offset() -> float:
        try:
            return float(path.read_text() or 0)
        except FileNotFoundError:
            return 0.0

    time.time = lambda: right() + offset()


def jump(path: Path, seconds: float) -> None:
    """Write the offset; all processes read it at once."""
    fresh = path.with_suffix(".new")
    fresh.write_text(str(seconds))
    fresh.rename(path)
