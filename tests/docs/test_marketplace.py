"""The catalogue's listing: every requirement has a proof that exists, both texts have every part, pictures have the
catalogue's size.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from PIL import Image

from tests.browser.listing import FOLDER, ICON, LANGS, NAMES, SIZE

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "marketplace.md"
PARTS = {
    "en": (
        "Name",
        "Short description",
        "Full description",
        "Keywords",
        "Installation",
        "What is new",
        "Privacy",
        "Licence",
        "Support",
        "Pictures",
    ),
    "ru": (
        "Название",
        "Краткое описание",
        "Полное описание",
        "Ключевые слова",
        "Установка",
        "Что нового",
        "Конфиденциальность",
        "Лицензионное соглашение",
        "Поддержка",
        "Снимки экрана",
    ),
}
PROOF = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> list[str]:
    """Requirements: rows of tables of three columns, without their heads."""
    found = [
        line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| ") and line.count(" | ") == 2
    ]
    return [line for line in found if not line.startswith("| asked |")]


def parts(lang: str) -> list[str]:
    """What stands under each heading of a text."""
    pieces = re.split(r"^## (.+)\n", (FOLDER / f"{lang}.md").read_text("utf-8"), flags=re.MULTILINE)
    assert pieces[1::2] == list(PARTS[lang])
    return [piece.strip() for piece in pieces[2::2]]


def test_every_row_has_a_proof_or_is_the_publishers() -> None:
    assert len(rows()) > 40
    assert [row for row in rows() if not PROOF.search(row) and "*publisher*" not in row] == []


def test_every_test_that_is_named_exists() -> None:
    text = DOCUMENT.read_text("utf-8")
    named = PROOF.findall(text)
    assert len(named) == text.count("::test_") > 50
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).exists() or f"def {name}(" not in (ROOT / file).read_text("utf-8")
    ]
    assert missing == []


@pytest.mark.parametrize("lang", LANGS)
def test_the_texts_have_every_part(lang: str) -> None:
    name, short, full, keywords, installation, new, privacy, licence, support, pictures = parts(lang)
    assert all((name, full, installation, new, licence))
    assert name not in short
    assert len(re.findall(r"[.!?](?:\s|$)", short)) <= 2, "one or two sentences"
    assert len(keywords) <= 2000
    assert not re.search("bitrix|битрикс|mango|манго", keywords, re.IGNORECASE)
    assert "https://www.mango-office.ru/" in full
    assert "/privacy" in privacy
    assert "{" in support
    assert len(re.findall(r"^\d\. ", pictures, re.MULTILINE)) == len(NAMES)
    assert [len(part) > 0 for part in parts("ru")] == [len(part) > 0 for part in parts("en")]
    assert [part.count("\n* ") for part in parts("ru")] == [part.count("\n* ") for part in parts("en")]


def test_each_text_speaks_one_language() -> None:
    english, russian = ((FOLDER / f"{lang}.md").read_text("utf-8") for lang in ("en", "ru"))
    assert not re.search("[А-Яа-яЁё]", english)
    assert "Bitrix24" not in russian, "Битрикс24, as it calls itself there"
    known = {
        "Mango",
        "Office",
        "API",
        "CRM",
        "CSV",
        "SMS",
        "https",
        "www",
        "mango",
        "office",
        "ru",
        "lk",
        "host",
        "privacy",
        "cookie",
    }
    assert set(re.findall("[A-Za-z]+", russian)) <= known


def test_the_name_is_the_one_of_the_privacy_page() -> None:
    with (ROOT / "translations" / "ru" / "LC_MESSAGES" / "messages.po").open("rb") as file:
        said = read_po(file).get("Privacy: Mango Office for Bitrix24")
    assert said is not None
    assert parts("en")[0] == "Mango Office for Bitrix24"
    assert str(said.string) == f"Конфиденциальность: {parts('ru')[0]}"
    assert "Privacy: Mango Office for Bitrix24" in (ROOT / "templates" / "privacy.html").read_text("utf-8")


def test_pictures_are_as_the_catalogue_asks() -> None:
    wanted = {f"{name}-{lang}.png" for name in NAMES for lang in LANGS} | {"icon.png"}
    assert {file.name for file in FOLDER.glob("*.png")} == wanted
    for name in wanted:
        with Image.open(FOLDER / name) as picture:
            assert picture.size == ((ICON, ICON) if name == "icon.png" else SIZE)
            assert picture.format == "PNG"
            assert not picture.has_transparency_data
        assert (FOLDER / name).stat().st_size < 250_000, name
    text = DOCUMENT.read_text("utf-8")
    assert [name for name in NAMES if f"`{name}`" not in text] == []
