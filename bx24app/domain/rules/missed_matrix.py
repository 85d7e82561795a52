"""The missed-call matrix: new or known client × working hours or off. It is a view of ordinary rules under reserved
names.

The rules page reads the matrix from the rules (`from_rules`) and writes it back (`merge_rules`). A rule of a reserved
name that holds more than a cell can express, because it was changed by hand, stays an ordinary rule: it is no cell, and
writing does not touch it.
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
"""Minutes of a to-do for which no deadline was given."""

RuleData = dict[str, Any]
CellKey = tuple[str, str]


@dataclass(frozen=True)
class Cell:
    """What a missed call creates."""

    result: Literal["lead", "deal", "todo", "nothing"]
    category_id: int | None = None
    """Pipeline of a deal."""
    responsible: int | str | None = None
    """As in rules. None: as for the call's own records."""
    deadline_minutes: int | str | None = None
    """Of the to-do. None with a lead or deal: no to-do. A text is a value typed wrong; the rule made of it has a
    fault."""
    counts_working_time: bool = False
    """Count working minutes."""


@dataclass(frozen=True)
class Matrix:
    """The cells. A missing cell has no rule, so rules below or `calls.missed` decide."""

    cells: dict[CellKey, Cell] = field(default_factory=dict)


def cell_rule_name(key: CellKey) -> str:
    """The reserved name of a cell's rule."""
    client, hours = key
    return f"Missed: {client} client, {'working hours' if hours == 'working' else 'off hours'}"


CELL_KEY_BY_NAME: dict[str, CellKey] = {cell_rule_name(key): key for key in CELL_KEYS}


def to_rules(matrix: Matrix) -> list[RuleData]:
    """The matrix as rules, as a document holds them."""
    return [_build_rule(key, matrix.cells[key]) for key in CELL_KEYS if key in matrix.cells]


def _build_rule(key: CellKey, cell: Cell) -> RuleData:
    client, hours = key
    when = {"direction": "in", "outcome": "missed", "client": client, "hours": hours}
    return {"name": cell_rule_name(key), "when": when, "do": _build_actions(cell)}


def _build_actions(cell: Cell) -> list[RuleData]:
    if cell.result == "nothing":
        return [{"nothing": {}}]
    responsible = {} if cell.responsible is None else {"responsible": cell.responsible}
    do: list[RuleData] = []
    if cell.result in ("lead", "deal"):
        pipeline = {} if cell.category_id is None or cell.result == "lead" else {"category_id": cell.category_id}
        do.append({"create": {"entity": cell.result, **pipeline, **responsible}})
    if cell.result == "todo" or cell.deadline_minutes is not None:
        working = {"working": True} if cell.counts_working_time else {}
        minutes = DEFAULT_DEADLINE_MINUTES if cell.deadline_minutes is None else cell.deadline_minutes
        do.append({"todo": {"deadline_minutes": minutes, **working, **responsible}})
    return do


def from_rules(rules: Iterable[RuleData]) -> Matrix:
    """The cells that these rules express. Rules that do not fit a cell are left out."""
    cells: dict[CellKey, Cell] = {}
    for rule in rules:
        key = CELL_KEY_BY_NAME.get(str(rule.get("name")))
        cell = _cell_from_rule(rule) if key is not None else None
        if key is None or cell is None or key in cells:
            continue
        if _build_rule(key, cell) == _comparable_rule(rule):
            cells[key] = cell
    return Matrix(cells)


def customised_cells(rules: Iterable[RuleData]) -> set[CellKey]:
    """The cells whose rule exists but holds more than a cell can express."""
    listed = list(rules)
    named = {CELL_KEY_BY_NAME[str(rule.get("name"))] for rule in listed if str(rule.get("name")) in CELL_KEY_BY_NAME}
    return named - set(from_rules(listed).cells)


def merge_rules(rules: list[RuleData], matrix: Matrix) -> list[RuleData]:
    """`rules` with the matrix in them. A cell's rule keeps its position, a new one is appended; rules changed by
    hand stay."""
    cell_rules = {str(rule["name"]): rule for rule in to_rules(matrix)}
    customised = {cell_rule_name(key) for key in customised_cells(rules)}
    merged: list[RuleData] = []
    for rule in rules:
        name = str(rule.get("name"))
        if name not in CELL_KEY_BY_NAME or name in customised:
            merged.append(rule)
        elif name in cell_rules:
            merged.append(cell_rules.pop(name))
    return merged + [rule for name, rule in cell_rules.items() if name not in customised]


def _comparable_rule(rule: RuleData) -> RuleData:
    return {"name": rule.get("name"), "when": rule.get("when") or {}, "do": list(rule.get("do") or ())}


def _cell_from_rule(rule: RuleData) -> Cell | None:
    """The only cell that could give this rule. The caller checks whether it does."""
    parts: dict[str, RuleData] = {}
    for action in rule.get("do") or ():
        if not isinstance(action, dict) or len(action) != 1:
            return None
        [(kind, values)] = action.items()
        if kind in parts or not isinstance(values, dict | None):
            return None
        parts[kind] = values or {}
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
            key: Cell("lead") if key[0] == "new" else Cell("todo", None, "owner", DEFAULT_DEADLINE_MINUTES, True)
            for key in CELL_KEYS
        }
    ),
    "deals": Matrix({key: Cell("deal", None, "owner", DEFAULT_DEADLINE_MINUTES, True) for key in CELL_KEYS}),
    "log": Matrix({key: Cell("nothing") for key in CELL_KEYS}),
}
"""Presets: a lead for new clients; a deal with a to-do for all clients; nothing but the journal."""
