"""Errors of a portal, named by what the caller should do. `error_table` chooses them; use cases decide by their class.

::

    PortalError
    ├── Later            try again later, not before the portal's own reset time; nothing is lost
    │   ├── NotSent      certainly not executed
    │   └── AnswerLost   the request left, its effect is unknown: verify before repeating (`AnswerTooLarge` is one)
    ├── NeedsAdmin       an administrator must authorise, pay or allow: stop, keep everything, probe within 60 s, resume
    ├── Gone             the portal or the application was removed
    └── Refused          this one command failed for good

    inside this package only
    ├── TokenExpired     refresh once and repeat
    ├── AccessDenied     ask `profile` whether the tariff or the rights are missing
    └── PortalMoved      the portal answers from another address
"""

from __future__ import annotations

CALL_UNKNOWN = "CALL_UNKNOWN"
"""Code of a refusal: the portal knows no such unfinished call."""
CALL_NOT_FINISHED = "CALL_NOT_FINISHED"
"""Code of a refusal: a recording was attached before the call was finished."""


AUTH_SERVER, CUT_OFF, CERTIFICATE = "auth_server", "cut_off", "certificate"
"""Causes of `Later` that only the operator can remove: the program does not reach the authorisation server, the portal
does not reach it (CONNECTION_ERROR of its REST), the portal's certificate is not trusted."""


class PortalError(Exception):
    """Base of all errors. The text is for logs and the journal: it never holds a token or an address with a token."""


class Later(PortalError):
    """Try again. `retry_after` is how many seconds the portal asks to wait; None leaves that to the caller's back-off.

    `cause`: one of the causes above; empty: another one.
    `is_rate_limited`: a request limit was the reason; `is_budget_used_up`: that limit was the program's own budget for
    this portal.
    """

    def __init__(
        self,
        text: str,
        retry_after: float | None = None,
        *,
        is_rate_limited: bool = False,
        is_budget_used_up: bool = False,
        cause: str = "",
    ) -> None:
        super().__init__(text)
        self.cause = cause
        self.retry_after, self.is_rate_limited, self.is_budget_used_up = retry_after, is_rate_limited, is_budget_used_up


class NotSent(Later):
    """Certainly not executed: no connection, or refused before execution (a limit, a token)."""


class AnswerLost(Later):
    """The request left, but no readable answer came: it may have been executed."""


class AnswerTooLarge(AnswerLost):
    """The answer is over-large, and was not read: it has too many bytes or too many pieces."""


class NeedsAdmin(PortalError):
    """Only an administrator can fix it. `code` says what (a key of `infra.messages.NEEDS_ADMIN`); the text is the other
    side's own.

    `generation` is that of the grant that was refused, if one was; the error does not concern a newer grant.
    """

    def __init__(self, code: str, text: str = "", generation: int | None = None) -> None:
        super().__init__(text or code)
        self.code, self.generation = code, generation


class Gone(PortalError):
    """The portal or the installation no longer exists. `code` is the other side's own."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code


class Refused(PortalError):
    """This command will never be accepted."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}" if code else description)
        self.code, self.description = code, description


class TokenExpired(PortalError):
    """The access token is not valid (any more): refresh it once and repeat. Never leaves this package."""


class AccessDenied(PortalError):
    """Rights are missing, or the tariff has no REST: `profile` tells which. Never leaves this package."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code, self.description = code, description


class PortalMoved(PortalError):
    """The portal redirects to another address, since its domain changed. Never leaves this package."""

    def __init__(self, location: str) -> None:
        super().__init__("the portal answers from another address")
        self.location = location
