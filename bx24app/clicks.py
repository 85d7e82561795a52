"""USE CASE: click-to-call and form callback: what the portal asks for becomes one command to Mango, sent at most once.

A clicked call was registered by the portal itself, which opened its card: we dial and finish it, never register. A form callback has
no call yet: it is registered when the first employee rings. What became of the command is decided by Mango's answer, by
`result/*`, or by a leg that carries our command id; after twenty seconds without any of them the call has failed.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bx24app import settings
from bx24app.domain import phone
from bx24app.domain.commands import Dial, Finish, Notify, Register, from_json, to_json
from bx24app.domain.ledger import Ledger
from bx24app.domain.routing import Policy
from bx24app.domain.settings import Employee, Line, Settings
from bx24app.domain.settings import Pbx as PbxSettings
from bx24app.logs import log
from bx24app.mango import codes
from bx24app.mango import errors as mango
from bx24app.mango.client import Mango
from bx24app.models import Call, Delivery, Notification, Pbx, Portal, utcnow
from bx24app.wording import say

_log = log(__name__)

PREFIX = "bx24-"
"""Of our command ids."""
LOST_SECONDS = 20
"""How long a command without an answer may still show itself by a result or a leg."""
SILENT_SECONDS = 120
"""How long an accepted command may stay without any leg."""


def begin(session: Session, portal: Portal, rows: list[Notification]) -> list[Call]:
    """Calls for the portal's own events. A repeated event of a running call makes nothing new."""
    made = []
    for row in rows:
        data = json.loads(row.body)
        starter = {"ONEXTERNALCALLSTART": _click, "ONEXTERNALCALLBACKSTART": _callback}.get(row.name)
        call = starter(session, portal, row, data) if starter else None
        if call is not None:
            made.append(call)
    return made


def _click(session: Session, portal: Portal, row: Notification, data: dict[str, Any]) -> Call | None:
    call_id, user = str(data.get("CALL_ID") or ""), int(data.get("USER_ID") or 0)
    running = select(Call).where(Call.portal_id == portal.id, Call.bitrix_call_id == call_id, Call.state == "open")
    if not call_id or session.scalars(running).first() is not None:
        return None
    document = settings.of_version(portal.settings_version_id)
    place = _place(document, str(data.get("LINE_NUMBER") or ""), user)
    number = phone.normal(data.get("PHONE_NUMBER_INTERNATIONAL")) or phone.normal(data.get("PHONE_NUMBER"))
    pbx = _row(session, portal, place.pbx if place else None)
    call = _call(session, portal, row, pbx, number, call_id=call_id)
    call.facts = {"click_user": user, "line": place.line.number if place and place.line else None}
    record = _record(data)
    _keep(
        session,
        call,
        Register(
            key="register",
            user_id=user,
            number=number or str(data.get("PHONE_NUMBER") or ""),
            type=1,
            started_at=int(row.received_at.timestamp()),
            line=data.get("LINE_NUMBER") or None,
            external_id="",
            show=True,
        ),
        {"call_id": call_id, "record": record, "created": _created(data)},
    )
    if number is None:
        _fail(session, portal, call, "404", say(portal.lang, "click_bad_number", number=data.get("PHONE_NUMBER") or ""))
    elif place is None or place.employee is None or pbx is None:
        _fail(session, portal, call, "404", say(portal.lang, "click_no_extension"))
    elif not pbx.api_key:
        _fail(session, portal, call, "404", say(portal.lang, "click_no_key", pbx=place.pbx.name or place.pbx.key))
    else:
        mobile = place.employee.numbers[0] if str(data.get("IS_MOBILE")) == "1" and place.employee.numbers else None
        dial = Dial(
            key="dial",
            command_id=str(call.command_id),
            to_number=number,
            extension=place.employee.extension,
            from_number=mobile,
            line=place.line.number if place.line else None,
        )
        session.add(_delivery(call, dial))
    return call


