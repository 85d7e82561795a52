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
from bx24app.domain.settings import Employee

COLUMNS = ("extension", "user_id", "email", "name", "mobiles")
MOST_ROWS = 20_000
_NAMES = {
    "extension": ("extension", "ext", "добавочный", "внутренний", "внутренний номер", "номер"),
    "user_id": ("user_id", "id", "user", "id сотрудника", "id пользователя"),
    "email": ("email", "e-mail", "mail", "почта", "эл. почта"),
    "name": ("name", "employee", "имя", "сотрудник", "фио"),
    "mobiles": ("mobiles", "mobile", "numbers", "phones", "мобильный", "мобильные", "телефоны"),
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
Finder = Callable[[str, str, str], "int | str"]
"""(user id, e-mail, name), each perhaps empty, not all of them -> the user's id, or a code why there is none: unknown, several, inactive."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`line` of the file (the head is 1) cannot be taken; `code`: why, `value`: what stood there."""

    line: int
    code: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What the file changes for one extension; `user_id` None: nobody any more."""

    kind: str
    """added, changed, removed."""
    extension: str
    user_id: int | None
    numbers: tuple[str, ...] = ()
    before: Employee | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file says: `changes` against what is, how many rows say what is so already, and what cannot be taken."""

    changes: tuple[Change, ...]
    same: int
    faults: tuple[Fault, ...]


def write(rows: Iterable[Sequence[str]]) -> str:
    """CSV with a head and semicolons, as spreadsheets of this field expect; cells that a spreadsheet would compute are quoted by an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row])
    return out.getvalue()


def decoded(content: bytes) -> str:
    """The file's text: UTF-8 with or without its mark, else what Russian spreadsheets write.

    >>> decoded("имя".encode("cp1251")), decoded("имя".encode())
    ('имя', 'имя')
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1251", "replace")


def read(text: str, present: Mapping[str, Employee], find: Finder) -> Reading:
    """Compare a file with the present employees of a PBX (by extension)."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        lines = [[_plain(cell) for cell in line] for line in csv.reader(io.StringIO(text), delimiter=_separator(text))]
    except csv.Error:  # a cell without an end: not a table
        return Reading((), 0, (Fault(1, "head", text.partition("\n")[0][:100]),))
    if not any(any(line) for line in lines):
        return Reading((), 0, ())
    head = _head(lines[0])
    if "extension" not in head:
        return Reading((), 0, (Fault(1, "head", ";".join(lines[0])[:100]),))
    if len(lines) > MOST_ROWS:
        return Reading((), 0, (Fault(MOST_ROWS, "long", str(len(lines))),))
    changes: dict[str, Change] = {}
    same = 0
    faults: list[Fault] = []
    seen: set[str] = set()
    for number, cells in enumerate(lines[1:], start=2):
        row = {name: cells[place] if place < len(cells) else "" for name, place in head.items()}
        if not any(row.values()):
            continue
        extension = row["extension"]
        met = _fault(number, extension, seen)
        seen.add(extension)
        found = _change(number, row, present.get(extension), find) if met is None else met
        if isinstance(found, Fault):
            faults.append(found)
        elif found is None:
            same += 1
        else:
            changes[extension] = found
    return Reading(tuple(changes.values()), same, tuple(faults))


def applied(present: Iterable[Employee], changes: Iterable[Change]) -> list[dict[str, object]]:
    """Employees of the settings document after these changes."""
    held: dict[str, dict[str, object]] = {one.extension: one.model_dump(mode="json") for one in present}
    for change in changes:
        if change.user_id is None:
            held.pop(change.extension, None)
            continue
        values = {"user_id": change.user_id, "numbers": list(change.numbers)}
        held.setdefault(change.extension, {"extension": change.extension}).update(values)
    return list(held.values())


def _separator(text: str) -> str:
    """The one that stands most often in the head."""
    head = text.partition("\n")[0]
    return max((";", ",", "\t"), key=head.count)


def _plain(cell: str) -> str:
    text = cell.strip()
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def _head(cells: list[str]) -> dict[str, int]:
    named = {word: name for name, words in _NAMES.items() for word in words}
    found: dict[str, int] = {}
    for place, cell in enumerate(cells):
        name = named.get(cell.lower())
        if name is not None:
            found.setdefault(name, place)
    return found


def _fault(line: int, extension: str, seen: set[str]) -> Fault | None:
    if not extension or len(extension) > 32:
        return Fault(line, "extension", extension[:40])
    return Fault(line, "twice", extension) if extension in seen else None


def numbers_of(text: str) -> tuple[str, ...]:
    """Telephones in a text: by commas, by blanks before a plus, or by blanks between whole telephones; other blanks are a number's own."""
    pieces = filter(None, (piece.strip() for piece in re.split(r"[,;\n]|\s(?=\+)", text)))
    return tuple(number for piece in pieces for number in _whole(piece))


def _whole(piece: str) -> list[str]:
    words = piece.split()
    return words if all(phone.normal(word) for word in words) else [piece]


def _change(line: int, row: dict[str, str], before: Employee | None, find: Finder) -> Change | Fault | None:
    extension = row["extension"]
    who = tuple(row.get(name, "") for name in ("user_id", "email", "name"))
    if not any(who):
        return Change("removed", extension, None, (), before) if before is not None else None
    found = find(*who)
    if isinstance(found, str):
        return Fault(line, found, next(value for value in who if value))
    kept = before.numbers if before is not None else ()
    numbers = numbers_of(row["mobiles"]) if "mobiles" in row else kept
    for number in numbers:
        if phone.normal(number) is None:
            return Fault(line, "mobile", number[:40])
    if before is None:
        return Change("added", extension, found, numbers)
    # Written otherwise, a number is still the same.
    if before.user_id == found and [phone.normal(n) for n in before.numbers] == [phone.normal(n) for n in numbers]:
        return None
    return Change("changed", extension, found, numbers, before)
