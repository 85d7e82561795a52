"""An employee mapping as a table of text: out for a spreadsheet, in from one. Pure; who is who is asked of a `Finder`.

A row says: this extension is this user (by id, e-mail or name), with these mobiles. A row without a user says: it is nobody. What the file does
not name stays as it is, so an empty file changes nothing.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bx24app.domain import phone
from bx24app.domain.settings import EmployeeSettings

COLUMNS = ("extension", "user_id", "email", "name", "mobiles")
MAX_ROWS = 20_000
_COLUMN_NAMES = {
    "extension": ("extension", "ext", "добавочный", "внутренний", "внутренний номер", "номер"),
    "user_id": ("user_id", "id", "user", "id сотрудника", "id пользователя"),
    "email": ("email", "e-mail", "mail", "почта", "эл. почта"),
    "name": ("name", "employee", "имя", "сотрудник", "фио"),
    "mobiles": ("mobiles", "mobile", "numbers", "phones", "мобильный", "мобильные", "телефоны"),
}
_FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")
UserFinder = Callable[[str, str, str], "int | str"]
"""(user id, e-mail, name), each perhaps empty, not all of them -> the user's id, or a code why there is none: unknown, several, inactive."""


@dataclass(frozen=True, slots=True)
class RowFault:
    """`line` of the file (the head is 1) cannot be taken; `code`: why, `value`: what stood there."""

    line: int
    code: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class EmployeeChange:
    """What the file changes for one extension; `user_id` None: nobody any more."""

    kind: str
    """added, changed, removed."""
    extension: str
    user_id: int | None
    numbers: tuple[str, ...] = ()
    before: EmployeeSettings | None = None


@dataclass(frozen=True, slots=True)
class ImportPreview:
    """What a file says: `changes` against what is, how many rows say what is so already, and what cannot be taken."""

    changes: tuple[EmployeeChange, ...]
    unchanged_rows: int
    faults: tuple[RowFault, ...]


def write_csv(rows: Iterable[Sequence[str]]) -> str:
    """CSV with a head and semicolons, as spreadsheets of this field expect; cells that a spreadsheet would compute are quoted by an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA_PREFIXES) else cell for cell in row])
    return out.getvalue()


def decode_content(content: bytes) -> str:
    """The file's text: UTF-8 with or without its mark, else what Russian spreadsheets write.

    >>> decoded("имя".encode("cp1251")), decoded("имя".encode())
    ('имя', 'имя')
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1251", "replace")


def preview_import(text: str, present: Mapping[str, EmployeeSettings], find: UserFinder) -> ImportPreview:
    """Compare a file with the present employees of a PBX (by extension)."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        lines = [[_unquote_cell(cell) for cell in line] for line in csv.reader(io.StringIO(text), delimiter=_detect_separator(text))]
    except csv.Error:  # a cell without an end: not a table
        return ImportPreview((), 0, (RowFault(1, "head", text.partition("\n")[0][:100]),))
    if not any(any(line) for line in lines):
        return ImportPreview((), 0, ())
    head = _read_header(lines[0])
    if "extension" not in head:
        return ImportPreview((), 0, (RowFault(1, "head", ";".join(lines[0])[:100]),))
    if len(lines) > MAX_ROWS:
        return ImportPreview((), 0, (RowFault(MAX_ROWS, "long", str(len(lines))),))
    changes: dict[str, EmployeeChange] = {}
    same = 0
    faults: list[RowFault] = []
    seen: set[str] = set()
    for number, cells in enumerate(lines[1:], start=2):
        row = {name: cells[place] if place < len(cells) else "" for name, place in head.items()}
        if not any(row.values()):
            continue
        extension = row["extension"]
        met = _extension_fault(number, extension, seen)
        seen.add(extension)
        found = _row_change(number, row, present.get(extension), find) if met is None else met
        if isinstance(found, RowFault):
            faults.append(found)
        elif found is None:
            same += 1
        else:
            changes[extension] = found
    return ImportPreview(tuple(changes.values()), same, tuple(faults))


def apply_changes(present: Iterable[EmployeeSettings], changes: Iterable[EmployeeChange]) -> list[dict[str, object]]:
    """Employees of the settings document after these changes."""
    held: dict[str, dict[str, object]] = {one.extension: one.model_dump(mode="json") for one in present}
    for change in changes:
        if change.user_id is None:
            held.pop(change.extension, None)
            continue
        values = {"user_id": change.user_id, "numbers": list(change.numbers)}
        held.setdefault(change.extension, {"extension": change.extension}).update(values)
    return list(held.values())


def _detect_separator(text: str) -> str:
    """The one that stands most often in the head."""
    head = text.partition("\n")[0]
    return max((";", ",", "\t"), key=head.count)


def _unquote_cell(cell: str) -> str:
    text = cell.strip()
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA_PREFIXES) else text


def _read_header(cells: list[str]) -> dict[str, int]:
    named = {word: name for name, words in _COLUMN_NAMES.items() for word in words}
    found: dict[str, int] = {}
    for place, cell in enumerate(cells):
        name = named.get(cell.lower())
        if name is not None:
            found.setdefault(name, place)
    return found


def _extension_fault(line: int, extension: str, seen: set[str]) -> RowFault | None:
    if not extension or len(extension) > 32:
        return RowFault(line, "extension", extension[:40])
    return RowFault(line, "twice", extension) if extension in seen else None


def split_numbers(text: str) -> tuple[str, ...]:
    """Telephones in a text: by commas, by blanks before a plus, or by blanks between whole telephones; other blanks are a number's own."""
    pieces = filter(None, (piece.strip() for piece in re.split(r"[,;\n]|\s(?=\+)", text)))
    return tuple(number for piece in pieces for number in _split_by_blanks(piece))


def _split_by_blanks(piece: str) -> list[str]:
    words = piece.split()
    return words if all(phone.normalise(word) for word in words) else [piece]


def _row_change(line: int, row: dict[str, str], before: EmployeeSettings | None, find: UserFinder) -> EmployeeChange | RowFault | None:
    extension = row["extension"]
    who = tuple(row.get(name, "") for name in ("user_id", "email", "name"))
    if not any(who):
        return EmployeeChange("removed", extension, None, (), before) if before is not None else None
    found = find(*who)
    if isinstance(found, str):
        return RowFault(line, found, next(value for value in who if value))
    kept = before.numbers if before is not None else ()
    numbers = split_numbers(row["mobiles"]) if "mobiles" in row else kept
    for number in numbers:
        if phone.normalise(number) is None:
            return RowFault(line, "mobile", number[:40])
    if before is None:
        return EmployeeChange("added", extension, found, numbers)
    # Written otherwise, a number is still the same.
    if before.user_id == found and [phone.normalise(n) for n in before.numbers] == [phone.normalise(n) for n in numbers]:
        return None
    return EmployeeChange("changed", extension, found, numbers, before)