def _callback(session: Session, portal: Portal, row: Notification, data: dict[str, Any]) -> Call | None:
    document = settings.of_version(portal.settings_version_id)
    place = _place(document, str(data.get("LINE_NUMBER") or ""), None)
    number = phone.normal(data.get("PHONE_NUMBER"))
    pbx = _row(session, portal, place.pbx if place else None)
    if place is None or pbx is None or number is None:
        row.state, row.reason = (
            "rejected",
            "no PBX line for this callback" if number else "the number cannot be dialled",
        )
        return None
    call = _call(session, portal, row, pbx, number)
    call.direction = "callback"
    call.facts = {"form_callback": True, "record": _record(data), "line": place.line.number if place.line else None}
    target = _first(place)
    if target is None:
        call.state, call.problem = "dead", say(portal.lang, "callback_nobody", line=str(data.get("LINE_NUMBER") or ""))
        return call
    known = target in place.pbx.by_extension
    dial = Dial(
        key="dial",
        command_id=str(call.command_id),
        to_number=number,
        extension=target if known else None,
        group=None if known else target,
        line=place.line.number if place.line else None,
    )
    session.add(_delivery(call, dial))
    return call


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a click leaves from."""

    pbx: PbxSettings
    line: Line | None
    employee: Employee | None


def _place(document: Settings, line_number: str, user: int | None) -> _Place | None:
    """LINE_NUMBER picks the PBX; empty: the first in the document where the user has an extension."""
    if line_number:
        for pbx in document.pbxs:
            for line in pbx.lines:
                if line_number in (line.bitrix_number, line.number) or (
                    phone.digits(line_number) and phone.digits(line_number) == phone.digits(line.bitrix_number)
                ):
                    return _Place(pbx, line, _employee(pbx, user))
    for pbx in document.pbxs:
        employee = _employee(pbx, user)
        if employee is not None:
            return _Place(pbx, None, employee)
    if user is None and document.pbxs:
        first = document.pbxs[0]
        return _Place(first, first.lines[0] if first.lines else None, None)
    return None


def _employee(pbx: PbxSettings, user: int | None) -> Employee | None:
    return next((employee for employee in pbx.employees if employee.user_id == user), None)


def _first(place: _Place) -> str | None:
    """Who is dialled first for a form callback: the line's `callback_to`, else the first responsible's extension."""
    if place.line is None:
        return place.pbx.employees[0].extension if place.pbx.employees else None
    if place.line.callback_to:
        return place.line.callback_to
    for user in place.line.responsible.users:
        employee = _employee(place.pbx, user)
        if employee is not None:
            return employee.extension
    return place.pbx.employees[0].extension if place.pbx.employees else None


def _row(session: Session, portal: Portal, pbx: PbxSettings | None) -> Pbx | None:
    if pbx is None:
        return None
    return session.scalars(select(Pbx).where(Pbx.portal_id == portal.id, Pbx.key == pbx.key)).first()


def _record(data: dict[str, Any]) -> dict[str, Any] | None:
    kind, number = str(data.get("CRM_ENTITY_TYPE") or "").lower(), data.get("CRM_ENTITY_ID")
    made = _created(data)
    record = {"entity": kind, "id": int(number)} if kind and number else None
    return None if record in made else record


def _created(data: dict[str, Any]) -> list[dict[str, Any]]:
    entities = data.get("CRM_CREATED_ENTITIES") or []
    values = entities.values() if isinstance(entities, dict) else entities
    return [{"entity": str(item["ENTITY_TYPE"]).lower(), "id": int(item["ENTITY_ID"])} for item in values]


def _call(
    session: Session, portal: Portal, row: Notification, pbx: Pbx | None, number: str | None, call_id: str | None = None
) -> Call:
    command_id = PREFIX + secrets.token_hex(12)
    row.command_id = command_id  # joins the event to its call, for the journal
    call = Call(
        portal_id=portal.id,
        pbx_id=pbx.id if pbx else 0,
        pbx_key=pbx.key if pbx else "",
        entry_id=f"click:{command_id}",
        command_id=command_id,
        settings_version_id=portal.settings_version_id,
        direction="out",
        client_number=number,
        started_at=row.received_at,
        heard_at=row.received_at,
        bitrix_call_id=call_id,
        users=[],
        crm=[],
    )
    session.add(call)
    session.flush()
    return call


def _delivery(call: Call, command: Any) -> Delivery:
    return Delivery(
        portal_id=call.portal_id,
        call_id=call.id,
        key=command.key,
        kind=type(command).__name__,
        command=to_json(command),
    )


def _keep(session: Session, call: Call, command: Any, answer: dict[str, Any]) -> None:
    """A command that the portal carried out by itself: in the ledger as done."""
    row = _delivery(call, command)
    row.state, row.answer, row.done_at = "done", answer, utcnow()
    session.add(row)
    session.flush()


def _fail(session: Session, portal: Portal, call: Call, status: str, words: str) -> None:
    """Finished at once, the user told in words; nothing was or will be dialled."""
    user = call.facts.get("click_user")
    now = utcnow()
    call.outcome, call.ended_at, call.user_id, call.problem, call.due_at = "failed", now, user, words, None
    if user is None:
        call.state = "dead" if not call.bitrix_call_id else "open"
        return
    have = set(session.scalars(select(Delivery.key).where(Delivery.call_id == call.id)))
    finish = Finish(key="finish", user_id=user, seconds=0, status=status, reason=words, number=call.client_number or "")
    for command in (finish, Notify(key="notify-click", user_id=user, text=words)):
        if command.key not in have:
            session.add(_delivery(call, command))


def follow(
    session: Session, portal: Portal, call: Call, told: list[Notification], ledger: Ledger, policy: Policy
) -> None:
    """A call of which the PBX has shown no leg yet: what became of its command?"""
    call.due_at = None
    dial = session.scalars(select(Delivery).where(Delivery.call_id == call.id, Delivery.kind == "Dial")).first()
    finish = ledger.finish()
    if finish is not None:
        call.state = {"done": "finished", "dead": "dead"}.get(finish.state, "open")
        call.activity_id = finish.answer.get("activity_id")
        return
    if dial is None or call.state == "dead":
        return
    result = _result(told)
    if dial.state == "dead" or (result is not None and result != codes.SUCCESS):
        code = result or int(dial.code or 0) if (dial.code or "0").isdigit() else 0
        words = codes.words(code, portal.lang) if code else str(dial.reason or "")
        status = codes.sip_status(code) if code else "OTHER"
        _fail(
            session, portal, call, status, say(portal.lang, "click_refused", number=call.client_number or "", why=words)
        )
        return
    if dial.sent_at is None:
        return
    lost = bool((dial.answer or {}).get("lost")) and result is None
    until = dial.sent_at + timedelta(seconds=LOST_SECONDS if lost else SILENT_SECONDS)
    if dial.state == "done" and utcnow() >= until:
        _fail(session, portal, call, "OTHER", say(portal.lang, "click_silent", number=call.client_number or ""))
        return
    call.due_at = max(until, datetime.now(UTC) + timedelta(seconds=1))


def _result(told: list[Notification]) -> int | None:
    """The code of `result/callback`, once it has come."""
    for row in told:
        if row.name.startswith("result/callback"):
            try:
                return int(json.loads(row.body).get("result"))
            except (TypeError, ValueError):
                return None
    return None


@dataclass(frozen=True, slots=True)
class Errand:
    """One command to Mango, detached from the database."""

    delivery: int
    call: int
    dial: Dial
    api_key: str
    api_salt: str


@dataclass(frozen=True, slots=True)
class DialOutcome:
    errand: Errand
    error: mango.MangoError | None


def claim(session: Session, portal: Portal) -> list[Errand]:
    """Commands to Mango that have not been sent; marked `sent`, which is never undone: a second try would ring the client twice."""
    query = select(Delivery).where(
        Delivery.portal_id == portal.id, Delivery.kind == "Dial", Delivery.state == "waiting"
    )
    errands = []
    for row in session.scalars(query):
        call = session.get_one(Call, row.call_id)
        pbx = session.get(Pbx, call.pbx_id)
        row.state, row.sent_at, row.attempts = "sent", utcnow(), 1
        command = from_json("Dial", row.command)
        if pbx is not None and isinstance(command, Dial):
            errands.append(Errand(row.id, call.id, command, pbx.api_key or "", pbx.api_salt or ""))
    return errands


def dial(errand: Errand, api_url: str, http: Any) -> DialOutcome:
    """Give the command to Mango. Never touches the database."""
    command = errand.dial
    client = Mango(api_url, errand.api_key, errand.api_salt, session=http)
    try:
        if command.group is not None:
            client.callback_group(command.command_id, command.group, command.to_number, command.line or "")
        else:
            client.callback(
                command.command_id,
                command.extension or "",
                command.to_number,
                line_number=command.line,
                from_number=command.from_number,
            )
    except mango.MangoError as error:
        return DialOutcome(errand, error)
    return DialOutcome(errand, None)


def store(session: Session, outcome: DialOutcome) -> set[int]:
    """Write Mango's answer down. A lost answer is not a refusal: a leg or a result may still show that it was dialled."""
    row = session.get_one(Delivery, outcome.errand.delivery)
    error = outcome.error
    row.done_at = utcnow()
    if error is None:
        row.state, row.answer = "done", {"accepted": True}
    elif isinstance(error, mango.AnswerLost):
        row.state, row.answer, row.reason = "done", {"lost": True}, str(error)
    else:
        row.state, row.code, row.reason = "dead", str(error.code or ""), str(error)
    _log.info("click dialled", call=outcome.errand.call, state=row.state, reason=row.reason)
    return {outcome.errand.call}


def recover(session: Session) -> set[int]:
    """Commands whose worker died between intent and answer: their answer is lost, and they are never sent again."""
    old = utcnow() - timedelta(seconds=LOST_SECONDS)
    rows = session.scalars(
        select(Delivery).where(Delivery.kind == "Dial", Delivery.state == "sent", Delivery.sent_at < old)
    )
    portals = set()
    for row in rows:
        row.state, row.answer, row.done_at = "done", {"lost": True}, utcnow()
        row.reason = "the worker ended before Mango answered"
        call = session.get_one(Call, row.call_id)
        call.due_at = utcnow()
        portals.add(row.portal_id)
    return portals


__all__ = ["DialOutcome", "Errand", "begin", "claim", "dial", "follow", "recover", "store"]
