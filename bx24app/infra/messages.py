"""Texts for people outside the pages' catalogue, in Russian and English: notices, reasons of failed calls, what to fix.

Workers use these texts outside any request, so they stand here as pairs; the texts of pages are in Flask-Babel's
catalogue. The portal's language decides between Russian and English (`domain/languages.py`).
"""

from __future__ import annotations

from typing import Final

from bx24app.domain.languages import choose_language

NEEDS_ADMIN: Final[dict[str, tuple[str, str]]] = {
    "authorise": (
        "Портал больше не принимает авторизацию приложения. Откройте приложение заново под администратором портала.",
        "The portal no longer accepts the app's authorisation. Open the app again as an administrator of the portal.",
    ),
    "registration": (
        "Битрикс24 не узнаёт приложение: проверьте client_id и client_secret на сервере приложения (bx24app apps "
        "list).",
        "Bitrix24 does not recognise the app: check client_id and client_secret on the app's server (bx24app apps "
        "list).",
    ),
    "payment": (
        "Приложение не оплачено. Продлите его в каталоге Битрикс24.",
        "The app is not paid for. Renew it in the Bitrix24 catalogue.",
    ),
    "tariff": (
        "На тарифе портала недоступен REST. Смените тариф или подключите подписку на Маркет.",
        "REST is not available on the portal's plan. Change the plan or subscribe to the Market.",
    ),
    "overload": (
        "Битрикс24 остановил приложение из-за нагрузки на портал. Обратитесь в поддержку Битрикс24.",
        "Bitrix24 has stopped the app because of its load on the portal. Contact Bitrix24's support.",
    ),
    "scope": (
        "У приложения отозвано одно из разрешений (telephony, crm, user_basic, placement, im). Переустановите "
        "приложение и подтвердите их.",
        "A permission of the app was withdrawn (telephony, crm, user_basic, placement, im). Reinstall the app and "
        "confirm them.",
    ),
    "access": (
        "Пользователю, от чьего имени работает приложение, закрыт доступ к нему. Дайте доступ в настройках приложения "
        "или откройте приложение "
        "под другим администратором.",
        "The user on whose behalf the app works has no access to it. Grant access in the app's settings, or let "
        "another administrator open it.",
    ),
    "rights": (
        "У пользователя, от чьего имени работает приложение, не хватает прав на портале. Верните права или откройте "
        "приложение под другим "
        "администратором.",
        "The user on whose behalf the app works lacks rights in the portal. Restore them, or let another administrator "
        "open the app.",
    ),
    "closed": (
        "Портал закрыт или удалён. В коробочном Битрикс24 проверьте, не закрыта ли временно публичная часть сайта "
        "(настройки главного модуля).",
        "The portal is closed or was deleted. In an on-premise Bitrix24, check whether the public part of the site is "
        "temporarily closed (settings of the main module).",
    ),
    "confirm": (
        "Портал ждёт, чтобы администратор подтвердил метод REST. Подтвердите его в уведомлениях портала.",
        "The portal is waiting for an administrator to confirm a REST method. Confirm it in the portal's "
        "notifications.",
    ),
    "disk": (
        "На диске портала нет места: записи разговоров не сохраняются. Освободите место или увеличьте диск.",
        "The portal's disk is full: recordings cannot be stored. Free some space or enlarge the disk.",
    ),
    "address": (
        "Адрес портала ведёт в закрытую сеть, которую сервер приложения не обслуживает (BX24APP_PRIVATE_PORTALS).",
        "The portal's address leads into a private network that the app's server does not serve "
        "(BX24APP_PRIVATE_PORTALS).",
    ),
}
"""Code of what only an administrator can fix (`NeedsAdmin.code`) -> (Russian, English)."""

