"""The administrator's guides: both languages say the same, every picture is there, and `make screenshots` makes each of
them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser.screenshots import GUIDES, IMAGES

DOCS = Path(__file__).parents[2] / "docs"
FILES = {"en": DOCS / "administrator.md", "ru": DOCS / "administrator.ru.md"}


def pictures(lang: str) -> list[str]:
    return re.findall(r"!\[[^\]]+\]\(images/([\w-]+)\.png\)", FILES[lang].read_text())


@pytest.mark.parametrize("lang", FILES)
def test_every_picture_is_made_and_there(lang: str) -> None:
    named = pictures(lang)
    assert {name.removesuffix(f"-{lang}") for name in named} == set(GUIDES)
    for name in named:
        assert (IMAGES / f"{name}.png").stat().st_size < 250_000, name


def test_both_languages_have_the_same_parts() -> None:
    shapes = [re.findall(r"^(#+ |\||\d\. )", file.read_text(), re.MULTILINE) for file in FILES.values()]
    assert shapes[0] == shapes[1]
    assert [name[:-3] for name in pictures("en")] == [name[:-3] for name in pictures("ru")]
