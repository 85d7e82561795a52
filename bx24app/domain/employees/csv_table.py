"""Reads and writes the employee mapping of one PBX as a CSV file. Pure; users are looked up by a `UserFinder`.

A row maps an extension to a user (by id, e-mail or name) with their mobiles; a row without a user removes the mapping.
Extensions that the file does not name stay as they are, so an empty file changes nothing.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bx24app.domain import phone, table_cells
from bx24app.domain.settings import EmployeeSettings

COLUMNS = ("extension", "user_id", "email", "name", "mobiles")
MAX_ROWS, MAX_COLUMNS = 20_000, 20
"""Of a file; they are counted before it is read."""
_COLUMN_NAMES = {
    "extension": ("extension", "ext", "добавочный", "внутренний", "внутренний номер", "номер"),
    "user_id": ("user_id", "id", "user", "id сотрудника", "id пользователя"),
    "email": ("email", "e-mail", "mail", "почта", "эл. почта"),
    "name": ("name", "employee", "имя", "сотрудник", "фио"),
    "mobiles": ("mobiles", "mobile", "numbers", "phones", "мобильный", "мобильные", "телефоны"),
}
UserFinder = Callable[[str, str, str], "int | str"]
"""(user id, e-mail, name), at least one not empty -> the user's id, or a code: unknown, several, inactive."""


@dataclass(frozen=True, slots=True)
class RowFault:
    """A row that cannot be used. `line`: of the file, the header is 1; `code`: why; `value`: what it contains."""

    line: int
    code: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class EmployeeChange:
    """What the file changes for one extension. `user_id` None: the mapping is removed."""

    kind: str
    """added, changed, removed."""
    extension: str
    user_id: int | None
    numbers: tuple[str, ...] = ()
    before: EmployeeSettings | None = None


@dataclass(frozen=True, slots=True)
class ImportPreview:
    """What a file would do: `changes`, the number of rows that change nothing, and the rows that cannot be used."""

    changes: tuple[EmployeeChange, ...]
    unchanged_rows: int
    faults: tuple[RowFault, ...]


def write_csv(rows: Iterable[Sequence[str]]) -> str:
    """CSV with a header and semicolons, as Russian spreadsheets expect, without formulas."""
    return "".join(table_cells.format_line(row, ";", keep_numbers=False) for row in (COLUMNS, *rows))


def decode_content(content: bytes) -> str:
    """The file's text: UTF-8 with or without a byte order mark, else Windows-1251, which Russian spreadsheets write.

    >>> decode_content("имя".encode("cp1251")), decode_content("имя".encode())
    ('имя', 'имя')
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1251", "replace")


def preview_import(text: str, present: Mapping[str, EmployeeSettings], find: UserFinder) -> ImportPreview:
    """Compare a file with the present employees of a PBX (by extension)."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    separator = _detect_separator(text)
    rows = max(text.count("\n"), text.count(separator) // MAX_COLUMNS)
    if rows > MAX_ROWS:
        return ImportPreview((), 0, (RowFault(MAX_ROWS, "long", str(rows)),))
    try:
        reader = csv.reader(io.StringIO(text), delimiter=separator)
        lines = [[table_cells.unquote_formulas(cell.strip()) for cell in line] for line in reader]
    except csv.Error:  # a cell without an end: not a table
        return ImportPreview((), 0, (RowFault(1, "head", text.partition("\n")[0][:100]),))
    if not any(any(line) for line in lines):
        return ImportPreview((), 0, ())
    columns = _read_header(lines[0])
    if "extension" not in columns:
        return ImportPreview((), 0, (RowFault(1, "head", ";".join(lines[0])[:100]),))
    changes: dict[str, EmployeeChange] = {}
    unchanged = 0
    faults: list[RowFault] = []
    seen: set[str] = set()
    for number, cells in enumerate(lines[1:], start=2):
        row = {name: cells[index] if index < len(cells) else "" for name, index in columns.items()}
        if not any(row.values()):
            continue
        extension = row["extension"]
        result: EmployeeChange | RowFault | None = _extension_fault(number, extension, seen)
        seen.add(extension)
        if result is None:
            result = _row_change(number, row, present.get(extension), find)
        if isinstance(result, RowFault):
            faults.append(result)
        elif result is None:
            unchanged += 1
        else:
            changes[extension] = result
    return ImportPreview(tuple(changes.values()), unchanged, tuple(faults))


def apply_changes(present: Iterable[EmployeeSettings], changes: Iterable[EmployeeChange]) -> list[dict[str, object]]:
    """Employees of the settings document after these changes."""
    rows: dict[str, dict[str, object]] = {employee.extension: employee.model_dump(mode="json") for employee in present}
    for change in changes:
        if change.user_id is None:
            rows.pop(change.extension, None)
            continue
        values = {"user_id": change.user_id, "numbers": list(change.numbers)}
        rows.setdefault(change.extension, {"extension": change.extension}).update(values)
    return list(rows.values())


def _detect_separator(text: str) -> str:
    header = text.partition("\n")[0]
    return max((";", ",", "\t"), key=header.count)


def _read_header(cells: list[str]) -> dict[str, int]:
    names = {word: name for name, words in _COLUMN_NAMES.items() for word in words}
    columns: dict[str, int] = {}
    for index, cell in enumerate(cells):
        name = names.get(cell.lower())
        if name is not None:
            columns.setdefault(name, index)
    return columns


def _extension_fault(line: int, extension: str, seen: set[str]) -> RowFault | None:
    if not extension or len(extension) > 32:
        return RowFault(line, "extension", extension[:40])
    return RowFault(line, "twice", extension) if extension in seen else None


def split_numbers(text: str) -> tuple[str, ...]:
    """Telephones in a text, separated by commas, by blanks before a plus, or by blanks between complete telephones.

    Other blanks belong to the number.
    """
    pieces = filter(None, (piece.strip() for piece in re.split(r"[,;\n]|\s(?=\+)", text)))
    return tuple(number for piece in pieces for number in _split_by_blanks(piece))


def _split_by_blanks(piece: str) -> list[str]:
    words = piece.split()
    return words if all(phone.normalise(word) for word in words) else [piece]


def _row_change(
    line: int, row: dict[str, str], before: EmployeeSettings | None, find: UserFinder
) -> EmployeeChange | RowFault | None:
    extension = row["extension"]
    user = tuple(row.get(name, "") for name in ("user_id", "email", "name"))
    if not any(user):
        return EmployeeChange("removed", extension, None, (), before) if before is not None else None
    user_id = find(*user)
    if isinstance(user_id, str):
        return RowFault(line, user_id, next(value for value in user if value))
    numbers = before.numbers if before is not None else ()
    if "mobiles" in row:
        numbers = split_numbers(row["mobiles"])
    for number in numbers:
        if phone.normalise(number) is None:
            return RowFault(line, "mobile", number[:40])
    if before is None:
        return EmployeeChange("added", extension, user_id, numbers)
    # A number that is only written in another way is no change.
    if before.user_id == user_id and list(map(phone.normalise, before.numbers)) == list(map(phone.normalise, numbers)):
        return None
    return EmployeeChange("changed", extension, user_id, numbers, before)
