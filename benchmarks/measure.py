"""The results of benchmarks: figures, each beside a baseline of the same run or beside a target."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `unit` applies to `ours` and `baseline`; `reach` is the target in words, `reached` whether it was
    met.
    """

    name: str
    ours: float
    unit: str
    reach: str
    reached: bool
    baseline: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.baseline if self.baseline else None


@dataclass(frozen=True, slots=True)
class Measure:
    """A named benchmark.

    Attributes:
        run: `run(quick)` returns the figures of one run, always with the same names and in the same order.
        row: number in the table of targets (docs/performance.md); 0: not in the table.
        is_quick: whether `--quick` runs it without being asked for it by name.
    """

    name: str
    about: str
    run: Callable[[bool], list[Figure]]
    row: int = 0
    is_quick: bool = True


@dataclass(frozen=True, slots=True)
class Ran:
    """The figures of a measure, the median of `runs`. `load`: of the machine when it started."""

    measure: Measure
    figures: list[Figure]
    runs: int
    load: float
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(slots=True)
class Report:
    """All results, with the machine and the date."""

    ran: list[Ran]
    quick: bool
    machine: str = field(default_factory=lambda: f"{platform.node()} ({os.cpu_count()} cores)")
    system: str = field(default_factory=platform.platform)
    python: str = field(default_factory=platform.python_version)
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per figure, with all that is known about it."""
        where = {"machine": self.machine, "system": self.system, "python": self.python, "quick": self.quick}
        return [
            {"row": one.measure.row, "measure": one.measure.name, **asdict(figure), "ratio": figure.ratio}
            | {"at": one.at, "runs": one.runs, "load": round(one.load, 2)} | where
            for one in self.ran
            for figure in one.figures
        ]  # fmt: skip

    def plain(self) -> dict[str, Any]:
        """The report for JSON."""
        head = {name: getattr(self, name) for name in ("machine", "system", "python", "at", "quick")}
        return {**head, "runs": max((one.runs for one in self.ran), default=0), "figures": self.rows()}


def median(runs: list[list[Figure]]) -> list[Figure]:
    """The median of the runs, figure by figure. A figure stays together with its baseline."""
    return [
        sorted(same, key=lambda one: one.ratio or one.ours)[(len(same) - 1) // 2] for same in zip(*runs, strict=True)
    ]


def best_of(times: int, work: Callable[[], Any]) -> float:
    """Seconds of `work`, the median of `times` runs."""
    from time import perf_counter

    taken = []
    for _ in range(times):
        start = perf_counter()
        work()
        taken.append(perf_counter() - start)
    return statistics.median(taken)
