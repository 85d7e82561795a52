"""The dialects of a PBX in the words of its pages: one row for each. A dialect without a row is shown by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext

from bx24app.domain.dialects import DIALECT_TRAITS


@dataclass(frozen=True, slots=True)
class DialectText:
    """`label` on the page of the PBX; `choice` and `hint` in its form."""

    label: Any
    choice: Any
    hint: Any = ""


_TEXTS = {
    "vpbx": DialectText(
        lazy_gettext("Signed by Mango Office"),
        lazy_gettext("Signed notifications of Mango Office"),
        lazy_gettext("What the API connector of your account sends."),
    ),
    "events": DialectText(
        lazy_gettext("Short events, unsigned"),
        lazy_gettext("Short events without a signature"),
        lazy_gettext("Only if your own script sends them: anyone who knows the address can then report calls."),
    ),
}


def text_of(name: str) -> DialectText:
    """The words for this dialect."""
    return _TEXTS.get(name) or DialectText(name, name)


def all_texts() -> dict[str, DialectText]:
    """Every dialect that a PBX may be set to, with its words."""
    return {name: text_of(name) for name in DIALECT_TRAITS}
