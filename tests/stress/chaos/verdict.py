"""Compares the portal's data after a day's calls with the model: calls that are lost, doubled or wrong."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.end_to_end.test_random_calls import _by_phone, _found, _plain, growth
from tests.support.offices import Outcome
from tests.support.random_calls import Day, DrawnCall
from tests.support.stack import World

USER, RECORDING, ACTIVITY = 0, 6, 7
"""Indexes in a row of `_plain`."""
HEAD = "| fault | calls | lost | doubled | wrong user | wrong recording | otherwise wrong | seconds to recover |"
SIGNS = ("lost", "doubled", "user", "recording", "else")
AIM_SECONDS = 60.0
"""From the end of a fault until nothing is pending any more, with the program's real waits."""


@dataclass
class Row:
    """The result of one fault. `wrong` counts calls, and surplus rows that belong to no call of the day.

    `aim`: the row is good only if `seconds` are not more.
    """

    fault: str
    calls: int
    wrong: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    details: list[str] = field(default_factory=list)
    aim: float = math.inf

    @property
    def good(self) -> bool:
        return not sum(self.wrong.values()) and not self.is_late

    @property
    def is_late(self) -> bool:
        return self.seconds > self.aim

    def __str__(self) -> str:
        seconds = f"{self.seconds:.0f}{f' (late, aim {self.aim:.0f})' if self.is_late else ''}"
        cells = [self.fault, self.calls, *(self.wrong[sign] for sign in SIGNS), seconds]
        return "| " + " | ".join(map(str, cells)) + " |"


def judge(world: World, row: Row, day: Day, predicted: list[Outcome], before: dict[str, int]) -> None:
    """Compare and count into `row`. Runs in the sandbox's loop."""
    owned = _by_phone(world)
    for call, outcome in zip(day.calls, predicted, strict=True):
        wanted = {
            "own": [_plain(outcome.own)] if outcome.own else [],
            "further": sorted(_plain(further) for further in outcome.further),
            "records": sorted(outcome.records),
            "todos": sorted(outcome.todos),
        }
        signs, actual = _compare(world, call, wanted, owned.get(call.scene.number or "", []))
        row.wrong.update(signs)
        if signs:
            name = f"{call.scene.office.key}:{call.scene.entry}"
            row.details.append(f"{row.fault}: {name} {sorted(signs)}\n  wanted {wanted}\n  found  {actual}")
    _grown(world, row, growth(day.calls, predicted), before)


def _compare(world: World, call: DrawnCall, wanted: dict[str, Any], records: list[Any]) -> tuple[set[str], Any]:
    try:
        actual = _found(world, call, records)
    except AssertionError as error:  # the rows of the call contradict each other
        return {"else"}, f"{error}"
    signs: set[str] = set()
    for name, expected in wanted.items():
        signs |= {"lost"} if len(actual[name]) < len(expected) else set()
        signs |= {"doubled"} if len(actual[name]) > len(expected) else set()
    if signs or actual == wanted:
        return signs, actual
    rows = [[*some["own"], *some["further"]] for some in (wanted, actual)]
    if _column(rows[0], RECORDING) != _column(rows[1], RECORDING):
        signs.add("recording")
    if _column(rows[0], ACTIVITY) != _column(rows[1], ACTIVITY):
        signs.add("lost")
    if _column(rows[0], USER) != _column(rows[1], USER) or any(
        wanted[name] != actual[name] for name in ("records", "todos")
    ):
        signs.add("user")
    return signs or {"else"}, actual


def _column(rows: list[tuple[str, ...]], place: int) -> list[str]:
    return sorted(row[place] for row in rows)


def _grown(world: World, row: Row, wanted: dict[str, int], before: dict[str, int]) -> None:
    """Count rows that no call of the day explains.

    Files are judged with the rows that carry them, because a lost upload may leave one behind.
    """
    from tests.end_to_end.test_random_calls import sizes

    now = sizes(world)
    for name in ("calls", "records", "activities"):
        more = now[name] - before[name] - wanted[name]
        if more:
            row.details.append(f"{row.fault}: {name} grew by {more} too many")
            sign = "doubled" if more > 0 else "lost"
            row.wrong[sign] = max(row.wrong[sign], abs(more))
