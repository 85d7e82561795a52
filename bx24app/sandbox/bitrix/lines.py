"""telephony.externalLine.* and voximplant.line.*."""

from __future__ import annotations

from typing import Any

from bx24app.sandbox.bitrix import php
from bx24app.sandbox.bitrix.registry import CommandContext, access_denied, rest_method
from bx24app.sandbox.bitrix.state import Line

EMPTY_NUMBER = "NUMBER should not be empty"


def _find_line(hit: CommandContext, number: str) -> Line | None:
    return next((one for one in hit.portal.lines.values() if one.number == number and one.app_id == hit.app.id), None)


def _require_line(hit: CommandContext, params: dict[str, Any]) -> Line:
    number = str(params.get("NUMBER") or "").strip()
    if not number:
        raise hit.make_error(EMPTY_NUMBER)
    line = _find_line(hit, number)
    if line is None:
        raise hit.make_error(f"Could not find line with number {number}")
    return line


@rest_method("telephony.externalLine.add", "telephony")
def add_line(hit: CommandContext, params: dict[str, Any]) -> dict[str, int]:
    number = str(params.get("NUMBER") or "").strip()
    if not number:
        raise hit.make_error(EMPTY_NUMBER)
    if _find_line(hit, number):
        raise hit.make_error("Line already exists")
    create = "Y" if params.get("CRM_AUTO_CREATE", "Y") == "Y" else "N"
    line = Line(hit.portal.next_id("line"), hit.app.id, number, str(params.get("NAME") or ""), create)
    hit.portal.lines[line.id] = line
    hit.portal.notify_watchers("line", number=number)
    return {"ID": line.id}


@rest_method("telephony.externalLine.get", "telephony")
def list_lines(hit: CommandContext, params: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"NUMBER": line.number, "NAME": line.name, "CRM_AUTO_CREATE": line.crm_auto_create}
        for line in hit.portal.lines.values()
        if line.app_id == hit.app.id
    ]


@rest_method("telephony.externalLine.update", "telephony")
def update_line(hit: CommandContext, params: dict[str, Any]) -> dict[str, str]:
    if params.get("NAME") is None and params.get("CRM_AUTO_CREATE") is None:
        raise hit.make_error("There are no fields to update")
    line = _require_line(hit, params)
    if params.get("NAME") is not None:
        line.name = str(params["NAME"])
    if params.get("CRM_AUTO_CREATE") is not None:
        line.crm_auto_create = "Y" if params["CRM_AUTO_CREATE"] == "Y" else "N"
    hit.portal.notify_watchers("line", number=line.number)
    return {"ID": str(line.id)}


@rest_method("telephony.externalLine.delete", "telephony")
def delete_line(hit: CommandContext, params: dict[str, Any]) -> list[Any]:
    line = _require_line(hit, params)
    del hit.portal.lines[line.id]
    hit.portal.notify_watchers("line", number=line.number)
    return []


def _check_right(hit: CommandContext) -> None:
    """The telephony permission "manage numbers - modify"."""
    if not hit.user.rights.get("lines", hit.user.admin):
        raise access_denied()


@rest_method("voximplant.line.get", "telephony")
def portal_lines(hit: CommandContext, params: dict[str, Any]) -> list[Any]:
    """Rented and SIP numbers: applications and their lines are not among them."""
    _check_right(hit)
    return []


@rest_method("voximplant.line.outgoing.get", "telephony")
def get_outgoing(hit: CommandContext, params: dict[str, Any]) -> str:
    _check_right(hit)
    return hit.portal.outgoing_line


@rest_method("voximplant.line.outgoing.set", "telephony", upper=True)
def set_outgoing(hit: CommandContext, params: dict[str, Any]) -> int:
    """Always answers 1; an unknown id changes nothing."""
    _check_right(hit)
    wanted = str({key.upper(): value for key, value in params.items()}.get("LINE_ID") or "")
    lines = {line.number for line in hit.portal.lines.values()}
    if wanted in lines or wanted in {f"REST_APP:{one.id}" for one in hit.portal.apps.values()}:
        hit.portal.outgoing_line = wanted
    return 1


@rest_method("voximplant.user.get", "telephony")
def voximplant_user(hit: CommandContext, params: dict[str, Any]) -> Any:
    """An administrator has to confirm this method; here nobody ever does."""
    del params
    raise hit.make_error("Waiting for confirmation", "METHOD_CONFIRM_WAITING", 401)


@rest_method("telephony.call.attachTranscription", "telephony")
def attach_transcription(hit: CommandContext, params: dict[str, Any]) -> dict[str, int]:
    if params.get("CALL_ID") is None:
        raise hit.make_error("CALL_ID should be set")
    messages = params.get("MESSAGES")
    if not isinstance(messages, list | dict):
        raise hit.make_error("MESSAGES should be an array")
    for key, message in enumerate(php.array_values(messages)):
        _check_message(hit, key, message)
    row = hit.portal.by_call.get(str(params["CALL_ID"]))
    if row is None:
        raise hit.make_error(f"Call {params['CALL_ID']} is not found. Is it finished?")
    row.transcript_id = hit.portal.next_id("transcript")
    row.transcript = php.array_values(messages)
    return {"TRANSCRIPT_ID": row.transcript_id}


def _check_message(hit: CommandContext, key: int, message: dict[str, Any]) -> None:
    if message.get("SIDE") not in ("User", "Client"):
        raise hit.make_error(f"MESSAGES[{key}][SIDE] should be either Client or User")
    if php.to_int(message.get("START_TIME")) < 0:
        raise hit.make_error(f"MESSAGES[{key}][START_TIME] should be greater or equal to zero")
    if php.to_int(message.get("STOP_TIME")) <= 0:
        raise hit.make_error(f"MESSAGES[{key}][STOP_TIME] should be greater than zero")
    if not message.get("MESSAGE"):
        raise hit.make_error(f"MESSAGES[{key}][MESSAGE] is empty")
