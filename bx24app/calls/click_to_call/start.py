"""Starting a call that the portal asks for: its event becomes a call with one command to Mango, or with the reason why
nothing is dialled."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bx24app import settings
from bx24app.calls.click_to_call.origin import (
    Origin,
    choose_callback_target,
    find_callback_origin,
    find_click_origin,
)
from bx24app.calls.click_to_call.portal_event import CallRequest, parse_event
from bx24app.domain import phone
from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import AnyCommand, Dial, Register
from bx24app.infra.messages import message
from bx24app.models import Call, Delivery, Notification, Pbx, Portal, utcnow
from bx24app.models.call_facts import CallFacts, Refusal

COMMAND_ID_PREFIX = "bx24-"
"""All our command ids begin with it."""
MAX_RUNNING_TIME = timedelta(minutes=30)
"""An open call without notifications for this long has lost its end: it no longer keeps a user from calling the number
again."""


def start_calls(session: Session, portal: Portal, rows: list[Notification]) -> list[Call]:
    """Create calls for events of the portal (notifications with `pbx_id` 0). A malformed event is rejected, a repeated
    one ignored."""
    calls = []
    for row in rows:
        starter = {"ONEXTERNALCALLSTART": _start_click, "ONEXTERNALCALLBACKSTART": _start_callback}.get(row.name)
        if starter is None:
            continue
        try:
            request = parse_event(json.loads(row.body))
        except ValueError as error:
            row.state, row.reason = "rejected", str(error)
            continue
        call = starter(session, portal, row, request)
        if call is not None:
            calls.append(call)
    return calls


def _start_click(session: Session, portal: Portal, row: Notification, request: CallRequest) -> Call | None:
    known = select(Call.id).where(Call.portal_id == portal.id, Call.bitrix_call_id == request.call_id)
    if not request.call_id or not request.user_id:
        row.state, row.reason = "rejected", "a click without CALL_ID or USER_ID"
        return None
    if session.scalars(known).first() is not None:
        return None
    document = settings.of_version(portal.settings_version_id)
    origin = find_click_origin(document, request.line_number, request.user_id)
    pbx = _load_pbx(session, portal, origin)
    running = _running_calls(session, portal, request)
    is_busy = any(other.read_facts().click_user_id == request.user_id for other in running)
    call = _create_call(session, portal, row, pbx, request)
    call.bitrix_call_id, call.user_id = request.call_id, request.user_id
    call.write_facts(CallFacts(click_user_id=request.user_id, requested_line=origin.line_number if origin else None))
    _store_registration(session, call, request)
    if is_busy:
        _refuse_call(call, "304", message(portal.lang, "click_running", number=request.raw_number))
    elif request.number is None:
        _refuse_call(call, "404", message(portal.lang, "click_bad_number", number=request.raw_number))
    elif origin is None or origin.employee is None or pbx is None:
        _refuse_call(call, "404", message(portal.lang, "click_no_extension"))
    elif not pbx.api_key or not pbx.api_salt:
        _refuse_call(call, "404", message(portal.lang, "click_no_key", pbx=origin.pbx.name or origin.pbx.key))
    else:
        mobiles = origin.employee.numbers if request.is_mobile else ()
        _queue_dial(session, call, origin, request.number, origin.employee.extension, next(iter(mobiles), None))
    return call


def _create_click(
    session: Session, portal: Portal, row: Notification, pbx: Pbx | None, request: CallRequest, line: str | None
) -> Call:
    call = _create_call(session, portal, row, pbx, request)
    call.bitrix_call_id, call.user_id = request.call_id, request.user_id
    call.write_facts(CallFacts(click_user_id=request.user_id, requested_line=line))
    _store_registration(session, call, request)
    return call


def report_failure(session: Session, portal: Portal, row: Notification) -> None:
    """The program failed on this event: a user who clicked is told, and the portal's call is finished. The next fold
    does it; the caller commits."""
    request = parse_event(json.loads(row.body))
    if row.name != "ONEXTERNALCALLSTART" or not request.call_id or not request.user_id:
        return  # a form callback: nobody watches it, administrators are told
    known = select(Call.id).where(Call.portal_id == portal.id, Call.bitrix_call_id == request.call_id)
    if session.scalars(known).first() is None:
        call = _create_click(session, portal, row, None, request, None)
        _refuse_call(call, "304", message(portal.lang, "click_failed", number=request.raw_number))
        call.due_at = utcnow()


def _start_callback(session: Session, portal: Portal, row: Notification, request: CallRequest) -> Call | None:
    if any(other.read_facts().is_form_callback for other in _running_calls(session, portal, request)):
        row.state, row.reason = "rejected", "this number is being called back already"
        return None
    origin = find_callback_origin(settings.of_version(portal.settings_version_id), request.line_number)
    pbx = _load_pbx(session, portal, origin)
    call = _create_call(session, portal, row, pbx, request)
    call.direction = "callback"
    call.line_number = origin.line.bitrix_number if origin and origin.line else None
    line = origin.line_number if origin else None
    call.write_facts(CallFacts(is_form_callback=True, record=request.record, requested_line=line))
    first = choose_callback_target(origin) if origin else None
    if request.number is None or phone.is_inner_number(request.number):  # a stranger filled in the form
        _refuse_call(call, "404", message(portal.lang, "callback_bad_number", number=request.raw_number))
    elif origin is None or pbx is None or first is None:
        line = request.line_number or "—"
        _refuse_call(call, "404", message(portal.lang, "callback_nobody", number=request.number, line=line))
    elif not pbx.api_key or not pbx.api_salt:
        name = origin.pbx.name or origin.pbx.key
        _refuse_call(call, "404", message(portal.lang, "callback_no_key", number=request.number, pbx=name))
    else:
        _queue_dial(session, call, origin, request.number, first)
    return call


def _running_calls(session: Session, portal: Portal, request: CallRequest) -> list[Call]:
    """Calls to this number that have not ended: the client's phone rings, or the client is talking."""
    if request.number is None:
        return []
    mine = (Call.portal_id == portal.id, Call.client_number == request.number, Call.direction != "in")
    under_way = (Call.state == "open", Call.ended_at.is_(None), Call.heard_at > utcnow() - MAX_RUNNING_TIME)
    return list(session.scalars(select(Call).where(*mine, *under_way)))


