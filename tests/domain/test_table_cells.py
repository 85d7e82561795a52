"""No cell of a file that we write is a formula, whatever a program takes for the end of a cell."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from bx24app.domain import table_cells

HOSTILE = ('=HYPERLINK("http://x","y")', "+1+1", "-cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1")
SIGNS = "=+-@＝＋－＠\t\r\n"


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("before", ["", "x;", "x,", "x\t", "x\n", "x;;"])
def test_a_formula_is_quoted(before: str, text: str) -> None:
    cell = table_cells.quote_formulas(before + text)
    for separator in ",;\t\n":
        assert not any(part and part[0] in SIGNS for part in cell.split(separator) if part), (separator, cell)
    assert table_cells.unquote_formulas(cell) == before + text


@pytest.mark.parametrize("text", ["", "x", "+79160000001", "-5", "12.5", "+79160000001, +79160000002", "a-b", "[1,-2]"])
def test_what_is_no_formula_stays(text: str) -> None:
    assert table_cells.quote_formulas(text) == text


def test_a_line_reads_back() -> None:
    cells = ["=1", 'a"b', "c;=d", None, 5, -5]
    [row] = csv.reader(io.StringIO(table_cells.format_line(cells)))
    assert row == ["'=1", 'a"b', "c;'=d", "", "5", "-5"]


def test_every_file_takes_its_cells_here() -> None:
    package = Path(__file__).resolve().parents[2] / "bx24app"
    writers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"csv\.(writer|DictWriter)\b", path.read_text(encoding="utf-8"))
    }
    assert writers == {"domain/table_cells.py"}
