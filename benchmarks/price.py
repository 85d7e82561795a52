"""What a call costs as calls come in life: processor time of all processes, beside that of a script.

Ten notifications of a call 0.4 s apart, sixteen calls at a time, eight portals. Both sides take the same calls to the
same sandbox in the same run, one after the other; what a side's processes spend at rest is subtracted, and the
sandbox's own time is not counted. Work that a side puts off counts too, because its clock runs until both are done.

`PRICE_ONLY=SQLite` or `PostgreSQL` measures one database alone.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import requests

from benchmarks.measure import Figure, Measure
from benchmarks.rig import FIRST, Rig, call, post, rig, until
from benchmarks.sides import Side, Spent, of_program, of_script
from tests.support.scenarios import Notice
from tests.support.servers import postgres, valkey

PORTALS, AT_ONCE, GAP_SECONDS = 8, 16, 0.4
LEFT_OUT = (1, 6, 8)
"""Notifications of the first sequence that are not sent: two of thirteen end menu and queue, one says that the
recording began. Two phones ring, so each of the script's five steps occurs.
"""
RECORDING = 300_000
"""Bytes."""
REACH = 0.6
DATABASES = ("SQLite", "PostgreSQL")


@dataclass(frozen=True, slots=True)
class Load:
    """How much is measured: calls of each side, and seconds at rest. `scale`: of the documentation's seconds."""

    calls: int
    idle: float
    scale: float = 0.0


@dataclass(slots=True)
class Pair:
    """Program and script on the same portals, with what each had spent at the beginning and at the end of a rest."""

    made: Rig
    sides: tuple[Side, Side]
    first: list[Spent]
    rested: list[Spent]


def _look(pair: Pair) -> list[Spent]:
    return [side.spent() for side in pair.sides]


def _send_calls(made: Rig, hooks: Sequence[str], count: int) -> None:
    """Sends calls to these hooks in turn, a new one as often as keeps sixteen under way. Returns when the portals have
    them and their recordings.
    """
    calls = [call() for _ in range(count)]
    made.cloud.ask("absorb", [notice for one in calls for notice in one.notices])
    before, began = _landed(made), time.monotonic()

    def send(number: int, notices: Sequence[Notice]) -> None:
        kept = [notice for index, notice in enumerate(notices) if index not in LEFT_OUT]
        start = began + number * len(kept) * GAP_SECONDS / AT_ONCE
        with requests.Session() as session:
            for index, notice in enumerate(kept):
                time.sleep(max(0.0, start + index * GAP_SECONDS - time.monotonic()))
                post(session, hooks[number % len(hooks)], notice)

    with ThreadPoolExecutor(count) as pool:
        for sent in [pool.submit(send, number, one.notices) for number, one in enumerate(calls)]:
            sent.result()
    until(lambda: _landed(made) >= before + count, "the calls never came to the portals", 600, 0.1)
    made.settle(600)


def _landed(made: Rig) -> int:
    """Calls with a recording in all portals."""
    return sum(made.cloud.ask("landed", number)[1] for number in range(PORTALS))


def _enter(stack: ExitStack, name: str, scale: float) -> Pair:
    """Starts both sides on one kind of database, each with servers of its own. With PostgreSQL the program needs a
    Redis URL; with SQLite it has its embedded Valkey.
    """
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    is_server = name == "PostgreSQL"
    ours, theirs = (stack.enter_context(postgres(folder)) if is_server else "" for _ in range(2))
    url = stack.enter_context(valkey(folder)) if is_server else ""
    made = stack.enter_context(rig(PORTALS, **({"DATABASE_URL": ours, "REDIS_URL": url} if is_server else {})))
    made.cloud.ask("sized", RECORDING)
    if scale:
        for number in range(PORTALS):
            made.cloud.ask("documented", number, {"scale": scale})
    script = stack.enter_context(of_script(made, folder / "script", theirs))
    return Pair(made, (of_program(made, ours, url), script), [], [])


def _hooks(pair: Pair) -> list[str]:
    return [hook for side in pair.sides for hook in side.hooks]


def _rest(pairs: Sequence[Pair], seconds: float) -> None:
    """Warms all up at once, then measures what they spend at rest."""
    with ThreadPoolExecutor(len(pairs)) as pool:
        list(pool.map(lambda pair: _send_calls(pair.made, _hooks(pair), 2 * PORTALS), pairs))
    for pair in pairs:
        pair.first = _look(pair)
    time.sleep(seconds)
    for pair in pairs:
        pair.rested = _look(pair)


def _prices(pair: Pair, load: Load) -> list[tuple[dict[str, float], float, float]]:
    """Of each side: milliseconds a call by part, Valkey commands and commits a call."""
    before, began = _look(pair), time.monotonic()
    for side in pair.sides:
        _send_calls(pair.made, side.hooks, load.calls)
    share = (time.monotonic() - began) / load.idle
    prices = []
    for first, rested, start, end in zip(pair.first, pair.rested, before, _look(pair), strict=True):
        parts = {
            part: 1e3 * (end.cpu[part] - start.cpu.get(part, 0.0) - share * (rested.cpu[part] - first.cpu[part]))
            for part in rested.cpu
        }
        commands, commits = (
            getattr(end, what) - getattr(start, what) - share * (getattr(rested, what) - getattr(first, what))
            for what in ("commands", "commits")
        )
        each = {part: spent / load.calls for part, spent in parts.items()}
        prices.append((each, commands / load.calls, commits / load.calls))
    return prices


def _figure(name: str, pair: Pair, load: Load) -> Figure:
    (ours, commands, commits), (theirs, _, _) = _prices(pair, load)
    price, base = sum(ours.values()), sum(theirs.values())
    count = len(FIRST.notices) - len(LEFT_OUT)
    resting = [
        1e3 * sum(rested.cpu[part] - first.cpu[part] for part in rested.cpu) / load.idle
        for first, rested in zip(pair.first, pair.rested, strict=True)
    ]
    note = (
        f"{load.calls} calls of {count} notifications; ms a call of the program: {_words(ours)}; of the script: "
        f"{_words(theirs)}; the program's Valkey commands a call {commands:.0f}"
        + (f", commits {commits:.1f}" if commits else "")
        + f"; at rest {resting[0]:.1f} and {resting[1]:.1f} ms/s"
    )
    seconds = ", the documentation's seconds" if load.scale else ""
    title = f"price of a call, {name}{seconds}"
    return Figure(title, price, "ms", f"at most {REACH} of it", price <= REACH * base, base, note)


def _words(parts: dict[str, float]) -> str:
    return ", ".join(f"{part} {spent:.1f}" for part, spent in sorted(parts.items()))


def _run(quick: bool, scale: float = 0.0) -> list[Figure]:
    load = Load(16 if quick else 48 if scale else 160, 15.0 if quick else 30.0, scale)
    names = [name for name in DATABASES if os.environ.get("PRICE_ONLY", name) == name]
    with ExitStack() as stack:
        pairs = [_enter(stack, name, scale) for name in names]
        _rest(pairs, load.idle)
        return [_figure(name, pair, load) for name, pair in zip(names, pairs, strict=True)]


MEASURES = (
    Measure("price", "processor time of a call, to a script's", _run, 11),
    Measure("price-documented", "the same while commands take the documentation's seconds", partial(_run, scale=1.0)),
)
