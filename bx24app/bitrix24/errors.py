"""What went wrong with a portal, named by what the caller should do: four reactions, chosen in one table.

::

    PortalError
    ├── Later            back-off, the portal's own reset time obeyed; nothing is lost
    │   ├── NotSent      certainly not executed
    │   └── AnswerLost   the request left, its effect is unknown: look before repeating
    ├── NeedsAdmin       authorise again, pay, allow: stop, keep everything, tell them, probe hourly, resume
    ├── Gone             portal or application removed
    └── Refused          this one command is dead, with its reason

The code is looked up first (`error` of the answer, in any case of letters), then the HTTP status: the portal uses 401, 403 and 200
for the same trouble (official error-codes page against the server's source).
"""

from __future__ import annotations

import time
from typing import Any

from bx24app.domain.ledger import USER_INACTIVE


class PortalError(Exception):
    """Base of all. The text is for logs and journals: it never holds a token or an address with one."""


class Later(PortalError):
    """Try again. `after`: seconds that the portal itself names; None: by the caller's back-off."""

    def __init__(self, text: str, after: float | None = None, *, budget: bool = False) -> None:
        super().__init__(text)
        self.after, self.budget = after, budget


class NotSent(Later):
    """Certainly not executed: no connection, or refused before execution (a limit, a token)."""


class AnswerLost(Later):
    """The request left and no readable answer came: it may or may not have been executed."""


class NeedsAdmin(PortalError):
    """Only an administrator can mend it; `code` names what (see `SENTENCES`)."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(text or code)
        self.code = code


class Gone(PortalError):
    """The portal or the installation no longer exists."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(text or code)
        self.code = code


class Refused(PortalError):
    """This command will never be accepted as it is."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}" if code else description)
        self.code, self.description = code, description


class TokenExpired(PortalError):
    """The access token is no longer good: refresh once and repeat. Never leaves this package."""


class Moved(PortalError):
    """The portal answers with a redirect: its domain changed. Never leaves this package."""

    def __init__(self, location: str) -> None:
        super().__init__("the portal's address changed")
        self.location = location


ADMIN: dict[str, str] = {
    "invalid_grant": "authorise",
    "authorization_error": "authorise",
    "no_auth_found": "authorise",
    "invalid_client": "registration",
    "wrong_client": "registration",
    "payment_required": "payment",
    "wrong_license": "tariff",
    "overload_limit": "overload",
    "insufficient_scope": "scope",
    "invalid_scope": "scope",
    "user_access_error": "access",
    "invalid_credentials": "rights",
    "access_denied": "rights",
    "wrong_auth_type": "registration",
    "method_confirm_waiting": "confirm",
    "method_confirm_denied": "confirm",
    "allowed_only_intranet_user": "rights",
}
"""Code -> what the administrator has to mend."""
GONE = frozenset({"portal_deleted", "not_installed", "application_not_found"})
NOT_EXECUTED = frozenset({"query_limit_exceeded", "operation_time_limit", "connection_error"})
EXPIRED = frozenset({"expired_token", "invalid_token"})
UNSURE = frozenset({"internal_server_error", "error_unexpected_answer"})

SENTENCES: dict[str, tuple[str, str]] = {
    "authorise": (
        "Портал больше не принимает авторизацию приложения. Откройте приложение заново под администратором портала.",
        "The portal no longer accepts the app's authorisation. Open the app again as an administrator of the portal.",
    ),
    "registration": (
        "Портал не узнаёт приложение: проверьте client_id и client_secret на сервере приложения.",
        "The portal does not recognise the app: check client_id and client_secret on the app's server.",
    ),
    "payment": ("Подписка на приложение не оплачена. Продлите её в каталоге Битрикс24.", "The app is not paid for. Renew it in the Bitrix24 catalogue."),
    "tariff": (
        "На тарифе портала недоступен REST. Смените тариф или подключите подписку на Маркет.",
        "REST is not available on the portal's plan. Change the plan or subscribe to the Market.",
    ),
    "overload": (
        "Битрикс24 остановил приложение из-за нагрузки на портал. Обратитесь в поддержку Битрикс24.",
        "Bitrix24 has stopped the app because of its load on the portal. Contact Bitrix24's support.",
    ),
    "scope": (
        "У приложения отозваны права (telephony, crm, user_basic, placement, im). Переустановите приложение и подтвердите их.",
        "A permission of the app was withdrawn (telephony, crm, user_basic, placement, im). Reinstall the app and confirm them.",
    ),
    "access": (
        "Администратор не дал доступ к приложению пользователю, от чьего имени оно работает.",
        "The user on whose behalf the app works has no access to it.",
    ),
    "rights": (
        "У пользователя, от чьего имени работает приложение, нет прав на портале. Пусть другой администратор откроет приложение.",
        "The user on whose behalf the app works lacks rights in the portal. Let another administrator open the app.",
    ),
    "confirm": ("Администратор должен подтвердить метод REST.", "An administrator has to confirm a REST method."),
}  # fmt: skip
"""What an administrator reads: (Russian, English)."""

_INACTIVE = ("user is not found or is not active",)


def of_answer(status: int, body: Any, location: str | None = None) -> PortalError:
    """The error of an answer that is not a success. `body`: parsed JSON, or None where it was not JSON."""
    if location and status in (301, 302, 307, 308):
        return Moved(location)
    if not isinstance(body, dict) or "error" not in body:
        return _by_status(status)
    return of_error(body, status)


def of_error(body: dict[str, Any], status: int = 400) -> PortalError:
    """The error of one `{"error", "error_description"}` object, of an answer or of a command in a batch."""
    code = str(body.get("error") or "")
    text = str(body.get("error_description") or body.get("error_message") or "")[:500]
    plain = code.lower()
    if plain in EXPIRED:
        return TokenExpired(code)
    if plain in GONE:
        return Gone(code, text)
    if plain in NOT_EXECUTED:
        return NotSent(f"{code}: {text}", _reset_after(body, plain), budget=plain == "query_limit_exceeded")
    if plain in UNSURE:
        return AnswerLost(f"{code}: {text}")
    if plain in ADMIN:
        return NeedsAdmin(
            "tariff" if "commercial plan" in text.lower() or "subscription" in text.lower() else ADMIN[plain],
            f"{code}: {text}",
        )
    if any(phrase in text.lower() for phrase in _INACTIVE):
        return Refused(USER_INACTIVE, text)
    if status >= 500:
        return AnswerLost(f"{code or status}: {text}")
    return Refused(code or "ERROR_CORE", text)


def _reset_after(body: dict[str, Any], code: str) -> float:
    """Seconds until the portal takes this again: its own `operating_reset_at` where it says one."""
    reset = body.get("operating_reset_at") or (body.get("time") or {}).get("operating_reset_at")
    if reset:
        return max(1.0, float(reset) - time.time())
    return 60.0 if code == "operation_time_limit" else 1.0


def _by_status(status: int) -> PortalError:
    if status == 429:
        return NotSent("the portal asks to wait (429)", 5.0)
    if status == 410:
        return Gone("PORTAL_DELETED", "the portal answers 410")
    if status in (401, 403):
        return NeedsAdmin("authorise" if status == 401 else "rights", f"the portal answers {status} without a reason")
    return AnswerLost(f"the portal's answer cannot be read (HTTP {status})")
