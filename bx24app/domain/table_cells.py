"""Text for the cells of CSV files, so that no spreadsheet computes it.

Every file that the app writes takes its cells here: names, entries and rules come from PBXs and from people.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Any

_SIGNS = "=+\\-@＝＋－＠\t\r\n"
_SEPARATORS = ",;\t\r\n"
_SIGN = rf"(^|(?<=[{_SEPARATORS}]))(?=[{_SIGNS}])"
"""Where a formula could begin: at the start, and behind whatever another program may take for the end of a cell."""
_FORMULA = re.compile(_SIGN)
_NO_NUMBER = re.compile(rf"{_SIGN}(?![+-]?\d+(?:\.\d+)?(?:[{_SEPARATORS}\]}}]|$))")
_QUOTED = re.compile(rf"(^|(?<=[{_SEPARATORS}]))'(?=[{_SIGNS}])")


def quote_formulas(value: Any, *, keep_numbers: bool = True) -> Any:
    """The cell with an apostrophe before each formula; other types than text as they are.

    `keep_numbers`: a plain number, such as a telephone, is no formula. With an apostrophe a spreadsheet keeps its plus.

    >>> quote_formulas("=1+1"), quote_formulas("a;@b"), quote_formulas("+79160000001")
    ("'=1+1", "a;'@b", '+79160000001')
    """
    if not isinstance(value, str):
        return value
    return (_NO_NUMBER if keep_numbers else _FORMULA).sub("'", value)


def unquote_formulas(text: str) -> str:
    """What stood in the cell before `quote_formulas`.

    >>> unquote_formulas("'=1+1"), unquote_formulas("O'Neil")
    ('=1+1', "O'Neil")
    """
    return _QUOTED.sub("", text)


def format_line(cells: Iterable[Any], separator: str = ",", *, keep_numbers: bool = True) -> str:
    """One line of a CSV file with its end; cells as `quote_formulas` gives them."""
    text = io.StringIO()
    quoted = [quote_formulas(cell, keep_numbers=keep_numbers) for cell in cells]
    csv.writer(text, delimiter=separator, lineterminator="\r\n").writerow(quoted)
    return text.getvalue()
