"""The methods telephony.externalLine.*, voximplant.line.*, voximplant.user.get and telephony.call.attachTranscription.

An application sees and changes only its own external lines.
"""

from __future__ import annotations

from typing import Any

from bx24app.sandbox.bitrix import php
from bx24app.sandbox.bitrix.calls import MAX_LINE_BYTES
from bx24app.sandbox.bitrix.registry import CommandContext, access_denied, rest_method
from bx24app.sandbox.bitrix.state import Line

EMPTY_NUMBER = "NUMBER should not be empty"


def _find_line(context: CommandContext, number: str) -> Line | None:
    lines = (line for line in context.portal.lines.values() if line.number == number and line.app_id == context.app.id)
    return next(lines, None)


def _require_line(context: CommandContext, params: dict[str, Any]) -> Line:
    number = str(params.get("NUMBER") or "").strip()
    if not number:
        raise context.make_error(EMPTY_NUMBER)
    line = _find_line(context, number)
    if line is None:
        raise context.make_error(f"Could not find line with number {number}")
    return line


@rest_method("telephony.externalLine.add", "telephony")
def add_line(context: CommandContext, params: dict[str, Any]) -> dict[str, int]:
    number = str(params.get("NUMBER") or "").strip()
    if not number:
        raise context.make_error(EMPTY_NUMBER)
    if len(number.encode(errors="replace")) > MAX_LINE_BYTES:
        context.portal.add_violation(context.method, f"NUMBER is longer than {MAX_LINE_BYTES} bytes: {number}")
    if _find_line(context, number):
        raise context.make_error("Line already exists")
    create = "Y" if params.get("CRM_AUTO_CREATE", "Y") == "Y" else "N"
    line = Line(context.portal.next_id("line"), context.app.id, number, str(params.get("NAME") or ""), create)
    context.portal.lines[line.id] = line
    context.portal.notify_watchers("line", number=number)
    return {"ID": line.id}


@rest_method("telephony.externalLine.get", "telephony")
def list_lines(context: CommandContext, params: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"NUMBER": line.number, "NAME": line.name, "CRM_AUTO_CREATE": line.crm_auto_create}
        for line in context.portal.lines.values()
        if line.app_id == context.app.id
    ]


@rest_method("telephony.externalLine.update", "telephony")
def update_line(context: CommandContext, params: dict[str, Any]) -> dict[str, str]:
    if params.get("NAME") is None and params.get("CRM_AUTO_CREATE") is None:
        raise context.make_error("There are no fields to update")
    line = _require_line(context, params)
    if params.get("NAME") is not None:
        line.name = str(params["NAME"])
    if params.get("CRM_AUTO_CREATE") is not None:
        line.crm_auto_create = "Y" if params["CRM_AUTO_CREATE"] == "Y" else "N"
    context.portal.notify_watchers("line", number=line.number)
    return {"ID": str(line.id)}


@rest_method("telephony.externalLine.delete", "telephony")
def delete_line(context: CommandContext, params: dict[str, Any]) -> list[Any]:
    line = _require_line(context, params)
    del context.portal.lines[line.id]
    context.portal.notify_watchers("line", number=line.number)
    return []


def _check_right(context: CommandContext) -> None:
    """Checks the telephony permission "manage numbers - modify"."""
    if not context.user.rights.get("lines", context.user.admin):
        raise access_denied()


@rest_method("voximplant.line.get", "telephony")
def portal_lines(context: CommandContext, params: dict[str, Any]) -> list[Any]:
    """Rented and SIP numbers. The lines of applications are not among them, so the list is empty."""
    _check_right(context)
    return []


@rest_method("voximplant.line.outgoing.get", "telephony")
def get_outgoing(context: CommandContext, params: dict[str, Any]) -> str:
    _check_right(context)
    return context.portal.outgoing_line


@rest_method("voximplant.line.outgoing.set", "telephony", upper=True)
def set_outgoing(context: CommandContext, params: dict[str, Any]) -> int:
    """Always returns 1, even for an unknown id, which changes nothing."""
    _check_right(context)
    wanted = str({key.upper(): value for key, value in params.items()}.get("LINE_ID") or "")
    lines = {line.number for line in context.portal.lines.values()}
    if wanted in lines or wanted in {f"REST_APP:{app.id}" for app in context.portal.apps.values()}:
        context.portal.outgoing_line = wanted
    return 1


@rest_method("voximplant.user.get", "telephony")
def voximplant_user(context: CommandContext, params: dict[str, Any]) -> Any:
    """Always refused: an administrator has to confirm this method, and in the sandbox nobody does."""
    del params
    raise context.make_error("Waiting for confirmation", "METHOD_CONFIRM_WAITING", 401)


@rest_method("telephony.call.attachTranscription", "telephony")
def attach_transcription(context: CommandContext, params: dict[str, Any]) -> dict[str, int]:
    if params.get("CALL_ID") is None:
        raise context.make_error("CALL_ID should be set")
    messages = params.get("MESSAGES")
    if not isinstance(messages, list | dict):
        raise context.make_error("MESSAGES should be an array")
    for key, message in enumerate(php.array_values(messages)):
        _check_message(context, key, message)
    row = context.portal.by_call.get(str(params["CALL_ID"]))
    if row is None:
        raise context.make_error(f"Call {params['CALL_ID']} is not found. Is it finished?")
    row.transcript_id = context.portal.next_id("transcript")
    row.transcript = php.array_values(messages)
    return {"TRANSCRIPT_ID": row.transcript_id}


def _check_message(context: CommandContext, key: int, message: dict[str, Any]) -> None:
    if message.get("SIDE") not in ("User", "Client"):
        raise context.make_error(f"MESSAGES[{key}][SIDE] should be either Client or User")
    if php.to_int(message.get("START_TIME")) < 0:
        raise context.make_error(f"MESSAGES[{key}][START_TIME] should be greater or equal to zero")
    if php.to_int(message.get("STOP_TIME")) <= 0:
        raise context.make_error(f"MESSAGES[{key}][STOP_TIME] should be greater than zero")
    if not message.get("MESSAGE"):
        raise context.make_error(f"MESSAGES[{key}][MESSAGE] is empty")
