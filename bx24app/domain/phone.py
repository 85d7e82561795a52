"""Telephone numbers in one normal form: E.164 with ``+``.

Mango writes ``7XXXXXXXXXX`` without a plus; CRM users write ``8…``, ``+7…`` or with brackets; legs between devices
carry ``sip:user@domain``. Every number that is compared or sent to Bitrix24 is normalised here.
"""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

PLACEHOLDER = "00000000000"
"""PHONE_NUMBER of an anonymous caller: Bitrix24 wants digits there. It is never written to a CRM record."""

_MAX_INNER_DIGITS = 6
"""A number with at most this many digits is an extension or group of the PBX, not a telephone."""


@lru_cache(maxsize=65536)
def normalise(raw: str | None, region: str = "RU") -> str | None:
    """The E.164 form of `raw`; None: it is no telephone (anonymous, a ``sip:`` address, an extension).

    >>> normalise("8 (916) 000-00-01")
    '+79160000001'
    """
    if not raw:
        return None
    text = raw.strip()
    if text.lower().startswith("sip:"):
        text = text[4:].partition("@")[0]
        if not re.fullmatch(r"\+?\d{10,15}", text):
            return None
    digits = re.sub(r"\D", "", text)
    if len(digits) <= _MAX_INNER_DIGITS or not digits.strip("0"):
        return None
    return _to_e164(text, digits, region)


def _to_e164(text: str, digits: str, region: str) -> str:
    if text.startswith("+") or (digits.startswith("00") and len(digits) > 11):
        candidates = ["+" + digits.removeprefix("00")]
    elif len(digits) == 10 and region == "RU":
        candidates = ["+7" + digits]
    elif len(digits) == 11 and digits.startswith("8") and region == "RU":
        candidates = ["+7" + digits[1:], "+" + digits]
    else:
        candidates = ["+" + digits]
    for candidate in candidates:
        try:
            parsed = phonenumbers.parse(candidate, None)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(parsed):
            return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    # Longer than any numbering plan allows (tracking numbers of Mango have 16 digits): it stays, since no call may be
    # dropped for it.
    return candidates[0]


def digits_only(raw: str | None) -> str:
    """Only the digits, for comparing lines: a PBX may name them with or without a plus."""
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
