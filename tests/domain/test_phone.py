"""What a text is: telephone, short number, SIP address, name, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bx24app.domain import phone
from bx24app.domain.phone import NumberKind

TABLE = Path(__file__).with_name("telephones.txt")


def _read_table() -> list[tuple[str, str]]:
    rows = [line.split(" | ") for line in TABLE.read_text(encoding="utf-8").splitlines() if " | +" in line]
    return [(text.replace("\\u202a", "\u202a").replace("\\u202c", "\u202c").replace("\\u00a0", "\u00a0"), number)
            for _, text, number in rows]  # fmt: skip


@pytest.mark.parametrize(("text", "number"), _read_table())
def test_numbers_of_many_countries(text: str, number: str) -> None:
    assert phone.normalise(text) == number


def test_the_table_is_large() -> None:
    assert len(_read_table()) >= 300
    assert len({line.split(" | ")[0] for line in TABLE.read_text(encoding="utf-8").splitlines() if " | +" in line}) > 40


RUSSIAN = [
    "79160000001", "89160000001", "+79160000001", "+7 916 000-00-01", "8 (916) 000 00 01", "9160000001",
    "+8 916 000-00-01", "81079160000001", "0079160000001", "007 916 000 00 01", "8‑916‑000‑00‑01",
    "８ ９１６ ０００ ００ ０１", "\u200b+7\u00a0916\u00a0000\u00a000\u00a001\u200e", "tel:+79160000001",
    "tel:+79160000001;ext=5", "sip:79160000001@mangosip.ru", "sip:+79160000001@mangosip.ru;user=phone",
    "+7 916 000-00-01 доб. 101", "+7 916 000-00-01, доб.101", "+7 916 000-00-01 (доб. 101)", "79160000001 вн 101",
    "79160000001 ext. 101", "79160000001x101", "79160000001#101", "79160000001,101", "79160000001;101",
    "79160000001,,101", "79160000001w101", "8 916 000-00-01 добавочный 5",
    "8 916 000-00-01, 8 926 444-55-66", "79160000001; 79264445566", "8 916 000-00-01 / 8 926 444-55-66",
    "8 916 000-00-01 или 8 926 444-55-66", "8 916 000-00-01\n8 926 444-55-66", "8 916 000-00-01 и 8 926 444-55-66",
    "8(916)0000001 (Иван)", "моб. 8 916 000-00-01",
]  # fmt: skip


@pytest.mark.parametrize("text", RUSSIAN)
def test_a_russian_number_in_any_spelling(text: str) -> None:
    assert phone.normalise(text) == "+79160000001"
    assert phone.number_to_dial(text) == "+79160000001"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("81079165000074", "+79165000074"),
        ("810493012345678", "+493012345678"),
        ("8 10 49 30 12345678", "+493012345678"),
        ("3726123456", "+3726123456"),
        ("4533123456", "+4533123456"),
        ("6591234567", "+6591234567"),
        ("80291234567", "+375291234567"),
        ("84912345678", "+74912345678"),  # Ryazan and Vietnam cannot be told apart
        ("+84912345678", "+84912345678"),
        ("+0000877578564", "+877578564"),
        ("7007374952233501", "+7007374952233501"),  # a tracking number of Mango: no plan has 16 digits
        ("+44 (0)20 7946 0958", "+442079460958"),
    ],
)
def test_a_number_that_exists_comes_first(text: str, number: str) -> None:
    assert phone.normalise(text) == number


@pytest.mark.parametrize("text", ["900", "0611", "112", "102", "374747", "2233344", "22-33-44"])
def test_a_short_number_is_told_and_dialled_as_it_is(text: str) -> None:
    assert phone.read_number(text).kind is NumberKind.SHORT
    digits = phone.digits_only(text)
    assert (phone.number_to_tell(text), phone.number_to_dial(text), phone.normalise(text)) == (digits, digits, None)


@pytest.mark.parametrize("text", [None, "", " ", "\u200b", "anonymous", "Anonymous", "00000000000",
                                  "sip:anonymous@anonymous.invalid", "unknown"])  # fmt: skip
def test_hidden_is_only_where_nothing_was_sent(text: str | None) -> None:
    assert phone.read_number(text).kind is NumberKind.HIDDEN
    assert phone.number_to_tell(text) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("sip:user101@vpbx400000001.mangosip.ru", NumberKind.SIP),
        ("SIP:roistat-1@vpbx400000001.mangosip.ru", NumberKind.SIP),
        ("Линия 2", NumberKind.NAME),
        ("roistat", NumberKind.NAME),
    ],
)
def test_what_is_no_number_is_never_dialled(text: str, kind: NumberKind) -> None:
    assert phone.read_number(text).kind is kind
    assert phone.normalise(text) is phone.number_to_dial(text) is None


def test_more_digits_than_any_network_dials_are_refused() -> None:
    assert phone.number_to_dial("7007374952233501") is None
    assert phone.number_to_tell("7007374952233501") == "+7007374952233501"


SAME_LINE = ["8 (495) 000-11-22", "74950001122", "+74950001122", "84950001122", "+7 495 000-11-22"]


def test_a_line_is_compared_as_a_telephone() -> None:
    assert {phone.line_key(text) for text in SAME_LINE} == {"+74950001122"}


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("sip:roistat@vpbx400000001.mangosip.ru", "sip:office@vpbx400000001.mangosip.ru"),
        ("Линия 2", "Офис 2"),
        ("Линия 2", "2"),
        ("Офис 74950001122", "74950001122"),
    ],
)
def test_lines_with_the_same_digits_are_two(left: str, right: str) -> None:
    assert phone.line_key(left) != phone.line_key(right)


@given(st.text(max_size=60))
def test_any_text_is_a_number_or_none(raw: str) -> None:
    found = phone.normalise(raw)
    assert found is None or (found.startswith("+") and found[1:].isascii() and found[1:].isdigit())
    dialled = phone.number_to_dial(raw)
    assert dialled is None or len(dialled.lstrip("+")) <= phone.MAX_DIGITS


@given(st.from_regex(r"\+?[0-9 ()\-]{1,20}", fullmatch=True))
def test_a_normal_form_stays_as_it_is(raw: str) -> None:
    for found in (phone.normalise(raw), phone.number_to_tell(raw)):
        assert found is None or phone.number_to_tell(found) == found


def test_masked_for_logs() -> None:
    assert phone.mask_number("+79160000001") == "+7916***0001"
    assert phone.mask_number("101") == "***"
    assert phone.mask_number(None) == "-"
