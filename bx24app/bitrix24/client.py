"""REST of one portal: `call`, `batch`, `list`, `upload`, `probe`. Every request leaves through a pooled OAuth2Session (`wire`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from bx24app.bitrix24 import batch_encoding, error_table, errors
from bx24app.bitrix24.batch_encoding import BatchRef
from bx24app.bitrix24.budget import BUDGET_USED_UP, Priority, RequestBudget
from bx24app.bitrix24.errors import AccessDenied, AnswerLost, NeedsAdmin, NotSent, PortalMoved, Refused, TokenExpired
from bx24app.bitrix24.method_load import PortalMethodLoad
from bx24app.bitrix24.transport import MultipartBody, PortalResponse, Transport

_log = structlog.get_logger(__name__)

MAX_BATCH_SIZE: Final = 50
"""Commands in one batch (official page "batch")."""
MAX_PAGE_WAIT: Final = 60.0
"""Seconds that a page of a long list waits for the budget at the most."""
_JSON_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json"}
_ID_PAGED_METHODS: Final = {"crm.item.list": ("filter", "order", "id"), "voximplant.statistic.get": ("FILTER", None, "ID")}
"""List methods that page by id (parameter of the filter, of the order, field): fast, and complete while rows come and go."""


@dataclass(frozen=True, slots=True)
class RestResult:
    """A success. `next` and `total` only of lists; `time` as the portal measured."""

    result: Any
    next: int | None = None
    total: int | None = None
    time: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where the client takes its token from. All three may take a lock and talk to the database; none is called during HTTP."""

    get_token: Callable[[], str]
    refresh_token: Callable[[str], str]
    """Given the token that was refused, a fresh one."""
    follow_redirect: Callable[[str], str]
    """Given the address of a redirect: the verified and stored new REST base."""


