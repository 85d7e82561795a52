"""The fields of the missed-call matrix: `m-<client>-<hours>-…`."""

from __future__ import annotations

from typing import Any

from bx24app.domain.rules.missed_matrix import DEADLINE, MAKES, PLACES, Cell, Matrix, Place
from bx24app.web.base.parsing import whole
from bx24app.web.rules import rule_form
from bx24app.web.rules.rule_form import Form


def prefix(place: Place) -> str:
    """Beginning of the names of a cell's fields."""
    return f"m-{place[0]}-{place[1]}"


def read(form: Form, by_hand: set[Place]) -> Matrix:
    """The matrix as the page shows it; cells that are changed by hand have no fields."""
    cells = {place: cell for place in PLACES if place not in by_hand and (cell := _cell(form, prefix(place)))}
    return Matrix(cells)


def _cell(form: Form, name: str) -> Cell | None:
    make: Any = form.get(f"{name}-make", "")
    if make not in MAKES:
        return None
    if make == "nothing":
        return Cell("nothing")
    category = form.get(f"{name}-category_id", "")
    deadline = rule_form.number(form.get(f"{name}-deadline_minutes", ""))
    if make == "todo" and deadline is None:
        deadline = DEADLINE
    return Cell(
        make,
        whole(category) if make == "deal" else None,
        rule_form.who(form, f"{name}-responsible"),
        deadline,
        f"{name}-working" in form and deadline is not None,
    )
