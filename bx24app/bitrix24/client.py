"""The REST client of one portal: single calls, batches, lists, uploads.

It spends the portal's request budget, refreshes the token once, follows a changed domain once, and turns every answer
into a result or into one of the errors of `errors`. Requests leave through `transport`. Use cases get a client from
`portals.clients`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from bx24app.bitrix24 import batch_encoding, error_table, errors
from bx24app.bitrix24.answer_numbers import read_positive
from bx24app.bitrix24.answer_size import bounds_of
from bx24app.bitrix24.budget import BUDGET_USED_UP, Priority, RequestBudget
from bx24app.bitrix24.errors import AccessDenied, AnswerLost, NeedsAdmin, NotSent, PortalMoved, Refused, TokenExpired
from bx24app.bitrix24.method_load import PortalMethodLoad
from bx24app.bitrix24.transport import MultipartBody, PortalResponse, Transport
from bx24app.domain.host_names import to_ascii_url

_log = structlog.get_logger(__name__)

MAX_BATCH_SIZE: Final = 50
"""How many commands a batch takes (official page "batch")."""
MAX_PAGE_WAIT: Final = 60.0
"""Seconds that a page of a long list waits for the budget at most."""
_JSON_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json"}
_ID_PAGED_METHODS: Final = {
    "crm.item.list": ("filter", "order", "id"),
    "voximplant.statistic.get": ("FILTER", None, "ID"),
}
"""List methods that can page by id -> (name of the filter parameter, of the order parameter, id field).

Paging by id is fast, and complete while rows are added and deleted."""


@dataclass(frozen=True, slots=True)
class RestResult:
    """A success. Only lists have `next` and `total`; `time` is what the portal measured."""

    result: Any
    next: int | None = None
    total: int | None = None
    time: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where the client gets its token from. All three functions may take a lock and use the database; none is called
    during HTTP.
    """

    get_token: Callable[[], str]
    refresh_token: Callable[[str], str]
    """Takes the token that was refused, returns a fresh one."""
    follow_redirect: Callable[[str], str]
    """Takes the address of a redirect, returns the new REST base after it was verified and stored."""


