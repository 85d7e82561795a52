"""Every text of the pages in both languages; the compiled catalogue is the one that the repository's texts give."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask import Flask

from bx24app.domain.document import errors
from bx24app.domain.employees.matching import EmployeeMatcher, PbxExtension, Person
from bx24app.domain.faults import SENTENCES, Fault
from bx24app.web.base import i18n
from bx24app.web.settings import fault_messages

ROOT = Path(__file__).resolve().parents[3]
RUSSIAN = ROOT / "translations" / "ru" / "LC_MESSAGES"
KEYWORDS = {"gettext": None, "lazy_gettext": None, "_": None, "ngettext": (1, 2)}
METHODS = [("bx24app/web/**.py", "python"), ("templates/**.html", "jinja2")]


def said() -> set[str]:
    """Every text that code and templates say."""
    found: set[str] = set()
    for folder in ("bx24app", "templates"):
        methods = [
            (pattern.removeprefix(f"{folder}/"), kind) for pattern, kind in METHODS if pattern.startswith(folder)
        ]
        for _, _, message, _, _ in extract_from_dir(str(ROOT / folder), methods, keywords=KEYWORDS):
            found.add(message[0] if isinstance(message, tuple) else message)
    return found


def russian() -> Catalog:
    with (RUSSIAN / "messages.po").open("rb") as file:
        return read_po(file, locale="ru")


def test_every_text_is_translated_and_none_is_left_over() -> None:
    catalog = {(m.id[0] if isinstance(m.id, tuple) else m.id): m for m in russian() if m.id}
    assert said() - set(catalog) == set(), "say it in translations/ru too"
    assert set(catalog) - said() == set(), "nobody says it any more"
    for text, message in catalog.items():
        forms = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(forms), text
        assert not message.fuzzy, text
        assert len(forms) == (3 if message.pluralizable else 1), text
        for form in forms:
            assert sorted(re.findall(r"%\(\w+\)\w", form)) == sorted(re.findall(r"%\(\w+\)\w", text)), text


def test_the_compiled_catalogue_is_fresh() -> None:
    made = io.BytesIO()
    write_mo(made, russian())
    assert (RUSSIAN / "messages.mo").read_bytes() == made.getvalue(), "run: pybabel compile -d translations"


@pytest.mark.parametrize(
    ("lang", "language"),
    [
        ("ru", "ru"),
        ("RU", "ru"),
        ("kz", "ru"),
        ("by", "ru"),
        ("ua", "ru"),
        ("en", "en"),
        ("de", "en"),
        ("la", "en"),
        ("", "en"),
    ],
)
def test_which_language_a_page_speaks(site: Flask, lang: str, language: str) -> None:
    with site.test_request_context(f"/?LANG={lang}"):
        assert i18n.current_language() == language


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+74951234567", "+7 495 123-45-67"),
        ("74951234567", "+7 495 123-45-67"),
        ("101", "101"),
        ("sip:a@b", "sip:a@b"),
        (None, ""),
    ],
)
def test_numbers_are_readable(number: str | None, shown: str) -> None:
    assert i18n.format_phone(number) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (65, "1:05"), (3723.9, "1:02:03"), (None, "")])
def test_durations(seconds: float | None, shown: str) -> None:
    assert i18n.format_duration(seconds) == shown


def test_faults_of_the_document_speak_the_language_of_the_page(site: Flask) -> None:
    with site.test_request_context("/?LANG=ru"):
        fault = Fault("too_long", {"max_length": 50, "value": "x"})
        assert fault_messages.describe_fault(fault) == "Не больше 50 символов."
        assert fault.message == "is longer than 50 characters, not 'x'"


def test_every_fault_of_the_document_has_both_sentences(site: Flask) -> None:
    """A code is made somewhere, has a sentence for the command line and one for pages, with parameters that it is made
    with.
    """
    files = [path for folder in ("domain", "settings") for path in (ROOT / "bx24app" / folder).rglob("*.py")]
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    used = set(re.findall(r'Fault\(\s*"(\w+)"', source)) | set(re.findall(r'_of_repeats\("(\w+)"', source))
    used |= {*errors.CODES.values(), "not_pbx_key", "not_time", "bad_value"}
    assert used == set(SENTENCES)
    assert set(fault_messages.SENTENCES) == set(SENTENCES)
    with site.test_request_context("/?LANG=ru"):
        for code, sentence in SENTENCES.items():
            names = set(re.findall(r"(?<!{){(\w+)", sentence))
            shown = fault_messages.describe_fault(Fault(code, dict.fromkeys(names, "x")))
            assert re.search("[а-я]", shown), code


PEOPLE = EmployeeMatcher(
    [
        Person(1, "Анна Смирнова", "anna@a.ru", "101", ("+7 916 000-00-01",)),
        Person(2, "Пётр Орлов", "", "", ("8 (916) 000 00 02",)),
        Person(3, "Иван Иванов", "", "103", ()),
        Person(4, "Иван Иванов", "", "103", ()),
    ]
)


@pytest.mark.parametrize(
    ("seat", "found"),
    [
        (PbxExtension("999", "Смирнова Анна", "ANNA@a.ru"), (1, "email", True)),
        (PbxExtension("999", "", "", ("sip:x@y", "79160000002")), (2, "mobile", True)),
        (PbxExtension("101"), (1, "extension", True)),
        (PbxExtension("999", "Орлов Петр"), (2, "name", False)),
        (PbxExtension("103", "Иван Иванов"), None),
        (PbxExtension("999", "Nobody", "", ("101",)), None),
        (PbxExtension("", "", ""), None),
    ],
)
def test_suggestions(seat: PbxExtension, found: tuple[int, str, bool] | None) -> None:
    suggestion = PEOPLE.suggest_user(seat)
    assert (suggestion and (suggestion.user_id, suggestion.reason, suggestion.is_certain)) == found


def test_every_translation_can_be_filled() -> None:
    """A lone per cent sign breaks a page only in one language, and only where the text is filled."""
    checked = 0
    for message in russian():
        source = message.id if isinstance(message.id, str) else message.id[-1]
        names = dict.fromkeys(re.findall(r"%\((\w+)\)", source), 5)
        if names:
            for words in [message.string] if isinstance(message.string, str) else message.string:
                assert words % names, message.id
                checked += 1
    assert checked > 100
