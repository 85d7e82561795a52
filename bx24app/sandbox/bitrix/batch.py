"""`batch`: at most 50 commands, one after the other, with references between them.

S: rest_util/rest server. References are replaced in parsed values by a pattern that eats up to the next white space; what hangs on a
reference is lost, a missing path gives its last existing parent, and any text with `$result[` in it is taken for one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bx24app.sandbox.bitrix import faults, php
from bx24app.sandbox.bitrix.dispatch import times
from bx24app.sandbox.bitrix.registry import METHODS, Hit, Page, RestError, brief
from bx24app.sandbox.bitrix.state import LogEntry
from bx24app.sandbox.bitrix.switches import REFUSE

LENGTH = 50
_REFERENCE = re.compile(r"\$(result|error|total|next|time)(\[\S*|(?=\s|$))")
_STEP = re.compile(r"\[([^\[\]]*)\]")
Run = Callable[[Hit], Awaitable[Any]]


def names(params: dict[str, Any]) -> list[str]:
    """Method names of a batch's commands, in lower case."""
    return [str(text).partition("?")[0].lower() for _, text in _commands(params)]


def _commands(params: dict[str, Any]) -> list[tuple[str, Any]]:
    cmd = params.get("cmd")
    if isinstance(cmd, list):
        return [(str(number), text) for number, text in enumerate(cmd)]
    return [(str(key), text) for key, text in cmd.items()] if isinstance(cmd, dict) else []


def php_array(values: dict[str, Any]) -> Any:
    """A PHP array as JSON shows it: empty or counted from 0 it is a list."""
    if list(values) == [str(number) for number in range(len(values))]:
        return list(values.values())
    return values


async def run(hit: Hit, entry: LogEntry, command: Run) -> dict[str, Any]:
    """Carries out a batch. HTTP 200 even if all its commands fail."""
    halt = php.true(hit.params.get("halt"))
    parts: dict[str, dict[str, Any]] = {"result": {}, "error": {}, "total": {}, "next": {}, "time": {}}
    if not isinstance(hit.params.get("cmd"), dict | list):
        hit.portal.violation("batch", "cmd should be a map or a list")
    for number, (key, text) in enumerate(_commands(hit.params)):
        failed = await _one(hit, entry, command, parts, number, key, str(text))
        if failed and halt:
            break
    return {
        "result": php_array(parts["result"]),
        "result_error": php_array(parts["error"]),
        "result_total": php_array(parts["total"]),
        "result_next": php_array(parts["next"]),
        "result_time": php_array(parts["time"]),
    }


async def _one(
    hit: Hit, entry: LogEntry, command: Run, parts: dict[str, dict[str, Any]], number: int, key: str, text: str
) -> bool:
    name, _, query = text.partition("?")
    method = name.strip().lower()
    given = resolve(php.parse(query), parts) if query else {}
    sub = Hit(hit.portal, method, given, hit.user, hit.app, hit.token, hit.auth_in_url, hit.secure)
    started, begun = hit.portal.now(), time.perf_counter()
    code: str | None = None
    try:
        _allowed(sub, number)
        answer = await command(sub)
        _keep(parts, key, answer)
    except RestError as error:
        code = error.code
        parts["error"][key] = error.body()
    entry.commands.append((METHODS[method].name if method in METHODS else name, brief(given), code))
    parts["time"][key] = _times(sub, started, begun)
    return code is not None


def _times(hit: Hit, started: float, begun: float) -> dict[str, Any]:
    return times(hit, started, begun, hit.method)


def _allowed(hit: Hit, number: int) -> None:
    portal = hit.portal
    if number >= LENGTH:
        portal.violation("batch", f"more than {LENGTH} commands")
        raise RestError("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded", 400)
    if hit.method in ("batch", "upload", "download") or (hit.method in METHODS and not METHODS[hit.method].batch):
        portal.violation(hit.method, "not allowed in a batch")
        raise RestError("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage", 405)
    if portal.switches.faults:
        fault = portal.switches.take(REFUSE, [hit.method], general=False)
        if fault:
            if fault.kind == "expired_token":
                hit.token.expires = 0.0
            raise faults.refusal(fault, portal.now())
    if hit.token.expires < portal.now():
        raise RestError("expired_token", "The access token provided has expired.", 401)


def _keep(parts: dict[str, dict[str, Any]], key: str, answer: Any) -> None:
    if isinstance(answer, Page):
        parts["result"][key] = answer.result
        if answer.total is not None:
            parts["total"][key] = answer.total
        if answer.next is not None:
            parts["next"][key] = answer.next
    else:
        parts["result"][key] = answer


def resolve(value: Any, parts: dict[str, dict[str, Any]]) -> Any:
    """Replaces references in parsed values, deeply."""
    if isinstance(value, dict):
        return {key: resolve(item, parts) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, parts) for item in value]
    if not isinstance(value, str) or "$" not in value:
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return _look(whole, parts)
    return _REFERENCE.sub(lambda match: _text(_look(match, parts)), value)


def _look(match: re.Match[str], parts: dict[str, dict[str, Any]]) -> Any:
    spot: Any = parts[match[1]]
    for step in _STEP.findall(match[2]):
        if isinstance(spot, dict) and step in spot:
            spot = spot[step]
        elif isinstance(spot, list) and step.isdigit() and int(step) < len(spot):
            spot = spot[int(step)]
        else:
            break
    return spot


def _text(value: Any) -> str:
    """A value inside a text, as PHP writes it."""
    if isinstance(value, dict | list):
        return "Array"
    if isinstance(value, bool):
        return "1" if value else ""
    return "" if value is None else str(value)
