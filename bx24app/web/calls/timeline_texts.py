"""Words of the time line: notifications, commands and answers as a person reads them."""

from __future__ import annotations

import json
import re
from typing import Any

from flask_babel import gettext, lazy_gettext

from bx24app.bitrix24 import commands
from bx24app.calls.journal.timeline import mango_method
from bx24app.calls.replay import UNREADABLE, UNRESOLVED
from bx24app.domain.calls.command_json import from_json
from bx24app.domain.calls.ledger import USER_INACTIVE
from bx24app.mango import codes
from bx24app.models import Delivery, Notification
from bx24app.web.base.i18n import current_language
from bx24app.web.base.parsing import parse_int

_MISSING_FIELD = re.compile(r"([\w.\[\]]+):? is missing\.?")
ATTACH_METHOD = "telephony.externalCall.attachRecord"
_NOTIFICATION_TEXTS: dict[str, Any] = {
    "events/call": lazy_gettext("The PBX: state of a leg"),
    "events/summary": lazy_gettext("The PBX: summary of the call"),
    "events/recording": lazy_gettext("The PBX: recording"),
    "events/record/added": lazy_gettext("The PBX: recording is stored"),
    "call_start": lazy_gettext("The PBX: call begins"),
    "call_answer": lazy_gettext("The PBX: call is answered"),
    "call_end": lazy_gettext("The PBX: call ends"),
    "call_record": lazy_gettext("The PBX: recording"),
    "call_transfer": lazy_gettext("The PBX: transfer"),
    "result/callback": lazy_gettext("The PBX: answer to our order of a call"),
    "ONEXTERNALCALLSTART": lazy_gettext("Bitrix24: an employee clicked on a number"),
    "ONEXTERNALCALLBACKSTART": lazy_gettext("Bitrix24: a client ordered a callback"),
}
_STATE_TEXTS: dict[str, Any] = {
    "Appeared": lazy_gettext("appeared"),
    "Connected": lazy_gettext("connected"),
    "Disconnected": lazy_gettext("ended"),
    "OnHold": lazy_gettext("on hold"),
    "Started": lazy_gettext("started"),
    "Completed": lazy_gettext("completed"),
}
_COMMAND_TEXTS: dict[str, Any] = {
    "Register": lazy_gettext("Register the call"),
    "ShowCard": lazy_gettext("Open the call card"),
    "HideCard": lazy_gettext("Close the call card"),
    "CreateRecord": lazy_gettext("Create a record in the CRM"),
    "Finish": lazy_gettext("Finish the call"),
    "Reassign": lazy_gettext("Change the responsible"),
    "Bind": lazy_gettext("Bind the call to a record"),
    "AddTodo": lazy_gettext("Create a to-do"),
    "RetitleTodo": lazy_gettext("Rename a to-do"),
    "CloseTodo": lazy_gettext("Close a to-do"),
    "AddComment": lazy_gettext("Write a comment into the time line"),
    "SetActivityUser": lazy_gettext("Correct the employee of the call"),
    "ReadClient": lazy_gettext("Read the client's records"),
    "ReadDeals": lazy_gettext("Read the client's deals"),
    "ReadOpen": lazy_gettext("Read the client's open records"),
    "ReadDay": lazy_gettext("Read whether an employee is at work"),
    "ReadTodo": lazy_gettext("Read whether a to-do is still open"),
    "Notify": lazy_gettext("Notify an employee"),
    "Dial": lazy_gettext("Order the call at Mango Office"),
    "Route": lazy_gettext("Send the waiting client to their manager"),
}
_CODE_TEXTS: dict[str, Any] = {
    USER_INACTIVE: lazy_gettext("the employee is dismissed or unknown in Bitrix24; somebody else takes their place"),
    UNRESOLVED: lazy_gettext("not sent: what it builds on was refused"),
    UNREADABLE: lazy_gettext("Bitrix24 answered in an unknown form"),
    "ACCESS_DENIED": lazy_gettext("Bitrix24 does not allow it: a right is missing"),
    "insufficient_scope": lazy_gettext("Bitrix24 does not allow it: the application lacks a permission"),
    "QUERY_LIMIT_EXCEEDED": lazy_gettext("too many requests just now"),
    "OVERLOAD_LIMIT": lazy_gettext("Bitrix24 has stopped the application because of its load"),
}
_ENTITY_NAMES: dict[str, Any] = {
    "lead": lazy_gettext("lead"),
    "deal": lazy_gettext("deal"),
    "contact": lazy_gettext("contact"),
    "company": lazy_gettext("company"),
}
_ANSWER_TEXTS: tuple[tuple[str, Any], ...] = (
    ("call_id", lazy_gettext("call")),
    ("id", lazy_gettext("record")),
    ("activity_id", lazy_gettext("activity")),
)


