"""The missed-call matrix: new or known client × working hours or off. A view of ordinary rules under reserved names, not a second engine.

A rule of a reserved name that holds more than a cell can say (somebody changed it by hand) stays an ordinary rule: `from_rules` gives no
cell for it, and `to_rules` of the rest does not touch it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

CLIENTS = ("new", "known")
HOURS = ("working", "off")
CELL_KEYS = tuple((client, hours) for client in CLIENTS for hours in HOURS)
"""(client, hours) of the four cells, in their order."""
CELL_RESULTS = ("lead", "deal", "todo", "nothing")
DEFAULT_DEADLINE_MINUTES = 30
"""Minutes of a to-do whose deadline nobody named."""

RuleData = dict[str, Any]
CellKey = tuple[str, str]


@dataclass(frozen=True)
class Cell:
    """What becomes of a missed call."""

    result: Literal["lead", "deal", "todo", "nothing"]
    category_id: int | None = None
    """Pipeline of a deal."""
    responsible: int | str | None = None
    """As in rules; None: as the call's own records."""
    deadline_minutes: int | str | None = None
    """Of the to-do; None with a lead or deal: no to-do. A text is what somebody typed wrong: the rule that it becomes has a fault."""
    counts_working_time: bool = False
    """Count working minutes."""


@dataclass(frozen=True)
class Matrix:
    """A place without a cell has no rule: then `calls.missed` holds, or rules below."""

    cells: dict[CellKey, Cell] = field(default_factory=dict)


def cell_rule_name(place: CellKey) -> str:
    """The reserved name of a cell's rule."""
    client, hours = place
    return f"Missed: {client} client, {'working hours' if hours == 'working' else 'off hours'}"


CELL_KEY_BY_NAME: dict[str, CellKey] = {cell_rule_name(place): place for place in CELL_KEYS}


def to_rules(matrix: Matrix) -> list[RuleData]:
    """The matrix as rules, as a document holds them."""
    return [_build_rule(place, matrix.cells[place]) for place in CELL_KEYS if place in matrix.cells]


def _build_rule(place: CellKey, cell: Cell) -> RuleData:
    client, hours = place
    when = {"direction": "in", "outcome": "missed", "client": client, "hours": hours}
    return {"name": cell_rule_name(place), "when": when, "do": _build_actions(cell)}


def _build_actions(cell: Cell) -> list[RuleData]:
    if cell.result == "nothing":
        return [{"nothing": {}}]
    who = {} if cell.responsible is None else {"responsible": cell.responsible}
    do: list[RuleData] = []
    if cell.result in ("lead", "deal"):
        pipeline = {} if cell.category_id is None or cell.result == "lead" else {"category_id": cell.category_id}
        do.append({"create": {"entity": cell.result, **pipeline, **who}})
    if cell.result == "todo" or cell.deadline_minutes is not None:
        working = {"working": True} if cell.counts_working_time else {}
        minutes = DEFAULT_DEADLINE_MINUTES if cell.deadline_minutes is None else cell.deadline_minutes
        do.append({"todo": {"deadline_minutes": minutes, **working, **who}})
    return do


def from_rules(rules: Iterable[RuleData]) -> Matrix:
    """The cells that these rules say; those that do not fit a cell are left out."""
    cells: dict[CellKey, Cell] = {}
    for rule in rules:
        place = CELL_KEY_BY_NAME.get(str(rule.get("name")))
        cell = _cell_from_rule(rule) if place is not None else None
        if place is not None and cell is not None and place not in cells and _build_rule(place, cell) == _comparable_rule(rule):
            cells[place] = cell
    return Matrix(cells)


def customised_cells(rules: Iterable[RuleData]) -> set[CellKey]:
    """Places whose rule is there but says more than a cell can."""
    listed = list(rules)
    named = {CELL_KEY_BY_NAME[str(rule.get("name"))] for rule in listed if str(rule.get("name")) in CELL_KEY_BY_NAME}
    return named - set(from_rules(listed).cells)


def merge_rules(rules: list[RuleData], matrix: Matrix) -> list[RuleData]:
    """`rules` with the matrix in them: a cell's rule keeps its place, a new one goes below; rules changed by hand stay."""
    fresh = {str(rule["name"]): rule for rule in to_rules(matrix)}
    hands = {cell_rule_name(place) for place in customised_cells(rules)}
    found: list[RuleData] = []
    for rule in rules:
        name = str(rule.get("name"))
        if name not in CELL_KEY_BY_NAME or name in hands:
            found.append(rule)
        elif name in fresh:
            found.append(fresh.pop(name))
    return found + [rule for name, rule in fresh.items() if name not in hands]


def _comparable_rule(rule: RuleData) -> RuleData:
    return {"name": rule.get("name"), "when": rule.get("when") or {}, "do": list(rule.get("do") or ())}


def _cell_from_rule(rule: RuleData) -> Cell | None:
    """What a cell would have to be to give this rule; `_rule` then says whether it does."""
    parts: dict[str, RuleData] = {}
    for action in rule.get("do") or ():
        if not isinstance(action, dict) or len(action) != 1:
            return None
        [(name, held)] = action.items()
        if name in parts or not isinstance(held, dict | None):
            return None
        parts[name] = held or {}
    return _cell_from_parts(parts)


def _cell_from_parts(parts: dict[str, RuleData]) -> Cell | None:
    create, todo = parts.get("create"), parts.get("todo", {})
    deadline = todo.get("deadline_minutes") if todo else None
    working = todo.get("working") is True
    if create is not None and create.get("entity") in ("lead", "deal"):
        return Cell(create["entity"], create.get("category_id"), create.get("responsible"), deadline, working)
    if todo:
        return Cell("todo", None, todo.get("responsible"), deadline, working)
    return Cell("nothing") if "nothing" in parts else None


MATRIX_PRESETS: dict[str, Matrix] = {
    "leads": Matrix(
        {
            (client, hours): Cell("lead") if client == "new" else Cell("todo", None, "owner", DEFAULT_DEADLINE_MINUTES, True)
            for client, hours in CELL_KEYS
        }
    ),
    "deals": Matrix({place: Cell("deal", None, "owner", DEFAULT_DEADLINE_MINUTES, True) for place in CELL_KEYS}),
    "log": Matrix({place: Cell("nothing") for place in CELL_KEYS}),
}
"""Ready matrices: a lead for new clients, a deal with a to-do for everybody, only the journal."""
