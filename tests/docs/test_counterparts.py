"""docs/counterparts.md has a row for everything that the program uses of both sides, and for nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bx24app.mango import vpbx
from bx24app.portals import install
from bx24app.sandbox.bitrix.methods import METHODS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "counterparts.md").read_text(encoding="utf-8")
BARE_METHODS = {"profile", "batch", "scope"}
"""Methods whose names are ordinary words."""
MANGO_PATH = re.compile(r'"((?:commands|stats|queries|account|config|trunks)/[a-z/_]+|groups|schemas|incominglines)"')
STATISTICS_NAMES = {"stats/calls", "stats/legs"}
"""Names of the two kinds of statistics in the table `notification`: no paths."""


def _section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def _names(title: str) -> list[str]:
    """The first cells in backticks of a section's table."""
    return re.findall(r"^\| `([^`]+)` \|", _section(title), re.MULTILINE)


def _sources(*folders: str) -> str:
    files = [path for folder in folders for path in sorted((ROOT / "bx24app" / folder).rglob("*.py"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_each_method_has_its_row_and_each_row_its_use() -> None:
    sources = _sources("bitrix24", "portals", "calls", "operations", "settings", "web")
    dotted = re.findall(r'"([a-zA-Z]+(?:\.[a-zA-Z]+)+)"', sources)
    used = {name.lower() for name in dotted if name.lower() in METHODS}
    used |= {name for name in BARE_METHODS if f'"{name}"' in sources}
    names = [name.lower() for name in _names("Bitrix24: methods")]
    assert sorted(names) == sorted(used)


def test_each_path_of_mango_has_its_row() -> None:
    used = set(MANGO_PATH.findall(_sources("mango"))) - STATISTICS_NAMES
    assert sorted(_names("Mango Office: commands and questions")) == sorted(used)


def test_each_event_has_its_row() -> None:
    names = _names("Bitrix24: events, openings, authorisation")
    assert {name for name in names if name.isupper()} == set(install.EVENTS)
    notifications = {name for name in _names("Mango Office: notifications") if name.startswith("events/")}
    assert notifications == {name for name in vpbx.STORED_NAMES if name.startswith("events/")}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE))))
def test_each_named_test_exists(name: str) -> None:
    assert (ROOT / name).is_file()


def test_each_question_is_numbered_and_has_both_answers() -> None:
    rows = re.findall(r"^\| (\d+) \|(.*)\|$", _section("Open questions"), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    assert all(len([cell for cell in cells.split(" | ") if cell.strip()]) == 3 for _, cells in rows)
