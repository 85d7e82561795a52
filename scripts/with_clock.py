"""Runs a command and its child processes under another date: `python -m scripts.with_clock 2028-02-29T12:00 COMMAND …`.

`make test-day DAY=2027-12-31T23:59` uses it to find tests that pass only on some days of the year. The time is
Moscow's. Needs a C compiler
(Debian's gcc and libc6-dev); the small library that shifts the clock is built under var/tests.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

SOURCE = Path(__file__).with_name("clock_shift.c")
BUILD = Path(__file__).resolve().parent.parent / "var" / "tests"
ZONE = ZoneInfo("Europe/Moscow")


def build_library() -> Path:
    """Return the path of the compiled library, which is built once for each state of its source."""
    target = BUILD / f"clock_shift-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}.so"
    if not target.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-o", unfinished, SOURCE, "-ldl"], check=True)
        unfinished.rename(target)
    return target


def environment(moment: datetime) -> dict[str, str]:
    """Return the environment under which a process sees `moment` as the current time."""
    seconds = int(moment.timestamp()) - int(time.time())
    return os.environ | {"LD_PRELOAD": str(build_library()), "CLOCK_SHIFT_SECONDS": str(seconds)}


def main(words: list[str]) -> None:
    """Replace this process by the command."""
    if len(words) < 2:
        sys.exit(__doc__)
    moment = datetime.fromisoformat(words[0])
    os.execvpe(words[1], words[1:], environment(moment if moment.tzinfo else moment.replace(tzinfo=ZONE)))  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
