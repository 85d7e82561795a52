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
PLACES = tuple((client, hours) for client in CLIENTS for hours in HOURS)
"""(client, hours) of the four cells, in their order."""
MAKES = ("lead", "deal", "todo", "nothing")
DEADLINE = 30
"""Minutes of a to-do whose deadline nobody named."""

Document = dict[str, Any]
Place = tuple[str, str]


@dataclass(frozen=True)
class Cell:
    """What becomes of a missed call."""

    make: Literal["lead", "deal", "todo", "nothing"]
    category_id: int | None = None
    """Pipeline of a deal."""
    responsible: int | str | None = None
    """As in rules; None: as the call's own records."""
    deadline_minutes: int | str | None = None
    """Of the to-do; None with a lead or deal: no to-do. A text is what somebody typed wrong: the rule that it becomes has a fault."""
    working: bool = False
    """Count working minutes."""


@dataclass(frozen=True)
class Matrix:
    """A place without a cell has no rule: then `calls.missed` holds, or rules below."""

    cells: dict[Place, Cell] = field(default_factory=dict)


def name_of(place: Place) -> str:
    """The reserved name of a cell's rule."""
    client, hours = place
    return f"Missed: {client} client, {'working hours' if hours == 'working' else 'off hours'}"


NAMES: dict[str, Place] = {name_of(place): place for place in PLACES}


def to_rules(matrix: Matrix) -> list[Document]:
    """The matrix as rules, as a document holds them."""
    return [_rule(place, matrix.cells[place]) for place in PLACES if place in matrix.cells]


def _rule(place: Place, cell: Cell) -> Document:
    client, hours = place
    when = {"direction": "in", "outcome": "missed", "client": client, "hours": hours}
    return {"name": name_of(place), "when": when, "do": _do(cell)}


def _do(cell: Cell) -> list[Document]:
    if cell.make == "nothing":
        return [{"nothing": {}}]
    who = {} if cell.responsible is None else {"responsible": cell.responsible}
    do: list[Document] = []
    if cell.make in ("lead", "deal"):
        pipeline = {} if cell.category_id is None or cell.make == "lead" else {"category_id": cell.category_id}
        do.append({"create": {"entity": cell.make, **pipeline, **who}})
    if cell.make == "todo" or cell.deadline_minutes is not None:
        working = {"working": True} if cell.working else {}
        minutes = DEADLINE if cell.deadline_minutes is None else cell.deadline_minutes
        do.append({"todo": {"deadline_minutes": minutes, **working, **who}})
    return do


def from_rules(rules: Iterable[Document]) -> Matrix:
    """The cells that these rules say; those that do not fit a cell are left out."""
    cells: dict[Place, Cell] = {}
    for rule in rules:
        place = NAMES.get(str(rule.get("name")))
        cell = _cell(rule) if place is not None else None
        if place is not None and cell is not None and place not in cells and _rule(place, cell) == _plain(rule):
            cells[place] = cell
    return Matrix(cells)


def by_hand(rules: Iterable[Document]) -> set[Place]:
    """Places whose rule is there but says more than a cell can."""
    listed = list(rules)
    named = {NAMES[str(rule.get("name"))] for rule in listed if str(rule.get("name")) in NAMES}
    return named - set(from_rules(listed).cells)


def put(rules: list[Document], matrix: Matrix) -> list[Document]:
    """`rules` with the matrix in them: a cell's rule keeps its place, a new one goes below; rules changed by hand stay."""
    fresh = {str(rule["name"]): rule for rule in to_rules(matrix)}
    hands = {name_of(place) for place in by_hand(rules)}
    found: list[Document] = []
    for rule in rules:
        name = str(rule.get("name"))
        if name not in NAMES or name in hands:
            found.append(rule)
        elif name in fresh:
            found.append(fresh.pop(name))
    return found + [rule for name, rule in fresh.items() if name not in hands]


def _plain(rule: Document) -> Document:
    return {"name": rule.get("name"), "when": rule.get("when") or {}, "do": list(rule.get("do") or ())}


def _cell(rule: Document) -> Cell | None:
    """What a cell would have to be to give this rule; `_rule` then says whether it does."""
    parts: dict[str, Document] = {}
    for action in rule.get("do") or ():
        if not isinstance(action, dict) or len(action) != 1:
            return None
        [(name, held)] = action.items()
        if name in parts or not isinstance(held, dict | None):
            return None
        parts[name] = held or {}
    return _of_parts(parts)


def _of_parts(parts: dict[str, Document]) -> Cell | None:
    create, todo = parts.get("create"), parts.get("todo", {})
    deadline = todo.get("deadline_minutes") if todo else None
    working = todo.get("working") is True
    if create is not None and create.get("entity") in ("lead", "deal"):
        return Cell(create["entity"], create.get("category_id"), create.get("responsible"), deadline, working)
    if todo:
        return Cell("todo", None, todo.get("responsible"), deadline, working)
    return Cell("nothing") if "nothing" in parts else None


PRESETS: dict[str, Matrix] = {
    "leads": Matrix(
        {
            (client, hours): Cell("lead") if client == "new" else Cell("todo", None, "owner", DEADLINE, True)
            for client, hours in PLACES
        }
    ),
    "deals": Matrix({place: Cell("deal", None, "owner", DEADLINE, True) for place in PLACES}),
    "log": Matrix({place: Cell("nothing") for place in PLACES}),
}
"""Ready matrices: a lead for new clients, a deal with a to-do for everybody, only the journal."""
