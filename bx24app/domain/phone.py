"""One normal form of a number: E.164 with ``+``.

Mango writes ``7XXXXXXXXXX`` without a plus; CRM users write ``8…``, ``+7…`` or with brackets; legs between devices carry
``sip:user@domain``. Everything that is compared or sent to Bitrix24 passes through here.
"""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

PLACEHOLDER = "00000000000"
"""Sent as PHONE_NUMBER for an anonymous caller; never written to a CRM record (Bitrix24 refuses a number without digits)."""

_MAX_INNER_DIGITS = 6
"""Up to so many digits a number is an inner one of the PBX (extension, group), not a telephone in the world."""


@lru_cache(maxsize=65536)
def normalise(raw: str | None, region: str = "RU") -> str | None:
    """The E.164 form of `raw`, or None where it names no telephone (anonymous, ``sip:`` address, inner number).

    >>> normal("8 (916) 000-00-01")
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
    # Longer than any plan allows (tracking numbers of Mango have 16 digits): kept as it is, a call is never dropped for it.
    return candidates[0]


def digits_only(raw: str | None) -> str:
    """Only the digits: for comparing lines, which a PBX may name with or without plus."""
    return re.sub(r"\D", "", raw or "")


def is_same_number(left: str | None, right: str | None) -> bool:
    """Do both name the same telephone?"""
    one, two = normalise(left), normalise(right)
    return one is not None and one == two


def mask_number(raw: str | None) -> str:
    """For logs: the middle hidden, ``+7916***0001``."""
    if not raw:
        return "-"
    return raw[:5] + "***" + raw[-4:] if len(raw) > 9 else "***"