class Bitrix24Client:
    """REST of one portal. Threads may share a client.

    Every method raises `Later` (`NotSent`, `AnswerLost`), `NeedsAdmin`, `Gone` or `Refused`, and no other error of
    `errors`.
    """

    def __init__(
        self,
        endpoint: str,
        token_source: TokenSource,
        budget: RequestBudget,
        transport: Transport,
        method_load: PortalMethodLoad | None = None,
    ) -> None:
        self.endpoint, self.budget = endpoint.rstrip("/") + "/", budget
        self._token_source, self._transport = token_source, transport
        self.method_load = method_load or PortalMethodLoad()

    def call(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        priority: Priority = Priority.CARD,
        patience: float = 0.0,
        leave_by: float | None = None,
    ) -> RestResult:
        """Call one method. If the budget is used up, wait up to `patience` seconds, then raise `NotSent` with the
        seconds to wait.

        `leave_by`: the moment of the monotonic clock after which the request must not leave; then `NotSent` is raised.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                self._check_method_load([method], priority)
                answer = self._send_with_token(method, params or {}, priority, leave_by)
            except AccessDenied as denied:
                raise self._explain_denial(method, denied) from None
            except NotSent as error:
                if not error.is_rate_limited or time.monotonic() + (error.retry_after or 1.0) > deadline:
                    raise
                time.sleep(error.retry_after or 1.0)
            else:
                self.method_load.record_time(method, answer.get("time"), time.time())
                following, total = read_positive(answer.get("next")), read_positive(answer.get("total"))
                return RestResult(answer.get("result"), following, total, answer.get("time"))

    def batch(
        self,
        commands: list[tuple[str, str, dict[str, Any]]],
        halt: bool = False,
        priority: Priority = Priority.CARD,
        leave_by: float | None = None,
    ) -> dict[str, RestResult | errors.PortalError]:
        """Send up to 50 (key, method, params) in one request; the portal runs them in their order.

        Returns key -> result or error of each command that was reached; with `halt` an error ends the batch. The batch
        as a whole raises like `call`, with the same `leave_by`.
        """
        if len(commands) > MAX_BATCH_SIZE:
            raise ValueError(f"a batch takes {MAX_BATCH_SIZE} commands, not {len(commands)}")
        queries = {key: batch_encoding.encode_command(key, method, params) for key, method, params in commands}
        methods = {key: method for key, method, _ in commands}
        self._check_method_load(methods.values(), priority)
        try:
            params = {"halt": int(halt), "cmd": queries}
            answer = self._send_with_token("batch", params, priority, leave_by).get("result")
        except AccessDenied as denied:
            raise self._explain_denial("batch", denied) from None
        if not isinstance(answer, dict) or "result" not in answer:
            raise AnswerLost("the portal's answer to a batch has an unknown shape")
        parts = {
            name: batch_encoding.as_mapping(answer.get(name), queries)
            for name in ("result", "result_error", "result_next", "result_total")
        }
        following, totals = parts["result_next"], parts["result_total"]
        results: dict[str, RestResult | errors.PortalError] = {
            key: RestResult(value, read_positive(following.get(key)), read_positive(totals.get(key)))
            for key, value in parts["result"].items()
        }
        for key, times in batch_encoding.as_mapping(answer.get("result_time"), queries).items():
            self.method_load.record_time(methods.get(key, ""), times, time.time())
        for key, error in parts["result_error"].items():
            results[key] = self._command_error(error, methods.get(key, ""))
        return results

    def iter_rows(
        self, method: str, params: dict[str, Any] | None = None, priority: Priority = Priority.BACKGROUND
    ) -> Iterator[Any]:
        """Yield every row of a list method, 50 a page, by id where the method can. Waits for the budget between pages.
        """
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
        """POST a file to an upload address of this portal, streamed from disk. The address is a secret and never
        logged.
        """
        own, target = urlsplit(to_ascii_url(self.endpoint)), urlsplit(to_ascii_url(url))
        if target.hostname != own.hostname:
            raise Refused("UPLOAD_HOST", "the portal named an upload address on another host")
        if target.scheme == "http" and own.scheme == "https":  # a portal behind a proxy that ends TLS
            url = target._replace(scheme="https", netloc=own.netloc).geturl()
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
        """Call `profile`, the simplest method. An answer means that grant, tariff and application are in order.

        Raises Later, NeedsAdmin or Gone: what is wrong.
        """
        try:
            profile = self._send_with_token("profile", {}, priority).get("result")
        except (AccessDenied, Refused) as error:
            raise error_table.profile_error(error) from None
        return profile if isinstance(profile, dict) else {}

    def _explain_denial(self, method: str, denied: AccessDenied) -> errors.PortalError:
        """Are rights missing, or the tariff? If even `profile` is denied, it is the tariff or the grant's user."""
        try:
            self.probe_access(Priority.CARD)
        except (NeedsAdmin, errors.Gone) as error:
            return error
        except errors.Later as error:
            text = f"{denied}; the reason cannot be asked now"
            return NotSent(text, error.retry_after, is_rate_limited=error.is_rate_limited)
        return error_table.missing_rights_error(method, denied)

    def _command_error(self, error: Any, method: str) -> errors.PortalError:
        """The error of one command of a batch. REST as such works, or the batch would have no answer."""
        problem = error_table.classify_error(error if isinstance(error, dict) else {"error": str(error)}, method=method)
        if isinstance(problem, TokenExpired):
            return NotSent("the token expired in the middle of a batch", 0.0)
        if isinstance(problem, AccessDenied):
            return error_table.missing_rights_error(method, problem)
        if isinstance(problem, NotSent) and problem.is_rate_limited:
            self.budget.block_for(problem.retry_after or 1.0)
        return problem

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
                raise NotSent("the request waited too long for its turn", 0.0)
            try:
                url = self.endpoint + method
                reply = self._transport.post(url, params, _JSON_HEADERS, token, bounds_of(method))
                milliseconds = round((time.monotonic() - started) * 1e3)
                _log.debug("portal asked", method=method, status=reply.status, ms=milliseconds)
                return self._require_success(reply, method)
            except TokenExpired as error:
                if refreshed:
                    raise NeedsAdmin("authorise", f"the portal refuses a fresh token: {error}") from None
                token = _query_token_source(partial(self._token_source.refresh_token, token))
                refreshed = True
            except PortalMoved as redirect:
                if moved:
                    raise NotSent("the portal redirects again and again") from None
                address = _query_token_source(partial(self._token_source.follow_redirect, redirect.location))
                self.endpoint, moved = address.rstrip("/") + "/", True

    def _iter_rows_by_id(self, method: str, params: dict[str, Any], priority: Priority) -> Iterator[Any]:
        filter_name, order_name, field = _ID_PAGED_METHODS[method]
        order = {order_name: {field: "ASC"}} if order_name else {"SORT": field, "ORDER": "ASC"}
        last = 0
        while True:
            page_filter = {**(params.get(filter_name) or {}), f">{field}": last}
            page = {**params, **order, filter_name: page_filter, "start": -1}
            rows = _extract_rows(self.call(method, page, priority, MAX_PAGE_WAIT).result)
            yield from rows
            newest = max((read_positive(row.get(field)) or 0 for row in rows if isinstance(row, dict)), default=0)
            if len(rows) < MAX_BATCH_SIZE or newest <= last:
                return
            last = newest

    def _check_method_load(self, methods: Iterable[str], priority: Priority) -> None:
        wait = self.method_load.seconds_until_free(methods, priority, time.time())
        if wait > 0:
            raise NotSent("the portal's working time for this method is nearly used up", wait, is_rate_limited=True)

    def _acquire_budget(self, priority: Priority) -> None:
        wait = self.budget.acquire(priority)
        if wait > 0:
            raise NotSent(BUDGET_USED_UP, wait, is_rate_limited=True, is_budget_used_up=True)

    def _require_success(self, reply: PortalResponse, method: str) -> dict[str, Any]:
        problem = error_table.classify_reply(reply, method)
        if problem is None:
            answer: dict[str, Any] = reply.body
            return answer
        if isinstance(problem, NotSent) and problem.is_rate_limited:
            self.budget.block_for(problem.retry_after or 1.0)
        raise problem


def _query_token_source(question: Callable[[], str]) -> str:
    """Ask about the grant. Whatever fails here, the portal's command was not executed."""
    try:
        return question()
    except AnswerLost as error:
        raise NotSent(str(error), error.retry_after, cause=error.cause) from None
    except (Refused, TokenExpired) as error:
        raise NeedsAdmin("authorise", str(error)) from None


def _extract_rows(result: Any) -> list[Any]:
    """The rows of a page: the result itself, or the list inside it (``{"items": […]}``)."""
    if isinstance(result, dict):
        result = next((value for value in result.values() if isinstance(value, list)), [])
    return result if isinstance(result, list) else []