def _load_pbx(session: Session, portal: Portal, origin: Origin | None) -> Pbx | None:
    if origin is None:
        return None
    return session.scalars(select(Pbx).where(Pbx.portal_id == portal.id, Pbx.key == origin.pbx.key)).first()


def _create_call(session: Session, portal: Portal, row: Notification, pbx: Pbx | None, request: CallRequest) -> Call:
    command_id = COMMAND_ID_PREFIX + secrets.token_hex(12)
    row.command_id = command_id  # so that the event belongs to its call in the journal
    call = Call(
        portal_id=portal.id,
        pbx_id=pbx.id if pbx else 0,
        pbx_key=pbx.key if pbx else "",
        entry_id=f"click:{command_id}",
        command_id=command_id,
        settings_version_id=portal.settings_version_id,
        direction="out",
        client_number=request.number,
        started_at=row.received_at,
        heard_at=row.received_at,
        users=[],
        crm=[],
    )
    session.add(call)
    session.flush()
    return call


def _store_registration(session: Session, call: Call, request: CallRequest) -> None:
    """Put a done Register into the ledger: the portal has registered the click itself, so the fold must not."""
    register = Register(
        key="register",
        user_id=request.user_id,
        number=request.number or request.raw_number,
        type=1,
        started_at=int(call.started_at.timestamp()),
        line=request.line_number or None,
        external_id="",
        show=True,
    )
    row = _build_delivery(call, register)
    answer: dict[str, Any] = {"call_id": request.call_id, "record": request.record, "created": request.created_records}
    row.state, row.answer, row.done_at = "done", answer, utcnow()
    session.add(row)
    session.flush()


def _refuse_call(call: Call, status: str, words: str) -> None:
    """Dial nothing; `progress` finishes the call and tells the user."""
    facts = call.read_facts()
    facts.refusal = Refusal(status=status, words=words)
    call.write_facts(facts)


def _queue_dial(session: Session, call: Call, origin: Origin, to: str, first: str, mobile: str | None = None) -> None:
    """Add the command; `first` is an extension or a group, `mobile` the phone that rings instead of the extension's."""
    is_extension = first in origin.pbx.by_extension
    dial = Dial(
        key="dial",
        command_id=str(call.command_id),
        to_number=to,
        extension=first if is_extension else None,
        group=None if is_extension else first,
        from_number=mobile,
        line=origin.caller_id,
    )
    session.add(_build_delivery(call, dial))


def _build_delivery(call: Call, command: AnyCommand) -> Delivery:
    return Delivery(
        portal_id=call.portal_id,
        call_id=call.id,
        key=command.key,
        kind=type(command).__name__,
        command=to_json(command),
    )