class Bitrix24Client:
    """REST of one portal on its background grant. Threads may share it.

    Every method raises `Later` (`NotSent`, `AnswerLost`), `NeedsAdmin`, `Gone` or `Refused`, and nothing else of `errors`.
    """

    def __init__(
        self, endpoint: str, grants: TokenSource, budget: RequestBudget, transport: Transport, operating: PortalMethodLoad | None = None
    ) -> None:
        self.endpoint, self.budget = endpoint.rstrip("/") + "/", budget
        self._token_source, self._transport, self._method_load = grants, transport, operating or PortalMethodLoad()

    def call(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        priority: Priority = Priority.CARD,
        patience: float = 0.0,
        leave_by: float | None = None,
    ) -> RestResult:
        """One method. Where the budget is used up it waits up to `patience` seconds, then raises `NotSent` with the seconds to wait.

        `leave_by`: moment of the monotonic clock after which it must not leave any more; then `NotSent` is raised.
        """
        until = time.monotonic() + patience
        while True:
            try:
                self._check_method_load([method], priority)
                said = self._send_with_token(method, params or {}, priority, leave_by)
            except AccessDenied as denied:
                raise self._explain_denial(method, denied) from None
            except NotSent as error:
                if not error.is_rate_limited or time.monotonic() + (error.retry_after or 1.0) > until:
                    raise
                time.sleep(error.retry_after or 1.0)
            else:
                self._method_load.record_time(method, said.get("time"), time.time())
                return RestResult(said.get("result"), said.get("next"), said.get("total"), said.get("time"))

    def batch(
        self,
        commands: list[tuple[str, str, dict[str, Any]]],
        halt: bool = False,
        priority: Priority = Priority.CARD,
        leave_by: float | None = None,
    ) -> dict[str, RestResult | errors.PortalError]:
        """Up to 50 (key, method, params) in one request, in their order. What is missing in the answer was not reached.

        The whole batch raises like `call`, with the same `leave_by`; what a single command met is its value.
        """
        if len(commands) > MAX_BATCH_SIZE:
            raise ValueError(f"a batch takes {MAX_BATCH_SIZE} commands, not {len(commands)}")
        cmd = {key: batch_encoding.encode_command(key, method, params) for key, method, params in commands}
        methods = {key: method for key, method, _ in commands}
        self._check_method_load(methods.values(), priority)
        try:
            said = self._send_with_token("batch", {"halt": int(halt), "cmd": cmd}, priority, leave_by).get("result")
        except AccessDenied as denied:
            raise self._explain_denial("batch", denied) from None
        if not isinstance(said, dict) or "result" not in said:
            raise AnswerLost("the portal's answer to a batch has an unknown shape")
        maps = {
            name: _as_mapping(said.get(name), cmd) for name in ("result", "result_error", "result_next", "result_total")
        }
        found: dict[str, RestResult | errors.PortalError] = {
            key: RestResult(value, maps["result_next"].get(key), maps["result_total"].get(key))
            for key, value in maps["result"].items()
        }
        for key, told in _as_mapping(said.get("result_time"), cmd).items():
            self._method_load.record_time(methods.get(key, ""), told, time.time())
        for key, error in maps["result_error"].items():
            found[key] = self._command_error(error, methods.get(key, ""))
        return found

    def iter_rows(
        self, method: str, params: dict[str, Any] | None = None, priority: Priority = Priority.BACKGROUND
    ) -> Iterator[Any]:
        """Every row of a list method, page by page (50 a page), by id where the method can. Waits for the budget between pages."""
        if method in _ID_PAGED_METHODS:
            yield from self._iter_rows_by_id(method, params or {}, priority)
            return
        start: int | None = 0
        while start is not None:
            answer = self.call(method, {**(params or {}), "start": start}, priority, MAX_PAGE_WAIT)
            yield from _extract_rows(answer.result)
            start = answer.next if answer.next is None or answer.next > start else None

    def upload_file(
        self, url: str, file: Path, filename: str, field: str = "file", priority: Priority = Priority.RECORD
    ) -> Any:
        """POST a file to an upload address of this portal, streamed from disk. The address is a secret: it is never logged."""
        ours, theirs = urlsplit(self.endpoint), urlsplit(url)
        if theirs.hostname != ours.hostname:
            raise Refused("UPLOAD_HOST", "the portal named an upload address on another host")
        if theirs.scheme == "http" and ours.scheme == "https":  # a portal behind a proxy that ends TLS
            url = theirs._replace(scheme="https", netloc=ours.netloc).geturl()
        self._acquire_budget(priority)
        with file.open("rb") as stream:
            body = MultipartBody(stream, file.stat().st_size, filename, field)
            try:
                reply = self._transport.post(url, body, {"Content-Type": body.content_type})
                return self._require_success(reply, "upload").get("result")
            except (TokenExpired, PortalMoved):
                raise NotSent("the upload address is no longer good", 0.0) from None
            except AccessDenied as denied:  # the signature of the address: a fresh address helps
                raise Refused(denied.code, denied.description) from None

    def probe_access(self, priority: Priority = Priority.BACKGROUND) -> dict[str, Any]:
        """The simplest question: `profile`. An answer means that the grant, the tariff and the application are all right.

        Raises:
            Later, NeedsAdmin, Gone: what is wrong.
        """
        try:
            said = self._send_with_token("profile", {}, priority).get("result")
        except (AccessDenied, Refused) as error:
            raise _probe_error(error) from None
        return said if isinstance(said, dict) else {}

    def _explain_denial(self, method: str, denied: AccessDenied) -> errors.PortalError:
        """Rights or tariff? Where even `profile` is denied, it is the tariff, or the user is no more."""
        try:
            self.probe_access(Priority.CARD)
        except NeedsAdmin as error:
            return error
        except errors.Gone as error:
            return error
        except errors.Later as error:
            return NotSent(f"{denied}; the reason cannot be asked now", error.retry_after, is_rate_limited=error.is_rate_limited)
        return _missing_rights_error(method, denied)

    def _command_error(self, error: Any, method: str) -> errors.PortalError:
        """What one command of a batch met; REST as such works, or there would be no batch."""
        met = error_table.classify_error(error if isinstance(error, dict) else {"error": str(error)}, method=method)
        if isinstance(met, TokenExpired):
            return NotSent("the token expired in the middle of a batch", 0.0)
        if isinstance(met, AccessDenied):
            return _missing_rights_error(method, met)
        if isinstance(met, NotSent) and met.is_rate_limited:
            self.budget.block_for(met.retry_after or 1.0)
        return met

    def _send_with_token(
        self, method: str, params: dict[str, Any], priority: Priority, leave_by: float | None = None
    ) -> dict[str, Any]:
        """Send; refresh the token once, follow a change of domain once."""
        token = _query_token_source(self._token_source.get_token)
        refreshed = moved = False
        while True:
            self._acquire_budget(priority)
            started = time.monotonic()
            if leave_by is not None and started > leave_by:
                raise NotSent("it waited too long for its turn to leave", 0.0)
            try:
                reply = self._transport.post(self.endpoint + method, params, _JSON_HEADERS, token)
                _log.debug(
                    "portal asked", method=method, status=reply.status, ms=round((time.monotonic() - started) * 1e3)
                )
                return self._require_success(reply, method)
            except TokenExpired as error:
                if refreshed:
                    raise NeedsAdmin("authorise", f"the portal refuses a fresh token: {error}") from None
                token, refreshed = _query_token_source(lambda stale=token: self._token_source.refresh_token(stale)), True  # type: ignore[misc]
            except PortalMoved as redirect:
                if moved:
                    raise NotSent("the portal redirects again and again") from None
                where = redirect.location
                self.endpoint, moved = _query_token_source(lambda: self._token_source.follow_redirect(where)).rstrip("/") + "/", True  # noqa: B023

    def _iter_rows_by_id(self, method: str, params: dict[str, Any], priority: Priority) -> Iterator[Any]:
        filter_name, order_name, field = _ID_PAGED_METHODS[method]
        order = {order_name: {field: "ASC"}} if order_name else {"SORT": field, "ORDER": "ASC"}
        last = 0
        while True:
            chosen = {**(params.get(filter_name) or {}), f">{field}": last}
            page = {**params, **order, filter_name: chosen, "start": -1}
            rows = _extract_rows(self.call(method, page, priority, MAX_PAGE_WAIT).result)
            yield from rows
            newest = max((int(row[field]) for row in rows), default=0)
            if len(rows) < MAX_BATCH_SIZE or newest <= last:
                return
            last = newest

    def _check_method_load(self, methods: Iterable[str], priority: Priority) -> None:
        wait = self._method_load.seconds_until_free(methods, priority, time.time())
        if wait > 0:
            raise NotSent("the portal's working time for this method is nearly used up", wait, is_rate_limited=True)

    def _acquire_budget(self, priority: Priority) -> None:
        wait = self.budget.acquire(priority)
        if wait > 0:
            raise NotSent(BUDGET_USED_UP, wait, is_rate_limited=True, is_budget_used_up=True)

    def _require_success(self, reply: PortalResponse, method: str) -> dict[str, Any]:
        met = error_table.classify_answer(reply.status, reply.body, method, reply.location)
        if met is None:
            said: dict[str, Any] = reply.body
            return said
        if isinstance(met, NotSent) and met.is_rate_limited:
            self.budget.block_for(met.retry_after or 1.0)
        raise met


