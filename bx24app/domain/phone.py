"""Decides what a text from outside is: a telephone, a short number, a SIP address, a name, or nothing.

Mango writes ``7XXXXXXXXXX`` without a plus; CRM users write ``8…``, ``+7…``, brackets, an extension, or two numbers in
one field; devices are ``sip:user@domain``. Every number that is compared, dialled or sent to Bitrix24 is read here. A
reading prefers a number that exists (`is_valid_number`) to one of a possible length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import phonenumbers

from bx24app.domain.bounds import MAX_PHONE_DIGITS

PLACEHOLDER = "00000000000"
"""PHONE_NUMBER of an anonymous caller: Bitrix24 wants digits there. It is never written to a CRM record."""
MAX_DIGITS = 15
"""Of a telephone by E.164. Mango's tracking numbers have 16; they are told to the portal and never dialled."""

_MAX_SHORT_DIGITS, _MAX_LOCAL_DIGITS = 6, 9
"""A number with at most so many digits is an extension, a group, a service (112) or a city number without its area
code. Mango dials it as it is written (D26, 3.2.1: `to_number`). Up to nine digits are a telephone only if it exists."""
_MAX_LENGTH = 512
"""Characters of a text that are looked at."""
_ANONYMOUS_NAMES = {"anonymous", "unknown", "private", "restricted", "unavailable"}
"""User parts of a hidden caller (RFC 3323)."""
_TELEPHONE = re.compile(r"\+?\s*[(\d][\d\s().\-/]*")
_EXTENSION = re.compile(
    r"[\s,;(]*(?:доб(?:авочный|ав)?|вн(?:утр(?:енний)?)?|ext(?:ension|n)?|x|#|,|;|p|w)[\s.:№=]*(\d{1,6})\s*\)?\s*$",
    re.IGNORECASE,
)
_SECOND_NUMBER = re.compile(r"\s*(?:[,;/|\n]|\bи\b|\bили\b|\bor\b|\band\b)\s*(?=[+(\d])", re.IGNORECASE)
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−\u2043"), "-")


class NumberKind(StrEnum):
    TELEPHONE = "telephone"
    SHORT = "short"
    SIP = "sip"
    NAME = "name"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Number:
    """What a text is."""

    kind: NumberKind
    text: str
    """E.164 of a telephone, digits of a short number, else the text without invisible marks; "" if hidden."""

    @property
    def sip_user(self) -> str:
        """The part of a SIP address before the host."""
        return self.text.partition(":")[2].partition("@")[0].partition(";")[0]


@lru_cache(maxsize=65536)
def read_number(raw: str | None, region: str = "RU") -> Number:
    """What `raw` is. Of several numbers the first counts; an extension behind a telephone is left out.

    >>> read_number("8 (495) 222-33-44 доб. 101").text
    '+74952223344'
    >>> read_number("0611").kind
    <NumberKind.SHORT: 'short'>
    """
    text = _clean((raw or "")[:_MAX_LENGTH])
    scheme, separator, rest = text.partition(":")
    scheme = scheme.lower() if separator else ""
    if scheme in ("sip", "sips"):
        return _read_sip(text, region)
    if scheme == "tel":
        text = rest.partition(";")[0]
    if not text or text.lower() in _ANONYMOUS_NAMES:
        return Number(NumberKind.HIDDEN, "")
    digits = re.sub(r"\D", "", text)
    if digits and not digits.strip("0"):
        return Number(NumberKind.HIDDEN, "")
    number = _read_digits(_first_number(text), region)
    if number is None or len(number.text) > MAX_PHONE_DIGITS + 1:
        return Number(NumberKind.NAME, text)
    return number


def normalise(raw: str | None, region: str = "RU") -> str | None:
    """The E.164 form of `raw`; None: it is no telephone (anonymous, a ``sip:`` address, a short number, a name).

    >>> normalise("8 (916) 000-00-01")
    '+79160000001'
    """
    number = read_number(raw, region)
    return number.text if number.kind is NumberKind.TELEPHONE else None


def number_to_tell(raw: str | None) -> str | None:
    """The number as the portal gets it: E.164, or a short number as it is; None: the caller is hidden.

    >>> number_to_tell("900")
    '900'
    """
    number = read_number(raw)
    return number.text if number.kind in (NumberKind.TELEPHONE, NumberKind.SHORT) else None


def number_to_dial(raw: str | None) -> str | None:
    """As `number_to_tell`; None also for more digits than any network dials."""
    number = number_to_tell(raw)
    return number if number is None or len(number.lstrip("+")) <= MAX_DIGITS else None


