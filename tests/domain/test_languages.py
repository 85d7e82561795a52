"""One answer to the question which language a portal reads."""

from __future__ import annotations

import pytest

from bx24app.domain.languages import choose_language

RUSSIAN = (
    "ru",
    "RU",
    "ru-RU",
    "ru_RU",
    " ru ",
    "by",
    "be",
    "kz",
    "kk",
    "KZ",
    "kg",
    "ky",
    "ua",
    "uk",
    "uk-UA",
    "uz",
    "uz-Cyrl",
)
ENGLISH = ("en", "EN", "en-US", "de", "fr", "it", "pl", "tr", "ja", "ar", "hi", "id", "ms", "th", "xx", "r", "1")
OWN_CODES = {
    "la": "Spanish",
    "br": "Portuguese (Brazil)",
    "sc": "Chinese",
    "tc": "Chinese (Taiwan)",
    "vn": "Vietnamese",
}


@pytest.mark.parametrize("lang", RUSSIAN)
def test_neighbours_of_russian_read_russian(lang: str) -> None:
    assert choose_language(lang) == "ru"


@pytest.mark.parametrize("lang", [*ENGLISH, *OWN_CODES])
def test_everybody_else_reads_english(lang: str) -> None:
    assert choose_language(lang) == "en"


@pytest.mark.parametrize("lang", ["", " "])
def test_a_portal_that_names_no_language_reads_russian(lang: str) -> None:
    assert choose_language(lang) == "ru"
