"""What a code of Mango means: in words, as an outcome for Bitrix24, and as a reaction to an answer of the REST API."""

from __future__ import annotations

from typing import Final, Literal

from bx24app.mango.code_table import CODE_CLASSES, CODES

SUCCESS: Final = 1000
RECORDING_TOO_SHORT: Final = 4002
"""A recording that was not stored because the talk was too short."""

Reaction = Literal["ok", "later", "wrong_key", "wrong_signature", "not_permitted", "no_money", "missing", "refused"]

_SIP_STATUSES: Final = {
    1110: "603-S",
    1121: "486",
    1122: "603",
    1123: "603",
    1124: "603",
    1131: "480",
    1132: "404",
    1133: "404",
}
_REACTIONS: Final[dict[int, Reaction]] = {
    1000: "ok",
    1001: "ok",
    3102: "wrong_signature",
    3105: "wrong_key",
    3320: "missing",
    3340: "missing",
    4290: "later",
    4501: "later",
    5009: "not_permitted",
    5010: "no_money",
    5201: "not_permitted",
}


def nearest_code(code: int) -> int | None:
    """The nearest code with a text: the code itself, its subclass (2219 -> 2210), its class (1090 -> 1000); None: none
    of them."""
    for unit in (1, 10, 100):
        nearest = code - code % unit
        if nearest in CODES:
            return nearest
    return None


def describe_code(code: int, lang: str = "ru") -> str:
    """The meaning in a few words, without a capital and without a full stop. `lang` is ``ru`` or ``en``."""
    nearest = nearest_code(code)
    pair = CODES[nearest] if nearest is not None else CODE_CLASSES.get(code // 1000)
    if pair is None:
        return f"код {code}" if lang == "ru" else f"code {code}"
    return pair[0] if lang == "ru" else pair[1]


def sip_status(code: int) -> str:
    """STATUS_CODE of an *unanswered* outgoing call or callback (contract, section 7). An incoming call always has
    304."""
    if 2000 <= code < 3000:
        return "402"
    return _SIP_STATUSES.get(code, "304")


def reaction_to(code: int) -> Reaction:
    """How to react to an answer of the REST API. `refused`: this request must not be repeated, it would fail again."""
    if code in _REACTIONS:
        return _REACTIONS[code]
    if 2000 <= code < 3000:
        return "no_money"
    if 5000 <= code < 5100:
        return "later"  # overload, restart, maintenance: temporary
    return "refused"
