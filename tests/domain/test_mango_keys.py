"""What is said of a typed API key and salt before Mango Office is asked."""

from __future__ import annotations

import pytest

from bx24app.domain.mango_keys import clean_key, find_key_faults, has_unusual_length

KEY, SALT = "k1" * 16, "s2" * 16
STORED = [("a" * 32, "b" * 32), (KEY, SALT)]


@pytest.mark.parametrize(
    "typed",
    [
        "ab1c2", " ab1c2\r\n", '"ab1c2"', "«ab1c2»", "ab1 c2", "ab1-c2", "ab\u200b1c2\ufeff", "ab1\u00a0c2.",
        "ａｂ１ｃ２",
    ],
)
def test_letters_and_digits_are_kept_in_their_plain_form(typed: str) -> None:
    assert clean_key(typed) == "ab1c2"


@pytest.mark.parametrize(
    ("key", "salt", "found"),
    [
        (KEY, SALT, []),
        ("ключ" * 8, SALT, [("api_key", "not_latin")]),
        (KEY, "с" + SALT[1:], [("api_salt", "not_latin")]),  # one Cyrillic letter that looks Latin
        ("400012345", SALT, [("api_key", "only_digits")]),
        (KEY, "1" * 32, [("api_salt", "only_digits")]),
        (KEY, KEY, [("api_salt", "same_text")]),
    ],
)
def test_what_cannot_be_right_is_found(key: str, salt: str, found: list[tuple[str, str]]) -> None:
    assert [(fault.field, fault.code) for fault in find_key_faults(key, salt, [])] == found


@pytest.mark.parametrize(
    ("key", "salt", "found"),
    [
        (KEY, SALT, []),
        (SALT, KEY, [("api_key", "swapped")]),
        (SALT, "x" * 32, [("api_key", "swapped")]),
        ("x" * 32, KEY, [("api_salt", "swapped")]),
    ],
)
def test_a_stored_pair_shows_a_swap(key: str, salt: str, found: list[tuple[str, str]]) -> None:
    assert [(fault.field, fault.code) for fault in find_key_faults(key, salt, STORED)] == found


@pytest.mark.parametrize(("length", "is_unusual"), [(26, True), (27, False), (31, True), (32, False), (64, True)])
def test_a_length_that_no_key_was_seen_with_is_odd(length: int, is_unusual: bool) -> None:
    assert has_unusual_length("k" * length) is is_unusual
