"""What an administrator reads when only they can mend it: one sentence a trouble, in Russian and English."""

from __future__ import annotations

from typing import Final

MESSAGES: Final[dict[str, tuple[str, str]]] = {
    "authorise": (
        "Портал больше не принимает авторизацию приложения. Откройте приложение заново под администратором портала.",
        "The portal no longer accepts the app's authorisation. Open the app again as an administrator of the portal.",
    ),
    "registration": (
        "Bitrix24 не узнаёт приложение: проверьте client_id и client_secret на сервере приложения (bx24app apps list).",
        "Bitrix24 does not recognise the app: check client_id and client_secret on the app's server (bx24app apps list).",
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
        "У приложения отозвано одно из разрешений (telephony, crm, user_basic, placement, im). Переустановите приложение и подтвердите их.",
        "A permission of the app was withdrawn (telephony, crm, user_basic, placement, im). Reinstall the app and confirm them.",
    ),
    "access": (
        "Пользователю, от чьего имени работает приложение, закрыт доступ к нему. Дайте доступ в настройках приложения или пусть другой администратор откроет его.",
        "The user on whose behalf the app works has no access to it. Grant access in the app's settings, or let another administrator open it.",
    ),
    "rights": (
        "У пользователя, от чьего имени работает приложение, не хватает прав на портале. Верните права или пусть другой администратор откроет приложение.",
        "The user on whose behalf the app works lacks rights in the portal. Give them back, or let another administrator open the app.",
    ),
    "confirm": (
        "Портал ждёт, чтобы администратор подтвердил метод REST. Подтвердите его в уведомлениях портала.",
        "The portal waits for an administrator to confirm a REST method. Confirm it in the portal's notifications.",
    ),
    "disk": (
        "На диске портала нет места: записи разговоров не сохраняются. Освободите место или увеличьте диск.",
        "The portal's disk is full: recordings cannot be stored. Free some space or enlarge the disk.",
    ),
    "address": (
        "Адрес портала ведёт в закрытую сеть, которую сервер приложения не обслуживает (BX24APP_PRIVATE_PORTALS).",
        "The portal's address leads into a private network that the app's server does not serve (BX24APP_PRIVATE_PORTALS).",
    ),
}  # fmt: skip
"""Key -> (Russian, English)."""

_RUSSIAN_LANGUAGES = frozenset({"", "ru", "by", "kz", "ua", "uz"})
"""Languages of portals (Bitrix24's codes) whose administrators read Russian; none: the default."""


def admin_message(key: str | None, lang: str) -> str:
    """The sentence of a trouble in a portal's language; an unknown key reads as the need to authorise again."""
    russian, english = MESSAGES.get(key or "", MESSAGES["authorise"])
    return russian if lang.lower() in _RUSSIAN_LANGUAGES else english