def _query_token_source(question: Callable[[], str]) -> str:
    """A question about the grant. Whatever became of it, the portal's command was not executed."""
    try:
        return question()
    except AnswerLost as error:
        raise NotSent(str(error), error.retry_after) from None
    except (Refused, TokenExpired) as error:
        raise NeedsAdmin("authorise", str(error)) from None


def _missing_rights_error(method: str, denied: AccessDenied) -> errors.PortalError:
    """The grant works, but not for this method: an administrator's matter where we cannot do without it, else this command's end."""
    if error_table.is_required_method(method):
        return NeedsAdmin("rights", f"{method}: {denied}")
    return Refused(denied.code, denied.description)


def _probe_error(error: AccessDenied | Refused) -> NeedsAdmin:
    """Even `profile` is denied: no REST on this tariff, or the user is gone from the portal."""
    return NeedsAdmin("tariff" if error.code.lower() == "access_denied" else "rights", str(error))


def _as_mapping(value: Any, cmd: dict[str, str]) -> dict[str, Any]:
    """Every empty map arrives as ``[]``; a list stands for the commands in their order."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return dict(zip(cmd, value, strict=False))
    return {}


def _extract_rows(result: Any) -> list[Any]:
    """The rows of a page: the result itself, or the list inside it (``{"items": […]}``)."""
    if isinstance(result, dict):
        result = next((value for value in result.values() if isinstance(value, list)), [])
    return result if isinstance(result, list) else []


__all__ = ["MAX_BATCH_SIZE", "BatchRef", "Bitrix24Client", "RestResult", "TokenSource", "Transport"]
