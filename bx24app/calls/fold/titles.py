"""Texts that the program writes into a portal's CRM: titles of leads and to-dos, notices about clicks, reasons of a
PBX.

The fold and the dry run pass them to the pure domain as `Policy.texts`, so the domain holds no language of its own.
"""

from __future__ import annotations

from functools import lru_cache

from bx24app.domain.calls.policy import CallTexts
from bx24app.domain.languages import choose_language
from bx24app.mango import codes

_TITLES = {
    "ru": {
        "in": "{number} — входящий звонок",
        "out": "{number} — исходящий звонок",
        "todo": "Перезвонить {number}",
        "click": "Не удалось дозвониться до {number}",
        "callback": "Обратный звонок на {number}, заказанный в форме, не состоялся. Перезвоните клиенту",
    },
    "en": {
        "in": "{number} – incoming call",
        "out": "{number} – outgoing call",
        "todo": "Call back {number}",
        "click": "No connection with {number}",
        "callback": "The callback to {number} that a form asked for reached nobody. Call the client back",
    },
}


@lru_cache(maxsize=32)
def titles_for(lang: str) -> CallTexts:
    """The texts for a portal whose LANG is `lang`."""
    language = choose_language(lang)
    titles = _TITLES[language]
    return CallTexts(
        describe_reason=lambda code: codes.describe_code(code, language),
        failed_status=codes.sip_status,
        make_title=lambda what, number: titles[what].format(number=number),
    )
