"""telephony.externalLine.* and voximplant.line.*."""

from __future__ import annotations

from typing import Any

from bx24app.sandbox.bitrix import php
from bx24app.sandbox.bitrix.registry import Hit, denied, method
from bx24app.sandbox.bitrix.state import Line

EMPTY = "NUMBER should not be empty"


def _find(hit: Hit, number: str) -> Line | None:
    return next((one for one in hit.portal.lines.values() if one.number == number and one.app_id == hit.app.id), None)


def _found(hit: Hit, params: dict[str, Any]) -> Line:
    number = str(params.get("NUMBER") or "").strip()
    if not number:
        raise hit.error(EMPTY)
    line = _find(hit, number)
    if line is None:
        raise hit.error(f"Could not find line with number {number}")
    return line


@method("telephony.externalLine.add", "telephony")
def add(hit: Hit, params: dict[str, Any]) -> dict[str, int]:
    number = str(params.get("NUMBER") or "").strip()
    if not number:
        raise hit.error(EMPTY)
    if _find(hit, number):
        raise hit.error("Line already exists")
    create = "Y" if params.get("CRM_AUTO_CREATE", "Y") == "Y" else "N"
    line = Line(hit.portal.next_id("line"), hit.app.id, number, str(params.get("NAME") or ""), create)
    hit.portal.lines[line.id] = line
    hit.portal.tell("line", number=number)
    return {"ID": line.id}


@method("telephony.externalLine.get", "telephony")
def get(hit: Hit, params: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"NUMBER": line.number, "NAME": line.name, "CRM_AUTO_CREATE": line.crm_auto_create}
        for line in hit.portal.lines.values()
        if line.app_id == hit.app.id
    ]


@method("telephony.externalLine.update", "telephony")
def update(hit: Hit, params: dict[str, Any]) -> dict[str, str]:
    if params.get("NAME") is None and params.get("CRM_AUTO_CREATE") is None:
        raise hit.error("There are no fields to update")
    line = _found(hit, params)
    if params.get("NAME") is not None:
        line.name = str(params["NAME"])
    if params.get("CRM_AUTO_CREATE") is not None:
        line.crm_auto_create = "Y" if params["CRM_AUTO_CREATE"] == "Y" else "N"
    hit.portal.tell("line", number=line.number)
    return {"ID": str(line.id)}


@method("telephony.externalLine.delete", "telephony")
def delete(hit: Hit, params: dict[str, Any]) -> list[Any]:
    line = _found(hit, params)
    del hit.portal.lines[line.id]
    hit.portal.tell("line", number=line.number)
    return []


def _manages(hit: Hit) -> None:
    """The telephony permission "manage numbers - modify"."""
    if not hit.user.rights.get("lines", hit.user.admin):
        raise denied()


@method("voximplant.line.get", "telephony")
def portal_lines(hit: Hit, params: dict[str, Any]) -> list[Any]:
    """Rented and SIP numbers: applications and their lines are not among them."""
    _manages(hit)
    return []


@method("voximplant.line.outgoing.get", "telephony")
def outgoing(hit: Hit, params: dict[str, Any]) -> str:
    _manages(hit)
    return hit.portal.outgoing_line


@method("voximplant.line.outgoing.set", "telephony", upper=True)
def set_outgoing(hit: Hit, params: dict[str, Any]) -> int:
    """Always answers 1; an unknown id changes nothing."""
    _manages(hit)
    wanted = str({key.upper(): value for key, value in params.items()}.get("LINE_ID") or "")
    lines = {line.number for line in hit.portal.lines.values()}
    if wanted in lines or wanted in {f"REST_APP:{one.id}" for one in hit.portal.apps.values()}:
        hit.portal.outgoing_line = wanted
    return 1


@method("voximplant.user.get", "telephony")
def voximplant_user(hit: Hit, params: dict[str, Any]) -> Any:
    """An administrator has to confirm this method; here nobody ever does."""
    del params
    raise hit.error("Waiting for confirmation", "METHOD_CONFIRM_WAITING", 401)


@method("telephony.call.attachTranscription", "telephony")
def transcription(hit: Hit, params: dict[str, Any]) -> dict[str, int]:
    if params.get("CALL_ID") is None:
        raise hit.error("CALL_ID should be set")
    messages = params.get("MESSAGES")
    if not isinstance(messages, list | dict):
        raise hit.error("MESSAGES should be an array")
    for key, message in enumerate(php.items(messages)):
        _message(hit, key, message)
    row = hit.portal.by_call.get(str(params["CALL_ID"]))
    if row is None:
        raise hit.error(f"Call {params['CALL_ID']} is not found. Is it finished?")
    row.transcript_id = hit.portal.next_id("transcript")
    row.transcript = php.items(messages)
    return {"TRANSCRIPT_ID": row.transcript_id}


def _message(hit: Hit, key: int, message: dict[str, Any]) -> None:
    if message.get("SIDE") not in ("User", "Client"):
        raise hit.error(f"MESSAGES[{key}][SIDE] should be either Client or User")
    if php.integer(message.get("START_TIME")) < 0:
        raise hit.error(f"MESSAGES[{key}][START_TIME] should be greater or equal to zero")
    if php.integer(message.get("STOP_TIME")) <= 0:
        raise hit.error(f"MESSAGES[{key}][STOP_TIME] should be greater than zero")
    if not message.get("MESSAGE"):
        raise hit.error(f"MESSAGES[{key}][MESSAGE] is empty")
