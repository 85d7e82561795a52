"""The method `batch`: up to 50 commands, carried out one after the other, with references between them.

S: rest_util/rest server. References are replaced in the parsed values. A reference extends to the next white space,
so text attached to it is lost. A path that does not exist yields its last existing parent. Any text that contains
`$result[` counts as a reference.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bx24app.sandbox.bitrix import faults, php, security_filter
from bx24app.sandbox.bitrix.dispatch import time_block
from bx24app.sandbox.bitrix.registry import METHODS, CommandContext, ListPage, RestError, shorten_params
from bx24app.sandbox.bitrix.state import LogEntry
from bx24app.sandbox.bitrix.switches import REFUSE_KINDS
from bx24app.sandbox.bitrix.work_seconds import RequestCut

MAX_COMMANDS = 50
_REFERENCE = re.compile(r"\$(result|error|total|next|time)(\[\S*|(?=\s|$))")
_STEP = re.compile(r"\[([^\[\]]*)\]")
CommandRunner = Callable[[CommandContext], Awaitable[Any]]


def command_names(params: dict[str, Any]) -> list[str]:
    """The method names of the commands of a batch, in lower case."""
    return [str(text).partition("?")[0].lower() for _, text in _list_commands(params)]


def _list_commands(params: dict[str, Any]) -> list[tuple[str, Any]]:
    cmd = params.get("cmd")
    if isinstance(cmd, list):
        return [(str(number), text) for number, text in enumerate(cmd)]
    return [(str(key), text) for key, text in cmd.items()] if isinstance(cmd, dict) else []


def php_array(values: dict[str, Any]) -> Any:
    """A PHP array as JSON shows it: a list if it is empty or its keys count up from 0, else a map."""
    if list(values) == [str(number) for number in range(len(values))]:
        return list(values.values())
    return values


async def run_batch(context: CommandContext, entry: LogEntry, command: CommandRunner) -> dict[str, Any]:
    """Carries out a batch. The answer is HTTP 200 even if all commands fail."""
    halt = php.is_true(context.params.get("halt"))
    parts: dict[str, dict[str, Any]] = {"result": {}, "error": {}, "total": {}, "next": {}, "time": {}}
    if not isinstance(context.params.get("cmd"), dict | list):
        context.portal.add_violation("batch", "cmd should be a map or a list")
    for number, (key, text) in enumerate(_list_commands(context.params)):
        failed = await _run_one(context, entry, command, parts, number, key, str(text))
        if failed and halt:
            break
    return {
        "result": php_array(parts["result"]),
        "result_error": php_array(parts["error"]),
        "result_total": php_array(parts["total"]),
        "result_next": php_array(parts["next"]),
        "result_time": php_array(parts["time"]),
    }


async def _run_one(
    context: CommandContext,
    entry: LogEntry,
    command: CommandRunner,
    parts: dict[str, dict[str, Any]],
    number: int,
    key: str,
    text: str,
) -> bool:
    name, _, query = text.partition("?")
    method = name.strip().lower()
    given = resolve_references(php.parse_query(query), parts) if query else {}
    if context.portal.switches.filters_batches:
        given = security_filter.filter_value(given)
    sub = CommandContext(
        context.portal, method, given, context.user, context.app, context.token, context.auth_in_url, context.secure,
        clock=context.clock,
    )  # fmt: skip
    started, begun = context.portal.now(), time.perf_counter()
    code: str | None = None
    try:
        _check_allowed(sub, number)
        answer = await command(sub)
        _store_answer(parts, key, answer)
    except RestError as error:
        code = error.code
        parts["error"][key] = error.error_body()
    except RequestCut:
        code = "cut"
        raise
    finally:
        entry.commands.append((METHODS[method].name if method in METHODS else name, shorten_params(given), code))
    parts["time"][key] = _time_block(sub, started, begun)
    return code is not None


def _time_block(context: CommandContext, started: float, begun: float) -> dict[str, Any]:
    return time_block(context, started, begun, context.method)


def _check_allowed(context: CommandContext, number: int) -> None:
    portal = context.portal
    if number >= MAX_COMMANDS:
        portal.add_violation("batch", f"more than {MAX_COMMANDS} commands")
        raise RestError("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded", 400)
    method = METHODS.get(context.method)
    if context.method in ("batch", "upload", "download") or (method and not method.may_batch):
        portal.add_violation(context.method, "not allowed in a batch")
        raise RestError("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage", 405)
    if portal.switches.faults:
        fault = portal.switches.take_fault(REFUSE_KINDS, [context.method], general=False)
        if fault:
            if fault.kind == "expired_token":
                context.token.expires = 0.0
            raise faults.refusal_error(fault, portal.now())
    if context.token.expires < portal.now():
        raise RestError("expired_token", "The access token provided has expired.", 401)


def _store_answer(parts: dict[str, dict[str, Any]], key: str, answer: Any) -> None:
    if isinstance(answer, ListPage):
        parts["result"][key] = answer.result
        if answer.total is not None:
            parts["total"][key] = answer.total
        if answer.next is not None:
            parts["next"][key] = answer.next
    else:
        parts["result"][key] = answer


def resolve_references(value: Any, parts: dict[str, dict[str, Any]]) -> Any:
    """Replaces references in parsed values, at every depth."""
    if isinstance(value, dict):
        return {key: resolve_references(item, parts) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve_references(item, parts) for item in value]
    if not isinstance(value, str) or "$" not in value:
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return _follow_reference(whole, parts)
    return _REFERENCE.sub(lambda match: _php_text(_follow_reference(match, parts)), value)


def _follow_reference(match: re.Match[str], parts: dict[str, dict[str, Any]]) -> Any:
    spot: Any = parts[match[1]]
    for step in _STEP.findall(match[2]):
        if isinstance(spot, dict) and step in spot:
            spot = spot[step]
        elif isinstance(spot, list) and step.isdigit() and int(step) < len(spot):
            spot = spot[int(step)]
        else:
            break
    return spot


def _php_text(value: Any) -> str:
    """A value inserted into a text, as PHP writes it."""
    if isinstance(value, dict | list):
        return "Array"
    if isinstance(value, bool):
        return "1" if value else ""
    return "" if value is None else str(value)
