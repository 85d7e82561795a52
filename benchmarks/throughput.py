"""Whole calls a second over many portals, fast ones and slow ones, against one job per notification and one request per
step.
"""

from __future__ import annotations

import os

from benchmarks.backlog import baseline, program
from benchmarks.measure import Figure, Measure
from benchmarks.rig import rig

PORTALS, EACH = 50, 10
OF_FORKS, OF_SIMPLE = 10, 4
SLOW_PORTALS, SLOW_EACH, SLOW_SECONDS = 200, 2, 0.3
OF_ONE = 20
PROCESSES = 2 * (os.cpu_count() or 1)
"""Workers of the baseline: one works while another waits for the portal."""


def _quick_portals(quick: bool) -> list[Figure]:
    portals, each, count = (8, 3, 6) if quick else (PORTALS, EACH, 100)
    with rig(portals, recordings=False, WORKERS=str(os.cpu_count() or 1)) as made:
        program(made, portals, 1)  # warm
        ours, whole = program(made, portals, each)
        forks = baseline(made, "fork", PROCESSES, count)
        simple = baseline(made, "simple", PROCESSES, count * 2)
    note = f"{portals * each} calls over {portals} portals, a worker process a core; {whole:.3g}/s with their acceptance before it"  # noqa: E501
    return [
        Figure(
            "whole calls, to RQ's worker",
            ours,
            "/s",
            f"at least {OF_FORKS} times",
            ours >= OF_FORKS * forks,
            forks,
            note,
        ),
        Figure(
            "whole calls, to SimpleWorker",
            ours,
            "/s",
            f"at least {OF_SIMPLE} times",
            ours >= OF_SIMPLE * simple,
            simple,
            note,
        ),
    ]


def _slow_portals(quick: bool) -> list[Figure]:
    portals, each = (6, 2) if quick else (SLOW_PORTALS, SLOW_EACH)
    with rig(portals, recordings=False, WORKERS="1", WORKER_THREADS=str(portals)) as made:
        program(made, portals, 1)  # warm
        for number in range(portals):
            made.cloud.ask("limit", number, 0, SLOW_SECONDS)
        ours, _ = program(made, portals, each)
        one = baseline(made, "simple", 1, 2 if quick else 20)
    note = f"{portals * each} calls over {portals} portals at once, one worker process, each command {SLOW_SECONDS} s"
    return [
        Figure(
            "whole calls of slow portals, a worker process",
            ours,
            "/s",
            f"at least {OF_ONE} times",
            ours >= OF_ONE * one,
            one,
            note,
        )
    ]


MEASURES = (
    Measure("throughput", "whole calls a second, portals that answer at once", _quick_portals, 2),
    Measure("slow", "whole calls a second of a worker process, portals that answer in 300 ms", _slow_portals, 8),
)
