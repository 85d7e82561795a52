"""The layout's figures hold (`python -m scripts.house` prints them), and each measure finds what it looks for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from scripts import house


@pytest.mark.parametrize("figure", house.measure(), ids=lambda figure: figure.name)
def test_each_figure_is_within_its_limit(figure: house.Figure) -> None:
    assert figure.violations == ()


def test_the_glossary_names_words_that_are_not_used() -> None:
    words = house.read_old_words(house.GLOSSARY.read_text(encoding="utf-8"))
    assert {"door", "parcel", "tape", "told"} <= words
    assert "card" not in words


def test_names_of_every_kind_are_seen() -> None:
    source = (
        "import a as tape\nclass Told:\n    def desk(self, parcel):\n        self.held = found = 1\n        for bell in ():\n            pass\n"  # noqa: E501
        "        try:\n            pass\n        except E as met:\n            pass\n        match x:\n            case heap:\n                pass\n"  # noqa: E501
    )
    names = {name for name, _ in house.names_of(ast.parse(source))}
    assert {"tape", "Told", "desk", "parcel", "held", "found", "bell", "met", "heap"} <= names


def test_a_circle_is_found() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    groups = [group for group in house._strongly_connected(imports) if len(group) > 1]
    assert groups == [{"a", "b", "c"}]


def test_a_class_name_that_stands_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = {house.PACKAGE / "web" / name: ast.parse("class Row: ...") for name in ("a.py", "b.py")}
    assert house._measure_class_names(trees).violations == (
        f"Row in {Path('bx24app/web/a.py')}, {Path('bx24app/web/b.py')}",
    )