def describe_notification(row: Notification) -> str:
    """What was said to us."""
    return str(_NOTIFICATION_TEXTS.get(row.name, row.name))


def describe_command(row: Delivery) -> str:
    """What we asked for."""
    return str(_COMMAND_TEXTS.get(row.kind, row.kind))


def describe_reason(row: Delivery) -> str:
    """Code and reason of an answer, in words where the code is known."""
    known = str(_CODE_TEXTS[row.code]) if row.code in _CODE_TEXTS else ""
    said = ": ".join(part for part in (row.code, row.reason) if part)
    return f"{known} ({said})" if known and said else known or said


def describe_rejection(reason: str | None) -> str:
    """Why a notification could not be understood. The parser's own words name fields of Mango's documentation, so they stay behind ours."""
    if not reason:
        return ""
    missing = _MISSING_FIELD.fullmatch(reason)
    if missing:
        return str(gettext("The field “%(field)s” is missing.", field=missing[1]))
    return str(gettext("It is not as Mango Office documents it (%(reason)s)", reason=reason.rstrip(".")))


def command_method(row: Delivery) -> str:
    """The method that carries a command out; empty where the command is of another version."""
    try:
        command = from_json(row.kind, row.command)
        return mango_method(command) or commands.build_request(command, str)[0]
    except (KeyError, TypeError, ValueError):
        return ""


def describe_answer(row: Delivery) -> str:
    """What the answer told, in a few words."""
    held = row.answer or {}
    parts = [
        f"{words} {held[name]}" for name, words in _ANSWER_TEXTS if isinstance(held.get(name), int | str) and held[name]
    ]
    record = held.get("record")
    if isinstance(record, dict):
        parts.append(gettext("client: %(entity)s %(id)s", entity=_entity_name(record), id=record.get("id")))
    parts += [
        gettext("created: %(entity)s %(id)s", entity=_entity_name(one), id=one.get("id"))
        for one in held.get("created") or ()
        if isinstance(one, dict)
    ]
    return ", ".join(str(part) for part in parts)


def _entity_name(record: dict[str, Any]) -> str:
    """The kind of a record; a smart process by its number."""
    name = str(record.get("entity"))
    return str(_ENTITY_NAMES.get(name, gettext("item of process %(entity)s", entity=name)))


def describe_recording_problem(problem: str) -> str:
    """Why a recording is not there yet. Of a bare code of the PBX: what it means."""
    return f"{codes.describe_code(int(problem), current_language())} ({problem})" if problem.isdecimal() else problem


def describe_body(body: str) -> str:
    """What a notification tells in a word: the state, whose leg it is, why it ended."""
    try:
        held = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(held, dict):
        return ""
    state = held.get("call_state") or held.get("recording_state")
    parts = [str(_STATE_TEXTS.get(str(state), state)) if state else "", _leg_number(held), _end_reason(held)]
    return ", ".join(part[:120] for part in parts if part)


def _leg_number(held: dict[str, Any]) -> str:
    to = held.get("to")
    found = (to.get("extension") or to.get("number")) if isinstance(to, dict) else held.get("extension")
    return str(found) if found else ""


def _end_reason(held: dict[str, Any]) -> str:
    code = held.get("disconnect_reason") or (held.get("result") if "command_id" in held else None)
    number = parse_int(str(code or ""))
    return "" if number is None or number in (0, 1000) else f"{codes.describe_code(number, current_language())} ({number})"
