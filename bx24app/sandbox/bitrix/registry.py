"""The table of REST methods, the decorator that fills it, and what handlers share.

A handler receives a `CommandContext` and its parameters, and returns a JSON value or a `ListPage`, or raises
`RestError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from bx24app.sandbox.bitrix.state import InstalledApp, User
from bx24app.sandbox.bitrix.work_seconds import RequestClock

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.oauth import Token
    from bx24app.sandbox.bitrix.portal import Portal


class RestError(Exception):
    """An error answer: the JSON body `{"error", "error_description", **extra}` and an HTTP status."""

    def __init__(self, code: str, text: str = "", status: int = 400, **extra: Any) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.status = status
        self.extra = extra

    def error_body(self) -> dict[str, Any]:
        return {"error": self.code, "error_description": self.text, **self.extra}


def access_denied(text: str = "Access denied.", status: int = 403) -> RestError:
    """The error ACCESS_DENIED."""
    return RestError("ACCESS_DENIED", text, status)


@dataclass
class ListPage:
    """The answer of a list method: `total` and `next` stand beside `result` in the body."""

    result: Any
    total: int | None = None
    next: int | None = None


@dataclass
class CommandContext:
    """One command with its parameters, the portal, and the user, application and token that it comes from."""

    portal: Portal
    method: str
    params: dict[str, Any]
    user: User
    app: InstalledApp
    token: Token
    auth_in_url: bool = True
    secure: bool = False
    busy_until: float = 0.0
    clock: RequestClock | None = None
    """Of the request that holds this command, where the documentation's seconds are on."""
    notes: list[str] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        """The scheme and host of the portal, as the request used them."""
        return self.portal.base_url(self.secure)

    async def spend_time(self) -> None:
        """Sleeps for the latency of this command, and takes its documented seconds, once.

        A method without a lock in the real portal calls this between reading and writing, so that races show.
        """
        seconds, self.busy_until = self.busy_until, 0.0
        if seconds:
            await asyncio.sleep(seconds)
        clock, self.clock = self.clock, None
        if clock is not None:
            await clock.spend(clock.durations.seconds_of(self.method))

    async def end_before_work(self) -> None:
        """Ends the request now if this command would reach its limit.

        A method that writes in two steps calls this first: whether a portal that ends between them keeps the first one
        is not known, so here such a command is done or not.
        """
        if self.clock is not None and self.clock.is_last(self.clock.durations.seconds_of(self.method)):
            await self.spend_time()

    def make_error(self, text: str, code: str = "ERROR_CORE", status: int = 400) -> RestError:
        """The error of a telephony method. ERROR_CORE is left empty if the portal has `empty_error_codes` on."""
        return RestError("" if self.portal.switches.empty_error_codes and code == "ERROR_CORE" else code, text, status)


_H = TypeVar("_H", bound="Handler")
MAX_LOGGED_LENGTH = 4000
Handler = Callable[[CommandContext, dict[str, Any]], Any | Awaitable[Any]]


@dataclass(frozen=True)
class RestMethod:
    name: str
    scope: str
    handler: Handler
    may_batch: bool = True
    is_upper: bool = False
    """Whether the method accepts parameter names in any case."""


METHODS: dict[str, RestMethod] = {}


def rest_method(name: str, scope: str, *, batch: bool = True, upper: bool = False) -> Callable[[_H], _H]:
    """Registers a function as a REST method. Method names are not case-sensitive."""

    def register_handler(handler: _H) -> _H:
        METHODS[name.lower()] = RestMethod(name, scope, handler, batch, upper)
        return handler

    return register_handler


def shorten_params(value: Any) -> Any:
    """Parameters for the log. Long texts, such as a recording in base64, are cut and shown with their length."""
    if isinstance(value, str):
        return value if len(value) < MAX_LOGGED_LENGTH else f"{value[:80]}… ({len(value)} characters)"
    if isinstance(value, dict):
        return {key: shorten_params(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shorten_params(item) for item in value]
    return value


def upper_keys(params: dict[str, Any]) -> dict[str, Any]:
    """Parameter names in upper case, as most older modules read them."""
    return {str(key).upper(): value for key, value in params.items()}