def is_inner_number(number: str) -> bool:
    """May this be an extension or a service number (112)? Nobody outside may have it dialled."""
    return len(digits_only(number)) <= _MAX_SHORT_DIGITS


def line_key(raw: str | None) -> str:
    """A line for comparisons: E.164 if all of the text is a telephone, else the exact text. "" if there is none.

    >>> line_key("8 (495) 000-11-22") == line_key("74950001122")
    True
    >>> line_key("Линия 2") == line_key("Офис 2")
    False
    """
    text = _clean(raw or "")
    return (normalise(text) if _TELEPHONE.fullmatch(text) else None) or text


def digits_only(raw: str | None) -> str:
    """Only the digits: for a search by a part of a number."""
    return re.sub(r"\D", "", raw or "")


def is_same_number(left: str | None, right: str | None) -> bool:
    """Are both the same telephone?"""
    number = normalise(left)
    return number is not None and number == normalise(right)


def mask_number(raw: str | None) -> str:
    """The number for logs, with its middle hidden: ``+7916***0001``."""
    if not raw:
        return "-"
    return raw[:5] + "***" + raw[-4:] if len(raw) > 9 else "***"


def _clean(raw: str) -> str:
    """Without invisible marks (direction, zero width); full-width digits, dashes and spaces in their plain forms."""
    plain = unicodedata.normalize("NFKC", raw).translate(_DASHES)
    return "".join(sign for sign in plain if unicodedata.category(sign) not in ("Cf", "Cc") or sign == "\n").strip()


def _read_sip(text: str, region: str) -> Number:
    sip = Number(NumberKind.SIP, text)
    user = sip.sip_user
    if user.lower() in _ANONYMOUS_NAMES:
        return Number(NumberKind.HIDDEN, "")
    if re.fullmatch(r"\+?\d{10,15}", user):
        return _read_digits(user, region) or sip
    return sip


def _first_number(text: str) -> str:
    """The text without an extension and without a second number."""
    first = _SECOND_NUMBER.split(text)[0]
    if len(re.sub(r"\D", "", first)) > _MAX_SHORT_DIGITS:
        text = first
    extension = _EXTENSION.search(text)
    if extension and len(re.sub(r"\D", "", text[: extension.start()])) > _MAX_SHORT_DIGITS:
        text = text[: extension.start()]
    return text


def _read_digits(text: str, region: str) -> Number | None:
    """None: the text has no digits that may be a number."""
    digits = re.sub(r"\D", "", text)
    has_letters = any(sign.isalpha() for sign in text)
    if not digits or not digits.isascii():
        return None
    has_plus = bool(re.match(r"\W*\+", text))
    digits = digits.lstrip("0") if has_plus else digits
    if len(digits.lstrip("0")) <= _MAX_SHORT_DIGITS:
        return None if has_letters else Number(NumberKind.SHORT, digits)
    candidates = [*dict.fromkeys(_candidates(digits, has_plus, region))]
    for candidate in candidates:
        parsed = _parse(candidate)
        if parsed is not None and phonenumbers.is_valid_number(parsed):
            return Number(
                NumberKind.TELEPHONE, phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
            )
    if len(digits) <= _MAX_LOCAL_DIGITS and not has_plus:
        return None if has_letters else Number(NumberKind.SHORT, digits)
    possible = (text for text in candidates if (number := _parse(text)) and phonenumbers.is_possible_number(number))
    # A number that no plan knows stays as it is, since no call may be dropped for it.
    return Number(NumberKind.TELEPHONE, next(possible, candidates[0]))


def _parse(candidate: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(candidate, None)
    except phonenumbers.NumberParseException:
        return None


def _candidates(digits: str, has_plus: bool, region: str) -> Iterator[str]:
    """The readings of the digits, the likeliest first."""
    bare = digits.lstrip("0")
    has_plus = has_plus or digits.startswith("00")
    if has_plus:
        yield "+" + bare
    if region == "RU":
        if bare.startswith("810") and len(bare) > 11:  # 8, then 10: the exit code of Russia
            yield "+" + bare[3:].lstrip("0")
        if len(bare) == 11 and bare.startswith("8"):
            yield "+7" + bare[1:]
            if bare.startswith("80"):  # Belarus dials 8, then 0 before the area code
                yield "+375" + bare[2:]
        if len(bare) == 10 and not has_plus:
            yield "+7" + bare
    yield "+" + bare
