"""Codes of Mango: words with fallback, outcomes for Bitrix24, reactions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bx24app.mango import codes
from bx24app.mango.code_table import CODES


@pytest.mark.parametrize(
    ("code", "nearest"),
    [(1121, 1121), (2219, 2210), (1090, 1000), (1199, 1190), (3137, 3100), (4391, 4390), (5114, 5100), (7777, None)],
)
def test_an_unknown_code_has_the_words_of_its_subclass_then_class(code: int, nearest: int | None) -> None:
    assert codes.nearest_code(code) == nearest
    if nearest is not None:
        assert codes.describe_code(code) == CODES[nearest][0]
        assert codes.describe_code(code, "en") == CODES[nearest][1]


def test_last_resorts() -> None:
    assert codes.describe_code(1999) == "звонок завершён"  # and not 1000, "success"
    assert codes.describe_code(9999) == "код 9999"
    assert codes.describe_code(-5, "en") == "code -5"


def test_both_languages_are_there() -> None:
    for russian, english in CODES.values():
        assert any("а" <= char <= "я" for char in russian)
        assert russian[-1] != "." != english[-1]
        assert english.isascii()


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (1110, "603-S"),
        (1111, "304"),
        (1121, "486"),
        (1122, "603"),
        (1123, "603"),
        (1124, "603"),
        (1131, "480"),
        (1132, "404"),
        (1133, "404"),
        (1164, "304"),
        (2000, "402"),
        (2240, "402"),
        (2999, "402"),
        (3000, "304"),
        (0, "304"),
    ],
)
def test_status_of_an_unanswered_outgoing_call(code: int, status: str) -> None:
    assert codes.sip_status(code) == status


@pytest.mark.parametrize(
    ("code", "reaction"),
    [
        (1000, "ok"),
        (1001, "ok"),
        (3102, "wrong_signature"),
        (3105, "wrong_key"),
        (3320, "missing"),
        (4290, "later"),
        (5001, "later"),
        (5008, "later"),
        (5011, "later"),
        (5201, "not_permitted"),
        (2240, "no_money"),
        (3100, "refused"),
        (4001, "refused"),
    ],
)
def test_reaction(code: int, reaction: str) -> None:
    assert codes.reaction_to(code) == reaction


@given(st.integers())
def test_every_code_has_words_and_a_status(code: int) -> None:
    assert codes.describe_code(code)
    assert codes.describe_code(code, "en")
    assert codes.sip_status(code) in {"304", "402", "404", "480", "486", "603", "603-S"}


ANSWERS: dict[codes.Reaction, list[int]] = {
    "ok": [1000, 1001],
    "wrong_signature": [3102],
    "wrong_key": [3105],
    "missing": [3320, 3340],
    "not_permitted": [5009, 5201],
    "later": [4290, 4501, 5000, 5001, 5002, 5003, 5004, 5008, 5011],
    "no_money": [
        2000,
        2100,
        2110,
        2120,
        2130,
        2140,
        2200,
        2210,
        2211,
        2212,
        2220,
        2230,
        2240,
        2250,
        2251,
        2252,
        2253,
        2300,
        2400,
        5010,
    ],
    "refused": [
        *(
            1100,
            1110,
            1111,
            1120,
            1121,
            1122,
            1123,
            1124,
            1125,
            1130,
            1131,
            1132,
            1133,
            1134,
            1135,
            1140,
            1150,
            1151,
            1152,
        ),
        *(1160, 1161, 1162, 1163, 1164, 1170, 1171, 1180, 1181, 1182, 1183, 1190, 1191, 1192, 1193, 1200),
        *(1210, 1230, 1300, 1310, 1311, 1312, 1313, 1314),
        *(3000, 3100, 3101, 3103, 3104, 3111, 3200, 3300, 3310, 3330, 3400, 3503),
        *(4000, 4001, 4002, 4100, 4101, 4102, 4104, 4200, 4300, 4301, 4390, 4400, 4500, 4502, 4503, 4504),
        *(5100, 5200, 5300, 6000),
    ],
}
"""What each code of the published table asks for as an answer of the REST API. A reason of disconnection is none: the
request is dead.
"""


@pytest.mark.parametrize(
    ("reaction", "code"), [(one, code) for one, all_of_it in ANSWERS.items() for code in all_of_it]
)
def test_every_code_of_the_table_has_one_reaction(reaction: str, code: int) -> None:
    assert codes.reaction_to(code) == reaction
    assert codes.nearest_code(code) == code


@pytest.mark.parametrize(
    ("code", "reaction"), [(3106, "refused"), (3137, "refused"), (2219, "no_money"), (4391, "refused")]
)
def test_a_code_between_the_rows_reacts_as_its_class(code: int, reaction: str) -> None:
    assert codes.reaction_to(code) == reaction


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1201, "an error of a contact centre session"),
        (1236, "the contact centre session was ended from outside"),
        (1300, "the call ended normally"),
        (1310, "an answering machine picked up"),
        (1319, "an answering machine picked up"),
        (2251, "the plan allows no more voice menus"),
        (2253, "the space for screen recordings is used up"),
        (3503, "the search request is too large"),
        (4504, "the size of the file could not be determined"),
        (5009, "the service of Mango Office cannot be added"),
        (5010, "not enough money to add the service"),
    ],
)
def test_words_are_those_of_mangos_list(code: int, words: str) -> None:
    """D26, the list of result codes."""
    assert codes.describe_code(code, "en") == words
