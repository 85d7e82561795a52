"""Memory of a whole installation: the sum of PSS (which counts each shared page once) over all processes of `bx24app
up`.
"""

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
"""From the last delivery to the measurement, so that unused memory has been freed."""


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    pids = [pid]
    for parent in pids:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            pids += [int(child) for child in task.read_text().split()]
    return pids


def pss(pid: int) -> float:
    """PSS of a process in MB (10^6 bytes)."""
    match = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    if match is None:
        raise RuntimeError(f"/proc/{pid}/smaps_rollup names no Pss")
    return int(match[1]) * 1024 / 1e6


def of_all(pid: int) -> tuple[float, str]:
    """(MB of the tree, a text with the MB of each process)."""
    each = [(Path(f"/proc/{one}/comm").read_text().strip(), pss(one)) for one in tree(pid)]
    return sum(size for _, size in each), ", ".join(f"{name} {size:.0f}" for name, size in each)


def tell(made: Rig, count: int) -> None:
    """Sends whole calls, a few at once. Returns when the portal has everything."""

    def one(_: int) -> None:
        sequence = call()
        with requests.Session() as session:
            for notice in sequence.notices:
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
