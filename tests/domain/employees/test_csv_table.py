"""An employee mapping as a file: what it says, what it changes, what cannot be taken."""

from __future__ import annotations

import pytest

from bx24app.domain.employees import csv_table
from bx24app.domain.employees.csv_table import EmployeeChange, RowFault
from bx24app.domain.settings import EmployeeSettings

PRESENT = {
    one.extension: one
    for one in (
        EmployeeSettings(extension="101", user_id=11, numbers=("+79160000101",)),
        EmployeeSettings(extension="102", user_id=12),
        EmployeeSettings(extension="103", user_id=13),
    )
}
PEOPLE = {"11": 11, "12": 12, "14": 14, "anna@example.ru": 11, "Olga": 14}


def find(user_id: str, email: str, name: str) -> int | str:
    if name == "Ivan":
        return "several"
    return PEOPLE.get(user_id or email or name, "unknown")


def read(text: str) -> csv_table.ImportPreview:
    return csv_table.preview_import(text, PRESENT, find)


def test_what_is_added_changed_taken_away_and_left() -> None:
    header = "extension;user_id;mobiles\n"
    found = read(header + "101;11;8 (916) 000-01-01\n102;14;\n103;;\n104;12;+79160000104, 89160000105\n")
    assert found.unchanged_rows == 1, "the same number in another spelling is the same number"
    assert found.faults == ()
    assert found.changes == (
        EmployeeChange("changed", "102", 14, (), PRESENT["102"]),
        EmployeeChange("removed", "103", None, (), PRESENT["103"]),
        EmployeeChange("added", "104", 12, ("+79160000104", "89160000105")),
    )
    assert csv_table.apply_changes(PRESENT.values(), found.changes) == [
        {"extension": "101", "user_id": 11, "numbers": ["+79160000101"], "recordings": None},
        {"extension": "102", "user_id": 14, "numbers": [], "recordings": None},
        {"extension": "104", "user_id": 12, "numbers": ["+79160000104", "89160000105"]},
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "extension;user_id\n", "extension,email\r\n,\r\n"])
def test_an_empty_file_changes_nothing(text: str) -> None:
    assert read(text) == csv_table.ImportPreview((), 0, ())


def test_a_column_that_is_not_there_changes_nothing() -> None:
    [change] = read("Добавочный,Сотрудник\n101,Olga\n").changes
    assert (change.user_id, change.numbers) == (14, ("+79160000101",)), "its mobiles stay"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name;user\nx;1\n", RowFault(1, "head", "name;user")),
        ('extension;name\n105;"' + "x" * 140_000, RowFault(1, "head", "extension;name")),
        ("extension;name\n105;Ivan\n", RowFault(2, "several", "Ivan")),
        ("extension;name\n105;Nobody\n", RowFault(2, "unknown", "Nobody")),
        ("extension;user_id\n105;11\n105;12\n", RowFault(3, "twice", "105")),
        ("extension;user_id\n;11\n", RowFault(2, "extension", "")),
        ("extension;user_id;mobiles\n105;11;12\n", RowFault(2, "mobile", "12")),
    ],
)
def test_what_cannot_be_taken_is_told_by_its_line(text: str, fault: RowFault) -> None:
    assert read(text).faults == (fault,)


def test_too_long_a_file_is_not_taken_in_part() -> None:
    found = read("extension;user_id\n" + "".join(f"{n};11\n" for n in range(csv_table.MAX_ROWS)))
    assert (found.changes, found.faults[0].code) == ((), "long")


def test_what_goes_out_comes_in_unchanged() -> None:
    rows = [
        (employee.extension, str(employee.user_id), "=cmd|x@example.ru", "+Name", ", ".join(employee.numbers))
        for employee in PRESENT.values()
    ]
    text = csv_table.write_csv(rows)
    assert ";=cmd" not in text, "a spreadsheet must not compute it"
    assert ";'+Name" in text
    found = csv_table.preview_import(text, PRESENT, lambda user_id, email, name: int(user_id))
    assert (found.changes, found.unchanged_rows, found.faults) == ((), 3, ())


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "cp1251"])
def test_each_coding_that_spreadsheets_write(coding: str) -> None:
    text = csv_table.decode_content("внутренний номер;фио\n102;Olga\n".encode(coding))
    assert [change.user_id for change in read(text).changes] == [14]
