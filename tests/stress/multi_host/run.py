"""Runs a load of calls while hosts lose power and are restarted, and compares the end with the model."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.end_to_end.test_random_calls import in_journal
from tests.stress.chaos.calls import day_of
from tests.stress.chaos.run import _ready
from tests.stress.chaos.verdict import Row, judge
from tests.stress.multi_host.hosts import Wide
from tests.stress.multi_host.load import Load

HEAD = "| while | seconds | whole calls | a second |\n| --- | ---: | ---: | ---: |"

_NAME = re.compile(r"\w+:day\d+n\d+")
_SIGNS = ("AnswerLost", "late answer", "worker ended", "worker ready")


@dataclass(frozen=True)
class Phase:
    name: str
    seconds: float
    whole: int

    def __str__(self) -> str:
        return f"| {self.name} | {self.seconds:.1f} | {self.whole} | {self.whole / self.seconds:.2f} |"


@dataclass
class WideResult:
    """The result. `row`: comparison with the model; `turned_away`: requests that the proxy sent to another host."""

    row: Row
    phases: list[Phase] = field(default_factory=list)
    away: dict[str, float] = field(default_factory=dict)
    turned_away: int = 0
    left: dict[str, list[str]] = field(default_factory=dict)
    """Host -> files in its data directory at the end."""


def run(wide: Wide, drawn: int, each: int, at_once: int, apart: float = 0.0, patience: float = 180) -> WideResult:
    """`drawn`: calls to draw from; `each`: complete calls to wait for in each phase without an end of its own."""
    day = day_of(drawn)
    row, hooks, before, predicted = _ready(wide, "wide", day)
    result, load = WideResult(row), Load(wide.world, day, predicted, hooks, at_once, apart)
    try:
        _phases(wide, load, result, each)
    finally:
        day, predicted = load.end()
    result.turned_away, row.calls, over = wide.front.turned_away, len(day.calls), time.monotonic()
    if not wide.settle(patience):
        row.wrong["else"] += 1
        row.details.append(f"did not settle: {wide.world.pending()}")
    row.seconds = time.monotonic() - over
    wide.world.sandbox.call(judge, wide.world, row, day, predicted, before)
    wrong = in_journal(wide.world, day, predicted)
    row.wrong["else"] += len(wrong)
    row.details += wrong
    row.details += [
        line for name in dict.fromkeys(_NAME.findall("\n".join(row.details))) for line in _story(wide, name)
    ]
    result.left = {host.name: host.files() for host in wide.hosts}
    return result


def _story(wide: Wide, name: str) -> list[str]:
    """The portal's requests about a call that went wrong, and the log lines of each host about it."""
    requests = [
        f"portal {entry.at:.3f} {entry.seconds:.3f} s, {entry.status} {entry.error}"
        f" {entry.method} {entry.params} {entry.commands}"
        for entry in wide.world.portal.request_log
        if f"'{name}" in f"{entry.params} {entry.commands}"
    ]
    entry_id = f"entry={name.partition(':')[2]} "
    logged = [
        f"{host.name} {line}"
        for host in wide.hosts
        for line in host.log_lines()
        if entry_id in line or any(word in line for word in _SIGNS)
    ]
    return [f"{name}:", *requests, *logged]


def _phases(wide: Wide, load: Load, result: WideResult, each: int) -> None:
    def during(name: str, act: Callable[[], object]) -> None:
        # In this thread: a host is killed when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG).
        since, before = time.monotonic(), len(load.whole)
        act()
        load.look()
        result.phases.append(Phase(name, time.monotonic() - since, len(load.whole) - before))

    def until_whole(name: str) -> None:
        during(name, lambda: load.wait(each))

    if each > 10:
        load.wait(each // 2)  # warm: connections, caches
    until_whole("before")
    for host in (wide.work[0], wide.web[0]):
        host.kill()
        until_whole(f"{host.name} killed")
        host.start()
        during(f"{host.name} starting again", host.wait)
        until_whole(f"{host.name} back")
    during("rolling restart of all four", lambda: result.away.update(wide.rolling_restart()))
    until_whole("after")
