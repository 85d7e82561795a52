"""What went wrong with a portal, named by what the caller should do: four reactions, chosen in one table (`reactions`).

::

    PortalError
    ├── Later            back-off, the portal's own reset time obeyed; nothing is lost
    │   ├── NotSent      certainly not executed
    │   └── AnswerLost   the request left, its effect is unknown: look before repeating
    ├── NeedsAdmin       authorise again, pay, allow: stop, keep everything, tell them, probe hourly, resume
    ├── Gone             portal or application removed
    └── Refused          this one command is dead, with its reason

    inside this package only
    ├── TokenExpired     refresh once and repeat
    ├── Denied           ask `profile` whether the tariff or the rights are missing
    └── Moved            the portal answers from another address
"""

from __future__ import annotations

from bx24app.domain.calls.ledger import USER_INACTIVE

CALL_UNKNOWN = "CALL_UNKNOWN"
"""Code of a refusal because the portal knows no such unfinished call."""
CALL_NOT_FINISHED = "CALL_NOT_FINISHED"
"""Code of a refusal because a recording came before finish."""


class PortalError(Exception):
    """Base of all. The text is for logs and journals: it never holds a token or an address with one."""


class Later(PortalError):
    """Try again. `retry_after`: seconds that the portal itself names; None leaves it to the caller's back-off.

    `is_rate_limited`: a request limit was the reason; `is_budget_used_up`: it was our own budget for this portal.
    """

    def __init__(
        self, text: str, retry_after: float | None = None, *, is_rate_limited: bool = False, is_budget_used_up: bool = False
    ) -> None:
        super().__init__(text)
        self.retry_after, self.is_rate_limited, self.is_budget_used_up = retry_after, is_rate_limited, is_budget_used_up


class NotSent(Later):
    """Certainly not executed: no connection, or turned away before execution (a limit, a token)."""


class AnswerLost(Later):
    """The request left and no readable answer came: it may or may not have been executed."""


class NeedsAdmin(PortalError):
    """Only an administrator can mend it. `code`: what, a key of `sentences`; the text tells what the other side said.

    `generation`: of the grant that was refused, where one was; a newer grant is not meant.
    """

    def __init__(self, code: str, text: str = "", generation: int | None = None) -> None:
        super().__init__(text or code)
        self.code, self.generation = code, generation


class Gone(PortalError):
    """The portal or the installation no longer exists. `code`: as the other side named it."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code


class Refused(PortalError):
    """This command will never be accepted as it is."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}" if code else description)
        self.code, self.description = code, description


class TokenExpired(PortalError):
    """The access token is not good (any more): refresh once and repeat. Never leaves this package."""


class AccessDenied(PortalError):
    """Turned away for want of rights, or for a tariff without REST: `profile` tells which. Never leaves this package."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code, self.description = code, description


class PortalMoved(PortalError):
    """The portal answers with a redirect: its domain changed. Never leaves this package."""

    def __init__(self, location: str) -> None:
        super().__init__("the portal answers from another address")
        self.location = location


__all__ = ["CALL_NOT_FINISHED", "CALL_UNKNOWN", "USER_INACTIVE", "AccessDenied", "AnswerLost", "Gone", "Later", "NeedsAdmin", "NotSent", "PortalError", "PortalMoved", "Refused", "TokenExpired"]
