"""Texts of the timeline: notifications, commands and answers as a person reads them.

The lists of what is undelivered use them too.
"""

from __future__ import annotations

import json
import re
from typing import Any

from flask_babel import gettext, lazy_gettext

from bx24app.calls.replay import UNRESOLVED
from bx24app.domain.calls.ledger import UNREADABLE, USER_INACTIVE
from bx24app.mango import codes
from bx24app.models import Delivery, Notification
from bx24app.web.base.i18n import current_language
from bx24app.web.base.parsing import parse_int

_MISSING_FIELD = re.compile(r"([\w.\[\]]+):? is missing\.?")
_NOTIFICATION_TEXTS: dict[str, Any] = {
    "events/call": lazy_gettext("PBX: call state"),
    "events/summary": lazy_gettext("PBX: call summary"),
    "events/recording": lazy_gettext("PBX: recording"),
    "events/record/added": lazy_gettext("PBX: recording stored"),
    "call_start": lazy_gettext("PBX: call started"),
    "call_answer": lazy_gettext("PBX: call answered"),
    "call_end": lazy_gettext("PBX: call ended"),
    "call_record": lazy_gettext("PBX: recording"),
    "call_transfer": lazy_gettext("PBX: transfer"),
    "result/callback": lazy_gettext("PBX: answer to a call request"),
    "ONEXTERNALCALLSTART": lazy_gettext("Bitrix24: an employee clicked a number"),
    "ONEXTERNALCALLBACKSTART": lazy_gettext("Bitrix24: a client requested a callback"),
}
_STATE_TEXTS: dict[str, Any] = {
    "Appeared": lazy_gettext("ringing"),
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
    "Reassign": lazy_gettext("Change the person responsible"),
    "Bind": lazy_gettext("Link the call to a record"),
    "AddTodo": lazy_gettext("Create a to-do"),
    "RetitleTodo": lazy_gettext("Rename a to-do"),
    "CloseTodo": lazy_gettext("Close a to-do"),
    "AddComment": lazy_gettext("Add a comment to the timeline"),
    "SetActivityUser": lazy_gettext("Correct the employee of the call"),
    "ReadClient": lazy_gettext("Find the client in the CRM"),
    "ReadDeals": lazy_gettext("Find the client's deals"),
    "ReadOpen": lazy_gettext("Find the client's open leads and deals"),
    "ReadDay": lazy_gettext("Check whether an employee is at work"),
    "ReadTodo": lazy_gettext("Check whether a to-do is still open"),
    "Notify": lazy_gettext("Notify an employee"),
    "Dial": lazy_gettext("Place the call through Mango Office"),
    "Route": lazy_gettext("Connect the waiting client to their manager"),
}
_REFUSED_LOOKUP_TEXTS: dict[str, Any] = {
    "Route": lazy_gettext("the call went its usual way"),
    "ReadClient": lazy_gettext("the call went on without this answer"),
    "ReadDeals": lazy_gettext("rules that are tried on this call do not know the client's deals"),
    "ReadOpen": lazy_gettext("it is not known whether the client has open ones, so no further one was created"),
    "ReadDay": lazy_gettext("the employee counts as being at work"),
    "ReadTodo": lazy_gettext("it is not known whether it is still open, so a new to-do was created"),
}
"""What a call does without the answer of a look-up that the portal refused."""
_CODE_TEXTS: dict[str, Any] = {
    USER_INACTIVE: lazy_gettext("the employee is dismissed or unknown in Bitrix24; another one is used instead"),
    UNRESOLVED: lazy_gettext("not sent: a step that it depends on was refused"),
    UNREADABLE: lazy_gettext("Bitrix24 sent an unexpected answer"),
    "ACCESS_DENIED": lazy_gettext("Bitrix24 denied access: a right is missing"),
    "insufficient_scope": lazy_gettext("Bitrix24 denied access: the application lacks a permission"),
    "QUERY_LIMIT_EXCEEDED": lazy_gettext("too many requests at the moment"),
    "OVERLOAD_LIMIT": lazy_gettext("Bitrix24 has blocked the application because of its load"),
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
    """What a notification reports."""
    return str(_NOTIFICATION_TEXTS.get(row.name, row.name))


def describe_command(row: Delivery) -> str:
    """What a command asks for."""
    return str(_COMMAND_TEXTS.get(row.kind, row.kind))


def describe_reason(row: Delivery) -> str:
    """Code and reason of an answer, in words where the code is known."""
    known = str(_CODE_TEXTS[row.code]) if row.code in _CODE_TEXTS else ""
    answer = ": ".join(part for part in (row.code, row.reason) if part and row.code != UNRESOLVED)
    return f"{known} ({answer})" if known and answer else known or answer


def describe_missing_answer(row: Delivery) -> str:
    """What the call did without the answer of this look-up; empty for other commands."""
    return str(_REFUSED_LOOKUP_TEXTS.get(row.kind, ""))


def describe_rejection(reason: str | None) -> str:
    """Why a notification could not be read.

    The parser's own words name fields of Mango's documentation, so they follow in brackets.
    """
    if not reason:
        return ""
    missing = _MISSING_FIELD.fullmatch(reason)
    if missing:
        return str(gettext("The field “%(field)s” is missing.", field=missing[1]))
    return str(gettext("It does not match Mango Office's documentation (%(reason)s)", reason=reason.rstrip(".")))


def describe_answer(row: Delivery) -> str:
    """What the answer contains, in a few words."""
    answer = row.answer or {}
    parts = [
        f"{text} {answer[name]}"
        for name, text in _ANSWER_TEXTS
        if isinstance(answer.get(name), int | str) and answer[name]
    ]
    record = answer.get("record")
    if isinstance(record, dict):
        parts.append(gettext("client: %(entity)s %(id)s", entity=_entity_name(record), id=record.get("id")))
    parts += [
        gettext("created: %(entity)s %(id)s", entity=_entity_name(created), id=created.get("id"))
        for created in answer.get("created") or ()
        if isinstance(created, dict)
    ]
    return ", ".join(str(part) for part in parts)


def _entity_name(record: dict[str, Any]) -> str:
    """The kind of a record; of a smart process, its number."""
    name = str(record.get("entity"))
    return str(_ENTITY_NAMES.get(name, gettext("item of smart process %(entity)s", entity=name)))


def describe_recording_problem(problem: str) -> str:
    """Why a recording is not attached yet. A bare code of the PBX is put into words."""
    if not problem.isdecimal():
        return problem
    return f"{codes.describe_code(int(problem), current_language())} ({problem})"


def describe_body(body: str) -> str:
    """What the body of a notification says: the state, the number of the leg, why it ended."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(fields, dict):
        return ""
    state = fields.get("call_state") or fields.get("recording_state")
    parts = [str(_STATE_TEXTS.get(str(state), state)) if state else "", _leg_number(fields), _end_reason(fields)]
    return ", ".join(part[:120] for part in parts if part)


def _leg_number(fields: dict[str, Any]) -> str:
    to = fields.get("to")
    number = (to.get("extension") or to.get("number")) if isinstance(to, dict) else fields.get("extension")
    return str(number) if number else ""


def _end_reason(fields: dict[str, Any]) -> str:
    code = fields.get("disconnect_reason") or (fields.get("result") if "command_id" in fields else None)
    number = parse_int(str(code or ""))
    if number is None or number in (0, 1000):
        return ""
    return f"{codes.describe_code(number, current_language())} ({number})"
