"""Sentences that go to people through Bitrix24 (notices, reasons), in the portal's language. Pages have Flask-Babel instead."""

from __future__ import annotations

_MESSAGES = {
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
    "click_running": (
        "Второй раз не набираем: звонок на {number} уже идёт",
        "Not dialled a second time: the call to {number} is still going on",
    ),
    "callback_nobody": (
        "Обратный звонок на {number} не заказан: у линии {line} некому ответить",
        "The callback to {number} was not ordered: nobody answers for the line {line}",
    ),
    "callback_bad_number": (
        "Обратный звонок не заказан: номер {number} нельзя набрать",
        "The callback was not ordered: the number {number} cannot be dialled",
    ),
    "callback_no_key": (
        "Обратный звонок на {number} не заказан: для АТС {pbx} не указаны ключ и подпись API",
        "The callback to {number} was not ordered: the PBX {pbx} has no API key and salt",
    ),
    "callback_refused": (
        "Обратный звонок на {number} не заказан: {why}. Перезвоните клиенту",
        "The callback to {number} was not ordered: {why}. Call the client back",
    ),
    "callback_silent": (
        "Обратный звонок на {number} не состоялся: АТС не ответила. Перезвоните клиенту",
        "The callback to {number} did not take place: the PBX did not answer. Call the client back",
    ),
    "mango_away": (
        "Mango Office сейчас не принимает команды",
        "Mango Office takes no commands at the moment",
    ),
    "mango_refuses_address": (
        "Mango Office не принимает запросы с адреса приложения",
        "Mango Office does not take requests from the app's address",
    ),
    "mango_too_late": (
        "приложение получило команду слишком поздно",
        "the app came to it too late",
    ),
    "dismissed": (
        "{name}: сотрудник уволен, но указан в настройках Mango Office ({places}). Его звонки получает ответственный по умолчанию. "
        "Откройте приложение и назовите другого сотрудника",
        "{name} was dismissed, but the settings of Mango Office name them ({places}). Their calls go to whoever answers for the rest. "
        "Open the app and name somebody else",
    ),
    "dismissed_over": (
        "{name}: настройки Mango Office больше не указывают на уволенного сотрудника",
        "{name}: the settings of Mango Office name no dismissed employee here any more",
    ),
    "silent": (
        "АТС {pbx} молчит в рабочее время: последнее уведомление Mango Office пришло {at}. Проверьте API-коннектор в личном кабинете Mango Office",
        "The PBX {pbx} is silent in working hours: the last notification of Mango Office came {at}. Check the API connector in its account",
    ),
    "silent_over": ("АТС {pbx} снова на связи: уведомления приходят", "The PBX {pbx} is heard again: notifications arrive"),
    "authorisation": (
        "Mango Office: звонки ждут, Битрикс24 не пускает приложение. {why}",
        "Mango Office: calls are waiting, Bitrix24 does not let the application in. {why}",
    ),
    "authorisation_over": (
        "Mango Office: доступ к Битрикс24 восстановлен; звонки, ждавшие с {since}, доставляются",
        "Mango Office: the access to Bitrix24 is back; calls that have waited since {since} are being delivered",
    ),
    "recordings_lost": (
        "АТС {pbx}: записи разговоров не удалось получить ({count}). Их можно запросить ещё раз на странице «Звонки» приложения",
        "PBX {pbx}: recordings of talks could not be fetched ({count}). They can be asked for once more on the page “Calls” of the app",
    ),
    "recordings_lost_over": (
        "АТС {pbx}: записи разговоров снова приходят все",
        "PBX {pbx}: all recordings of talks arrive again",
    ),
    "unmapped": (
        "АТС {pbx}: внутреннему номеру {extension} не назначен сотрудник, его звонки получает ответственный по умолчанию",
        "PBX {pbx}: nobody is matched with the extension {extension}; its calls go to whoever answers for the rest",
    ),
    "unmapped_over": (
        "АТС {pbx}: внутреннему номеру {extension} назначен сотрудник",
        "PBX {pbx}: the extension {extension} is settled",
    ),
    "unmapped_many": (
        "АТС {pbx}: внутренним номерам ({count}: {some} …) не назначены сотрудники, их звонки получает ответственный по умолчанию",
        "PBX {pbx}: nobody is matched with {count} extensions ({some} …); their calls go to whoever answers for the rest",
    ),
    "unmapped_many_over": (
        "АТС {pbx}: почти всем внутренним номерам назначены сотрудники",
        "PBX {pbx}: nearly all extensions are matched now",
    ),
    "portal_away": (
        "Mango Office: Битрикс24 не отвечает с {since}; звонки ждут",
        "Mango Office: Bitrix24 has not answered since {since}; calls are waiting",
    ),
    "portal_away_over": (
        "Mango Office: Битрикс24 не отвечал приложению с {since}; теперь отвечает, ждавшие звонки доставляются",
        "Mango Office: Bitrix24 had not answered the application since {since}; it does now, and the calls that waited are being delivered",
    ),
    "pbx_away": (
        "АТС {pbx}: Mango Office не отвечает на запросы приложения. Записи разговоров ждут, потерянные звонки не ищутся",
        "PBX {pbx}: Mango Office does not answer the application. Recordings wait, lost calls are not looked for",
    ),
    "pbx_away_over": ("АТС {pbx}: Mango Office снова отвечает", "PBX {pbx}: Mango Office answers again"),
    "dead": (
        "Mango Office: Битрикс24 отказался принять часть звонков ({count}). Причины и повтор – в приложении, страница «Звонки»",
        "Mango Office: Bitrix24 refused a part of calls ({count}). The reasons and another try are in the app, page “Calls”",
    ),
    "dead_over": ("Mango Office: отказов Битрикс24 больше нет", "Mango Office: nothing that Bitrix24 refused is left"),
    "disk": (
        "Mango Office: {why} Звонки и карточки работают, записи ({count}) ждут",
        "Mango Office: {why} Calls and cards go on, recordings ({count}) wait",
    ),
    "disk_over": (
        "Mango Office: место на диске есть, записи разговоров снова сохраняются",
        "Mango Office: there is space on the disk, recordings are stored again",
    ),
    "place_portal": ("звонки без ответственного", "calls that are nobody's"),
    "place_pbx": ("АТС {pbx}", "PBX {pbx}"),
    "place_line": ("{pbx}, линия {what}", "{pbx}, line {what}"),
    "place_employee": ("{pbx}, внутренний номер {what}", "{pbx}, extension {what}"),
    "place_rule": ("правило «{what}»", "rule “{what}”"),
}


def message(lang: str, key: str, **values: str) -> str:
    """The sentence `key` in Russian (`lang` ru and empty) or English."""
    russian, english = _MESSAGES[key]
    return (russian if lang in ("ru", "", "by", "kz") else english).format(**values)