_MESSAGES: Final[dict[str, tuple[str, str]]] = {
    "click_bad_number": (
        "Номер {number} нельзя набрать",
        "The number {number} cannot be dialled",
    ),
    "click_no_extension": (
        "Звонок не начат: у вас нет внутреннего номера Mango Office. Попросите администратора портала указать его в "
        "приложении",
        "The call was not started: you have no Mango Office extension. Ask the portal's administrator to enter it in "
        "the app",
    ),
    "click_no_key": (
        "Звонок не начат: для АТС {pbx} не указаны ключ и соль API",
        "The call was not started: the PBX {pbx} has no API key and salt",
    ),
    "click_refused": (
        "Не удалось позвонить на {number}: {why}",
        "The call to {number} failed: {why}",
    ),
    "click_silent": (
        "Не удалось позвонить на {number}: АТС не ответила",
        "The call to {number} failed: the PBX did not answer",
    ),
    "click_running": (
        "Второй раз не набираем: звонок на {number} уже идёт",
        "Not dialled a second time: a call to {number} is already under way",
    ),
    "click_failed": (
        "Звонок на {number} не начат из-за ошибки приложения. Администратор портала видит её на странице «Звонки»",
        "The call to {number} was not started because of an error of the app. The portal's administrator sees it on "
        "the page “Calls”",
    ),
    "callback_nobody": (
        "Обратный звонок на {number} не заказан: на линии {line} некому ответить",
        "The callback to {number} was not ordered: nobody can answer on the line {line}",
    ),
    "callback_bad_number": (
        "Обратный звонок не заказан: номер {number} нельзя набрать",
        "The callback was not ordered: the number {number} cannot be dialled",
    ),
    "callback_no_key": (
        "Обратный звонок на {number} не заказан: для АТС {pbx} не указаны ключ и соль API",
        "The callback to {number} was not ordered: the PBX {pbx} has no API key and salt",
    ),
    "callback_refused": (
        "Обратный звонок на {number} не заказан: {why}. Перезвоните клиенту",
        "The callback to {number} was not ordered: {why}. Call the client back",
    ),
    "callback_silent": (
        "Обратный звонок на {number} не состоялся: АТС не ответила. Перезвоните клиенту",
        "The callback to {number} failed: the PBX did not answer. Call the client back",
    ),
    "mango_away": (
        "Mango Office сейчас не принимает команды",
        "Mango Office is not accepting commands at the moment",
    ),
    "mango_refuses_address": (
        "Mango Office не принимает запросы с адреса приложения",
        "Mango Office does not accept requests from the app's address",
    ),
    "mango_key_locked": (
        "Mango Office на две минуты заблокировал ключ этой АТС после неверных запросов. Позвоните ещё раз в {time}",
        "Mango Office has locked the key of this PBX for two minutes after wrong requests. Call again at {time}",
    ),
    "mango_too_late": (
        "приложение получило команду слишком поздно",
        "the app received the command too late",
    ),
    "dismissed": (
        "{name}: сотрудник уволен, но указан в настройках Mango Office ({places}). Его звонки получает ответственный "
        "по умолчанию. "
        "Откройте приложение и выберите другого сотрудника",
        "{name} was dismissed but is still named in the Mango Office settings ({places}). The default responsible gets "
        "these calls. "
        "Open the app and choose another employee",
    ),
    "dismissed_over": (
        "{name}: в настройках Mango Office больше нет этого уволенного сотрудника",
        "{name}: the Mango Office settings no longer name this dismissed employee",
    ),
    "silent": (
        "АТС {pbx} молчит в рабочее время: последнее уведомление Mango Office пришло {at}. "
        "Проверьте API-коннектор в личном кабинете Mango Office",
        "The PBX {pbx} is silent during working hours: the last notification from Mango Office came at {at}. "
        "Check the API connector in the Mango Office account",
    ),
    "silent_over": (
        "АТС {pbx} снова на связи: уведомления приходят",
        "The PBX {pbx} is back: notifications are arriving again",
    ),
    "authorisation": (
        "Mango Office: звонки ждут, Битрикс24 не принимает запросы приложения. {why}",
        "Mango Office: calls are waiting because Bitrix24 refuses the app's requests. {why}",
    ),
    "authorisation_over": (
        "Mango Office: доступ к Битрикс24 восстановлен; звонки, ждавшие с {since}, доставляются",
        "Mango Office: access to Bitrix24 is restored; calls that have waited since {since} are being delivered",
    ),
    "recordings_lost": (
        "АТС {pbx}: не удалось получить записи разговоров ({count}). Их можно запросить ещё раз на странице «Звонки» "
        "приложения",
        "PBX {pbx}: {count} recordings could not be fetched. You can request them again on the page “Calls” of the app",
    ),
    "recordings_lost_over": (
        "АТС {pbx}: записи разговоров снова приходят все",
        "PBX {pbx}: all recordings are arriving again",
    ),
    "unmapped": (
        "АТС {pbx}: внутреннему номеру {extension} не назначен сотрудник, его звонки получает ответственный по "
        "умолчанию",
        "PBX {pbx}: extension {extension} has no employee; the default responsible gets its calls",
    ),
    "unmapped_over": (
        "АТС {pbx}: внутреннему номеру {extension} назначен сотрудник",
        "PBX {pbx}: extension {extension} now has an employee",
    ),
    "unmapped_many": (
        "АТС {pbx}: внутренним номерам ({count}: {some} …) не назначены сотрудники, их звонки получает ответственный "
        "по умолчанию",
        "PBX {pbx}: {count} extensions ({some} …) have no employee; the default responsible gets their calls",
    ),
    "unmapped_many_over": (
        "АТС {pbx}: почти всем внутренним номерам назначены сотрудники",
        "PBX {pbx}: nearly all extensions now have an employee",
    ),
    "portal_away": (
        "Mango Office: Битрикс24 не отвечает с {since}; звонки ждут",
        "Mango Office: Bitrix24 has not answered since {since}; calls are waiting",
    ),
    "portal_away_over": (
        "Mango Office: Битрикс24 не отвечал приложению с {since}; теперь отвечает, ждавшие звонки доставляются",
        "Mango Office: Bitrix24 had not answered the app since {since}; it answers again, and the waiting calls are "
        "being delivered",
    ),
    "pbx_away": (
        "АТС {pbx}: Mango Office не отвечает на запросы приложения. Записи разговоров ждут, потерянные звонки не "
        "ищутся",
        "PBX {pbx}: Mango Office does not answer the app. Recordings are waiting, and the app cannot look for missing "
        "calls",
    ),
    "pbx_away_over": (
        "АТС {pbx}: Mango Office снова отвечает",
        "PBX {pbx}: Mango Office answers again",
    ),
    "dead": (
        "Mango Office: Битрикс24 отказался принять часть звонков ({count}). Причины и повтор – в приложении, страница "
        "«Звонки»",
        "Mango Office: Bitrix24 refused some calls ({count}). See the reasons and try again in the app, page “Calls”",
    ),
    "dead_over": (
        "Mango Office: отказов Битрикс24 больше нет",
        "Mango Office: no refused calls are left",
    ),
    "set_aside": (
        "Mango Office: приложение не смогло обработать часть звонков ({count}), остальные идут дальше. Причины и "
        "повтор – в приложении, страница «Звонки»",
        "Mango Office: the app could not process some calls ({count}); all others go on. See the reasons and try again "
        "in the app, page “Calls”",
    ),
    "set_aside_over": (
        "Mango Office: необработанных звонков больше нет",
        "Mango Office: no unprocessed calls are left",
    ),
    "disk": (
        "Mango Office: {why} Звонки и карточки работают, записи ({count}) ждут",
        "Mango Office: {why} Calls and cards work; {count} recordings are waiting",
    ),
    "disk_over": (
        "Mango Office: место на диске есть, записи разговоров снова сохраняются",
        "Mango Office: the disk has space, and recordings are being stored again",
    ),
    "place_portal": ("звонки без ответственного", "calls without an employee"),
    "place_pbx": ("АТС {pbx}", "PBX {pbx}"),
    "place_line": ("{pbx}, линия {what}", "{pbx}, line {what}"),
    "place_employee": ("{pbx}, внутренний номер {what}", "{pbx}, extension {what}"),
    "place_rule": ("правило «{what}»", "rule “{what}”"),
}
"""Key -> (Russian, English)."""


def message(lang: str, key: str, **values: str) -> str:
    """The text `key` in the language of a portal whose LANG is `lang`."""
    return _in_language(lang, _MESSAGES[key]).format(**values)


def needs_admin_message(lang: str, code: str | None) -> str:
    """What an administrator has to do about `code`, a key of `NEEDS_ADMIN`; unknown codes read as `authorise`."""
    return _in_language(lang, NEEDS_ADMIN.get(code or "", NEEDS_ADMIN["authorise"]))


def _in_language(lang: str, pair: tuple[str, str]) -> str:
    russian, english = pair
    return russian if choose_language(lang) == "ru" else english
