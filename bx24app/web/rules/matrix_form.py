"""The fields of the missed-call matrix: `m-<client>-<hours>-…`."""

from __future__ import annotations

from typing import Any

from bx24app.domain.rules.missed_matrix import CELL_KEYS, CELL_RESULTS, DEFAULT_DEADLINE_MINUTES, Cell, CellKey, Matrix
from bx24app.web.base.parsing import parse_int
from bx24app.web.rules import rule_form
from bx24app.web.rules.rule_form import FormData


def cell_prefix(key: CellKey) -> str:
    """How the names of a cell's fields begin."""
    return f"m-{key[0]}-{key[1]}"


def read_matrix(form: FormData, customised: set[CellKey]) -> Matrix:
    """The matrix as the page shows it. Cells whose rule was changed by hand (`customised`) have no fields."""
    cells = {key: _read_cell(form, cell_prefix(key)) for key in CELL_KEYS if key not in customised}
    return Matrix({key: cell for key, cell in cells.items() if cell})


def _read_cell(form: FormData, name: str) -> Cell | None:
    result: Any = form.get(f"{name}-make", "")
    if result not in CELL_RESULTS:
        return None
    if result == "nothing":
        return Cell("nothing")
    category = form.get(f"{name}-category_id", "")
    deadline = rule_form.parse_number(form.get(f"{name}-deadline_minutes", ""))
    if result == "todo" and deadline is None:
        deadline = DEFAULT_DEADLINE_MINUTES
    return Cell(
        result,
        parse_int(category) if result == "deal" else None,
        rule_form.read_responsible(form, f"{name}-responsible"),
        deadline,
        f"{name}-working" in form and deadline is not None,
    )
