"""The portal's own event becomes a call with one command to Mango, or with the words why nothing is dialled."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bx24app import settings
from bx24app.calls.click_to_call import origin
from bx24app.calls.click_to_call.origin import Origin
from bx24app.calls.click_to_call.portal_event import CallRequest, parse_event
from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import AnyCommand, Dial, Register
from bx24app.infra.messages import message
from bx24app.models import Call, Delivery, Notification, Pbx, Portal, utcnow
from bx24app.models.call_facts import CallFacts, Refusal

COMMAND_ID_PREFIX = "bx24-"
"""Of our command ids."""
MAX_RUNNING_TIME = timedelta(minutes=30)
"""A call that is still open, but of which nothing was heard for so long, has lost its end and hinders nobody."""


def start_calls(session: Session, portal: Portal, rows: list[Notification]) -> list[Call]:
    """Calls for the portal's own events. An event that cannot be read is rejected; a repeated one makes nothing new."""
    made = []
    for row in rows:
        starter = {"ONEXTERNALCALLSTART": _start_click, "ONEXTERNALCALLBACKSTART": _start_callback}.get(row.name)
        if starter is None:
            continue
        try:
            asked = parse_event(json.loads(row.body))
        except ValueError as error:
            row.state, row.reason = "rejected", str(error)
            continue
        call = starter(session, portal, row, asked)
        if call is not None:
            made.append(call)
    return made


def _start_click(session: Session, portal: Portal, row: Notification, asked: CallRequest) -> Call | None:
    known = select(Call.id).where(Call.portal_id == portal.id, Call.bitrix_call_id == asked.call_id)
    if not asked.call_id or not asked.user_id:
        row.state, row.reason = "rejected", "a click without CALL_ID or USER_ID"
        return None
    if session.scalars(known).first() is not None:
        return None
    place = origin.find_click_origin(settings.of_version(portal.settings_version_id), asked.line_number, asked.user_id)
    pbx = _load_pbx(session, portal, place)
    running = [call for call in _running_calls(session, portal, asked) if call.read_facts().click_user_id == asked.user_id]
    call = _create_call(session, portal, row, pbx, asked)
    call.bitrix_call_id, call.user_id = asked.call_id, asked.user_id
    call.write_facts(CallFacts(click_user_id=asked.user_id, requested_line=place.caller_id if place else None))
    _store_registration(session, call, asked)
    if running:
        _refuse_call(call, "304", message(portal.lang, "click_running", number=asked.raw_number))
    elif asked.number is None:
        _refuse_call(call, "404", message(portal.lang, "click_bad_number", number=asked.raw_number))
    elif place is None or place.employee is None or pbx is None:
        _refuse_call(call, "404", message(portal.lang, "click_no_extension"))
    elif not pbx.api_key or not pbx.api_salt:
        _refuse_call(call, "404", message(portal.lang, "click_no_key", pbx=place.pbx.name or place.pbx.key))
    else:
        mobiles = place.employee.numbers if asked.is_mobile else ()
        _queue_dial(session, call, place, asked.number, place.employee.extension, next(iter(mobiles), None))
    return call


def _start_callback(session: Session, portal: Portal, row: Notification, asked: CallRequest) -> Call | None:
    running = [call for call in _running_calls(session, portal, asked) if call.read_facts().is_form_callback]
    if running:
        row.state, row.reason = "rejected", "this number is being called back already"
        return None
    place = origin.find_callback_origin(settings.of_version(portal.settings_version_id), asked.line_number)
    pbx = _load_pbx(session, portal, place)
    call = _create_call(session, portal, row, pbx, asked)
    call.direction = "callback"
    call.line_number = place.line.bitrix_number if place and place.line else None
    call.write_facts(CallFacts(is_form_callback=True, record=asked.record, requested_line=place.caller_id if place else None))
    first = origin.choose_callback_target(place) if place else None
    if asked.number is None:
        _refuse_call(call, "404", message(portal.lang, "callback_bad_number", number=asked.raw_number))
    elif place is None or pbx is None or first is None:
        _refuse_call(call, "404", message(portal.lang, "callback_nobody", number=asked.number, line=asked.line_number or "—"))
    elif not pbx.api_key or not pbx.api_salt:
        name = place.pbx.name or place.pbx.key
        _refuse_call(call, "404", message(portal.lang, "callback_no_key", number=asked.number, pbx=name))
    else:
        _queue_dial(session, call, place, asked.number, first)
    return call


def _running_calls(session: Session, portal: Portal, asked: CallRequest) -> list[Call]:
    """Calls to this number that have not ended yet: the client's telephone rings, or the client is talking."""
    if asked.number is None:
        return []
    mine = (Call.portal_id == portal.id, Call.client_number == asked.number, Call.direction != "in")
    going_on = (Call.state == "open", Call.ended_at.is_(None), Call.heard_at > utcnow() - MAX_RUNNING_TIME)
    return list(session.scalars(select(Call).where(*mine, *going_on)))


def _load_pbx(session: Session, portal: Portal, place: Origin | None) -> Pbx | None:
    if place is None:
        return None
    return session.scalars(select(Pbx).where(Pbx.portal_id == portal.id, Pbx.key == place.pbx.key)).first()


def _create_call(session: Session, portal: Portal, row: Notification, pbx: Pbx | None, asked: CallRequest) -> Call:
    command_id = COMMAND_ID_PREFIX + secrets.token_hex(12)
    row.command_id = command_id  # joins the event to its call, for the journal
    call = Call(
        portal_id=portal.id,
        pbx_id=pbx.id if pbx else 0,
        pbx_key=pbx.key if pbx else "",
        entry_id=f"click:{command_id}",
        command_id=command_id,
        settings_version_id=portal.settings_version_id,
        direction="out",
        client_number=asked.number,
        started_at=row.received_at,
        heard_at=row.received_at,
        users=[],
        crm=[],
    )
    session.add(call)
    session.flush()
    return call


def _store_registration(session: Session, call: Call, asked: CallRequest) -> None:
    """The portal registered the click by itself: in the ledger as done, so that it is never registered again."""
    register = Register(
        key="register",
        user_id=asked.user_id,
        number=asked.number or asked.raw_number,
        type=1,
        started_at=int(call.started_at.timestamp()),
        line=asked.line_number or None,
        external_id="",
        show=True,
    )
    row = _build_delivery(call, register)
    answer: dict[str, Any] = {"call_id": asked.call_id, "record": asked.record, "created": asked.created_records}
    row.state, row.answer, row.done_at = "done", answer, utcnow()
    session.add(row)
    session.flush()


def _refuse_call(call: Call, status: str, words: str) -> None:
    """Nothing is dialled; `following` finishes the call and tells people."""
    facts = call.read_facts()
    facts.refusal = Refusal(status=status, words=words)
    call.write_facts(facts)


def _queue_dial(session: Session, call: Call, place: Origin, to: str, first: str, mobile: str | None = None) -> None:
    known = first in place.pbx.by_extension
    dial = Dial(
        key="dial",
        command_id=str(call.command_id),
        to_number=to,
        extension=first if known else None,
        group=None if known else first,
        from_number=mobile,
        line=place.caller_id,
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
