"""What a benchmark gives: figures, each beside a baseline of the same run or beside what is to be reached."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `ours` and `baseline` have `unit`; `reach` says what is to be reached, `reached` whether it was."""

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
    """`run(quick)` gives the figures of one run, always under the same names and in the same order."""

    name: str
    about: str
    run: Callable[[bool], list[Figure]]


@dataclass(slots=True)
class Report:
    """The median of several runs, with the machine and the date."""

    figures: list[Figure]
    runs: int
    quick: bool
    machine: str = field(default_factory=platform.node)
    system: str = field(default_factory=platform.platform)
    python: str = field(default_factory=platform.python_version)
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        head = {name: getattr(self, name) for name in ("machine", "system", "python", "at", "runs", "quick")}
        return {**head, "figures": [{**asdict(one), "ratio": one.ratio} for one in self.figures]}


def median(runs: list[list[Figure]]) -> list[Figure]:
    """The run whose `ours` is the median, figure by figure: a figure and its baseline stay together."""
    return [
        sorted(same, key=lambda one: one.ratio or one.ours)[(len(same) - 1) // 2] for same in zip(*runs, strict=True)
    ]


def best_of(times: int, work: Callable[[], Any]) -> float:
    """Seconds of `work`, the median of `times`."""
    from time import perf_counter

    taken = []
    for _ in range(times):
        start = perf_counter()
        work()
        taken.append(perf_counter() - start)
    return statistics.median(taken)
