"""Sentences that go to people through Bitrix24 (notices, reasons), in the portal's language. Pages have Flask-Babel instead."""

from __future__ import annotations

_SENTENCES = {
    "click_bad_number": (
        "Номер {number} нельзя набрать",
        "The number {number} cannot be dialled",
    ),
    "click_no_extension": (
        "Звонок не начат: у вас нет внутреннего номера Mango Office. Попросите администратора портала указать его в приложении",
        "The call was not started: you have no Mango Office extension. Ask the portal's administrator to enter it in the app",
    ),
    "click_no_key": (
        "Звонок не начат: для АТС {pbx} не указаны ключ и подпись API",
        "The call was not started: the PBX {pbx} has no API key and salt",
    ),
    "click_refused": (
        "Не удалось позвонить на {number}: {why}",
        "The call to {number} did not succeed: {why}",
    ),
    "click_silent": (
        "Не удалось позвонить на {number}: АТС не ответила",
        "The call to {number} did not succeed: the PBX did not answer",
    ),
    "callback_nobody": (
        "Обратный звонок не заказан: у линии {line} некому ответить",
        "The callback was not ordered: nobody answers for the line {line}",
    ),
}


def say(lang: str, key: str, **values: str) -> str:
    """The sentence `key` in Russian (`lang` ru and empty) or English."""
    russian, english = _SENTENCES[key]
    return (russian if lang in ("ru", "", "by", "kz") else english).format(**values)
