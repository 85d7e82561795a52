"""Memory of a whole installation: the sum of PSS (each shared page counted once) of all processes of `bx24app up`."""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from benchmarks.measure import Figure, Measure
from benchmarks.rig import Rig, call, post, rig

CALLS, REACH_MB = 1000, 250
AT_ONCE = 4
REST_SECONDS = 5.0
"""From the last delivery to the look, so that what is freed has been freed."""


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def pss(pid: int) -> float:
    """MB (10^6 bytes)."""
    match = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    if match is None:
        raise RuntimeError(f"/proc/{pid}/smaps_rollup names no Pss")
    return int(match[1]) * 1024 / 1e6


def of_all(pid: int) -> tuple[float, str]:
    """(MB of the tree, MB of each process, in words)."""
    each = [(Path(f"/proc/{one}/comm").read_text().strip(), pss(one)) for one in tree(pid)]
    return sum(size for _, size in each), ", ".join(f"{name} {size:.0f}" for name, size in each)


def tell(made: Rig, count: int) -> None:
    """So many whole calls, a few at once; returns when all of it is in the portal."""

    def one(_: int) -> None:
        told = call()
        with requests.Session() as session:
            for notice in told.notices:
                post(session, made.hooks[0], notice)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, range(count)))
    made.settle(1800)


def _run(quick: bool) -> list[Figure]:
    count = CALLS // 40 if quick else CALLS
    with rig(RECORDING_RETRY="0") as made:
        before, _ = of_all(made.pid)
        tell(made, count)
        landed, _ = made.cloud.ask("landed", 0)
        if landed < count:
            raise RuntimeError(f"{landed} of {count} calls are in the portal")
        time.sleep(REST_SECONDS)
        after, words = of_all(made.pid)
    note = f"{before:.0f} MB before them; MB each: {words}; {os.cpu_count()} cores"
    name = f"memory of `bx24app up`, idle, after {count} calls"
    return [Figure(name, after, "MB", f"under {REACH_MB} MB after {CALLS}", after < REACH_MB, note=note)]


MEASURES = (Measure("memory", "all processes of `bx24app up` after 1,000 calls", _run, 10),)
