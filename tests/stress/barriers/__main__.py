"""Take the barriers away, one at a time. One that survives, or that no longer applies, ends with 1.

    python -m tests.stress.barriers                 all
    python -m tests.stress.barriers F1 fault-05     only these findings
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from tests.stress.barriers import (
    attacks,
    back_at_once,
    crm_and_rights,
    keys_and_recordings,
    numbers_and_lines,
    requests_and_boxes,
    statistics_and_lines,
    strict_sandbox,
)
from tests.stress.barriers.barrier import Barrier, BarrierRun, import_libraries

LISTS = (
    attacks, crm_and_rights, keys_and_recordings, numbers_and_lines, requests_and_boxes, statistics_and_lines,
    strict_sandbox, back_at_once,
)  # fmt: skip
BARRIERS: list[Barrier] = [barrier for module in LISTS for barrier in module.BARRIERS]
WORKERS = 2
"""Processes that take barriers away side by side, each in a copy of its own."""
_runs: list[BarrierRun] = []


def main(words: list[str]) -> int:
    """`words`: only these findings."""
    asked = [barrier for barrier in BARRIERS if not words or barrier.finding in words]
    by_tests: dict[tuple[str, ...], list[Barrier]] = defaultdict(list)
    for barrier in asked:
        by_tests[barrier.tests].append(barrier)
    import_libraries()
    verdicts: list[str] = []
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(prefix="barriers-") as folder, fork.Pool(WORKERS, _begin, (folder,)) as pool:
        for group in pool.imap_unordered(_judge_all, by_tests.values()):
            for barrier, verdict in group:
                verdicts.append(verdict)
                print(f"{barrier.finding:<10} {barrier.file:<48} {verdict}", flush=True)
    caught = sum(verdict.startswith("caught") for verdict in verdicts)
    print(f"{caught} of {len(asked)} missing barriers caught")
    return 0 if asked and caught == len(asked) else 1


def _begin(folder: str) -> None:
    _runs.append(BarrierRun(Path(tempfile.mkdtemp(dir=folder))))


def _judge_all(barriers: list[Barrier]) -> list[tuple[Barrier, str]]:
    """Barriers with the same tests."""
    return [(barrier, _runs[0].judge(barrier)) for barrier in barriers]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
