"""The fields of the missed-call matrix: `m-<client>-<hours>-…`."""

from __future__ import annotations

from typing import Any

from bx24app.domain.rules.missed_matrix import CELL_KEYS, CELL_RESULTS, DEFAULT_DEADLINE_MINUTES, Cell, CellKey, Matrix
from bx24app.web.base.parsing import parse_int
from bx24app.web.rules import rule_form
from bx24app.web.rules.rule_form import FormData


def cell_prefix(place: CellKey) -> str:
    """Beginning of the names of a cell's fields."""
    return f"m-{place[0]}-{place[1]}"


def read_matrix(form: FormData, by_hand: set[CellKey]) -> Matrix:
    """The matrix as the page shows it; cells that are changed by hand have no fields."""
    cells = {place: cell for place in CELL_KEYS if place not in by_hand and (cell := _read_cell(form, cell_prefix(place)))}
    return Matrix(cells)


def _read_cell(form: FormData, name: str) -> Cell | None:
    make: Any = form.get(f"{name}-make", "")
    if make not in CELL_RESULTS:
        return None
    if make == "nothing":
        return Cell("nothing")
    category = form.get(f"{name}-category_id", "")
    deadline = rule_form.parse_number(form.get(f"{name}-deadline_minutes", ""))
    if make == "todo" and deadline is None:
        deadline = DEFAULT_DEADLINE_MINUTES
    return Cell(
        make,
        parse_int(category) if make == "deal" else None,
        rule_form.read_responsible(form, f"{name}-responsible"),
        deadline,
        f"{name}-working" in form and deadline is not None,
    )
