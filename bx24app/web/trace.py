"""The time line of a call in words: what came, what was decided, what was asked, what was answered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext, lazy_gettext
from sqlalchemy import or_, select

from bx24app.models import Call, Delivery, Notification, db

_CAME: dict[str, Any] = {
    "events/call": lazy_gettext("The PBX: state of a leg"),
    "events/summary": lazy_gettext("The PBX: summary of the call"),
    "events/recording": lazy_gettext("The PBX: recording"),
    "events/record/added": lazy_gettext("The PBX: recording is stored"),
    "call_start": lazy_gettext("The PBX: call begins"),
    "call_answer": lazy_gettext("The PBX: call is answered"),
    "call_end": lazy_gettext("The PBX: call ends"),
    "call_record": lazy_gettext("The PBX: recording"),
    "call_transfer": lazy_gettext("The PBX: transfer"),
    "ONEXTERNALCALLSTART": lazy_gettext("Bitrix24: an employee clicked on a number"),
    "ONEXTERNALCALLBACKSTART": lazy_gettext("Bitrix24: a client ordered a callback"),
}
_STATES: dict[str, Any] = {
    "Appeared": lazy_gettext("appeared"),
    "Connected": lazy_gettext("connected"),
    "Disconnected": lazy_gettext("ended"),
    "OnHold": lazy_gettext("on hold"),
    "Started": lazy_gettext("started"),
    "Completed": lazy_gettext("completed"),
}
_TOLD: dict[str, Any] = {
    "Register": lazy_gettext("Register the call"),
    "ShowCard": lazy_gettext("Open the call card"),
    "HideCard": lazy_gettext("Close the call card"),
    "CreateRecord": lazy_gettext("Create a record in the CRM"),
    "Finish": lazy_gettext("Finish the call"),
    "Reassign": lazy_gettext("Change the responsible"),
    "Bind": lazy_gettext("Bind the call to a record"),
    "AddTodo": lazy_gettext("Create a to-do"),
    "CloseTodo": lazy_gettext("Close a to-do"),
    "SetActivityUser": lazy_gettext("Correct the employee of the call"),
    "ReadClient": lazy_gettext("Read the client's records"),
    "Notify": lazy_gettext("Notify an employee"),
    "Dial": lazy_gettext("Order the call at Mango Office"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """`state`: came, done, waiting, dead. `detail`: the answer's code and reason, or what the notification said."""

    at: datetime
    state: str
    words: str
    detail: str = ""


def steps(call: Call) -> list[Step]:
    """Everything of one call in the order of time."""
    return sorted([*_came(call), *_told(call)], key=lambda step: step.at)


def _came(call: Call) -> list[Step]:
    joined = [Notification.entry_id == call.entry_id]
    if call.command_id:
        joined.append(Notification.command_id == call.command_id)
    senders = (call.pbx_id, 0) if call.command_id else (call.pbx_id,)
    query = select(Notification).where(
        Notification.portal_id == call.portal_id, Notification.pbx_id.in_(senders), or_(*joined)
    )
    return [
        Step(row.received_at, "came", str(_CAME.get(row.name, row.name)), row.reason or _said(row.body))
        for row in db.session.scalars(query.limit(500))
    ]


def _said(body: str) -> str:
    """What a notification tells in a word: the state, and whose leg it is."""
    try:
        held = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(held, dict):
        return ""
    state = held.get("call_state") or held.get("recording_state")
    to = held.get("to")
    who = (to.get("extension") or to.get("number")) if isinstance(to, dict) else held.get("extension")
    parts = (str(_STATES.get(str(state), state)) if state else "", str(who) if who else "")
    return ", ".join(part[:64] for part in parts if part)


def _told(call: Call) -> list[Step]:
    rows = db.session.scalars(select(Delivery).where(Delivery.call_id == call.id).order_by(Delivery.id))
    return [_step(row) for row in rows]


def _step(row: Delivery) -> Step:
    words = str(_TOLD.get(row.kind, row.kind))
    said = ": ".join(part for part in (row.code, row.reason) if part)
    if row.state == "done":
        again = gettext("took %(number)s tries", number=row.attempts) if row.attempts > 1 else ""
        return Step(row.done_at or row.created_at, "done", words, "; ".join(part for part in (said, again) if part))
    if row.state == "dead":
        return Step(row.done_at or row.sent_at or row.created_at, "dead", words, said or gettext("refused"))
    return Step(row.created_at, "waiting", words, said or gettext("waits to be delivered"))
