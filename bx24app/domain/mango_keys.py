"""What can be said of a typed API key and salt without asking Mango, where two wrong requests lock our address out.

Both are Latin letters and digits: 32 in Mango's older manual and on live accounts, 27 in the example of the present one
(D26, 2.4.1). Nothing tells a key from a salt by its looks. Only what is certain is refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

USUAL_LENGTHS = (27, 32)
"""Lengths that Mango's documents and live accounts show."""

KeyField = Literal["api_key", "api_salt"]


@dataclass(frozen=True, slots=True)
class KeyFinding:
    """One thing that is wrong with a field for certain."""

    field: KeyField
    code: Literal["not_latin", "only_digits", "same_text", "swapped"]


def clean_key(text: str) -> str:
    """Without everything that is no letter or digit: spaces, line ends, quotes, invisible marks.

    >>> clean_key(' "ab\\u200bc1" ')
    'abc1'
    """
    return "".join(sign for sign in unicodedata.normalize("NFKC", text) if sign.isalnum())


def find_key_faults(api_key: str, api_salt: str, stored: Iterable[tuple[str, str]]) -> Iterator[KeyFinding]:
    """Faults of a cleaned key and salt. `stored`: the pairs (key, salt) of the portal's PBXs, which show a swap."""
    values: list[tuple[KeyField, str]] = [("api_key", api_key), ("api_salt", api_salt)]
    for field, value in values:
        if not value.isascii():
            yield KeyFinding(field, "not_latin")
        elif value.isdigit():
            yield KeyFinding(field, "only_digits")
    if api_key and api_key == api_salt:
        yield KeyFinding("api_salt", "same_text")
    for known_key, known_salt in stored:
        if api_key == known_salt:
            yield KeyFinding("api_key", "swapped")
        elif api_salt == known_key:
            yield KeyFinding("api_salt", "swapped")


def has_unusual_length(value: str) -> bool:
    """A length that no key was seen with: probably a part of it was copied."""
    return len(value) not in USUAL_LENGTHS
