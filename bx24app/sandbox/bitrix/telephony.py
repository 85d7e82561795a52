"""The methods telephony.externalCall.*, except attachRecord, which is in `recordings.py`.

They parse and check the parameters and build the answers; `calls.py` and `call_finish.py` hold the behaviour. As in a
real portal, register and finish take no lock: requests at the same time can create a client or finish a call twice.
"""

from __future__ import annotations

from typing import Any

from bx24app.sandbox import clock
from bx24app.sandbox.bitrix import call_finish, calls, php, recordings
from bx24app.sandbox.bitrix.registry import CommandContext, RestError, rest_method
from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, LEAD, TYPE_IDS, LiveCall, Owner, Record, Statistic, type_name

USER_REQUIRED = "USER_ID or USER_PHONE_INNER should be set"


def _find_user(context: CommandContext, params: dict[str, Any]) -> int:
    """USER_ID, else the active user with this USER_PHONE_INNER."""
    user_id = php.to_int(params.get("USER_ID"))
    if not user_id:
        user = context.portal.user_by_inner(str(params.get("USER_PHONE_INNER") or ""))
        user_id = user.id if user else 0
    if not user_id:
        raise context.make_error(USER_REQUIRED)
    return user_id


@rest_method("telephony.externalCall.register", "telephony")
async def register_call(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    """Registers a call. Two registrations of one unknown number at the same time create two clients."""
    user_id = _find_user(context, params)
    kind = php.to_int(params.get("TYPE"))
    if kind not in (1, 2, 3, 4, 5):
        raise context.make_error("Unknown TYPE")
    start: float | None = None
    if params.get("CALL_START_DATE") not in (None, ""):
        start = clock.parse_time(params["CALL_START_DATE"])
        if start is None:
            raise context.make_error("CALL_START_DATE should be in the ISO-8601 format")
    order = calls.CallRegistration(
        user_id, str(params.get("PHONE_NUMBER") or ""), kind, start, params.get("LINE_NUMBER"),
        params.get("EXTERNAL_CALL_ID"), php.is_true(params.get("CRM_CREATE")) or php.is_true(params.get("CRM")),
        str(params.get("CRM_SOURCE") or ""), _parse_entity(context, params),
        php.is_true(params["SHOW"]) if params.get("SHOW") is not None else True,
    )  # fmt: skip
    _check_lengths(context, params, calls.strip_phone(order.phone))
    await context.end_before_work()
    try:
        call, fresh = calls.find_or_create(context.portal, context.app, order)
    except RestError as error:
        raise context.make_error(error.text) from error
    await context.spend_time()
    calls.complete_registration(context.portal, call, order, fresh)
    return register_answer(call)


def _check_lengths(context: CommandContext, params: dict[str, Any], phone: str = "") -> None:
    """Values that the portal cuts, or by which finish fails later."""
    line = str(params.get("LINE_NUMBER") or "").strip()
    if len(line.encode(errors="replace")) > calls.MAX_LINE_BYTES:
        context.portal.add_violation(context.method, f"LINE_NUMBER is longer than {calls.MAX_LINE_BYTES} bytes: {line}")
    for name, most in calls.FIELD_LENGTHS.items():
        value = phone if name == "PHONE_NUMBER" else str(params.get(name) or "")
        if len(value) > most:
            context.portal.add_violation(context.method, f"{name} is longer than {most} characters: {value}")


def _parse_entity(context: CommandContext, params: dict[str, Any]) -> Owner | None:
    kind, number = str(params.get("CRM_ENTITY_TYPE") or ""), php.to_int(params.get("CRM_ENTITY_ID"))
    if not kind or not number:
        return None
    if TYPE_IDS.get(kind) not in (CONTACT, COMPANY, LEAD):
        context.portal.add_violation(context.method, f"CRM_ENTITY_TYPE should be CONTACT, COMPANY or LEAD, not {kind}")
        return None
    if context.portal.crm.get_record(TYPE_IDS[kind], number) is None:
        context.portal.add_violation(context.method, f"there is no {kind} {number}")
    return TYPE_IDS[kind], number


def register_answer(call: LiveCall) -> dict[str, Any]:
    """The answer of register for a new or a duplicate call."""
    lead = next((number for kind, number in call.created if kind == LEAD), None)
    answer: dict[str, Any] = {
        "CALL_ID": call.call_id,
        "CRM_CREATED_LEAD": lead,
        "CRM_CREATED_ENTITIES": [{"ENTITY_TYPE": type_name(kind), "ENTITY_ID": key} for kind, key in call.created],
        "CRM_ENTITY_TYPE": type_name(call.primary[0]) if call.primary else "",
        "CRM_ENTITY_ID": call.primary[1] if call.primary else None,
    }
    if call.lead_error:
        answer["LEAD_CREATION_ERROR"] = call.lead_error
    return answer


@rest_method("telephony.externalCall.show", "telephony")
def show_card(context: CommandContext, params: dict[str, Any]) -> bool:
    call = context.portal.calls.get(str(params.get("CALL_ID") or ""))
    if call is None:
        return False
    calls.show_card(context.portal, call, _card_users(context, params, call), "show")
    return True


@rest_method("telephony.externalCall.hide", "telephony")
def hide_card(context: CommandContext, params: dict[str, Any]) -> bool:
    call = context.portal.calls.get(str(params.get("CALL_ID") or ""))
    if call is None:
        return False
    calls.hide_card(context.portal, call.call_id, _card_users(context, params, call), "hide")
    return True


def _card_users(context: CommandContext, params: dict[str, Any], call: LiveCall) -> list[int]:
    given = params.get("USER_ID")
    users = [call.user_id] if given is None else [php.to_int(value) for value in php.array_values(given)]
    for user_id in users:
        if user_id not in context.portal.users:
            context.portal.add_violation(context.method, f"there is no user {user_id}")
    return users


@rest_method("telephony.externalCall.finish", "telephony")
async def finish_call(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    portal = context.portal
    user_id = _find_user(context, params)
    call_id = params.get("CALL_ID")
    if not isinstance(call_id, str):
        raise RestError("INVALID_ARGUMENT", "CALL_ID must be a string")
    call = portal.calls.get(call_id)
    if call is None:
        raise context.make_error(calls.UNKNOWN_CALL)
    user = portal.users.get(user_id)
    if user is None or not user.active:
        raise context.make_error(calls.INACTIVE_USER)
    _check_lengths(context, params)
    # The call was read above and is removed below, so two finishes at the same time both succeed.
    await context.spend_time()
    duration = php.to_int(params.get("DURATION"))
    code = str(params.get("STATUS_CODE") or "") or ("200" if duration > 0 else "304")
    row = Statistic(
        portal.next_id("statistic"), call_id, call.external_id, call.app_id, context.app.app.name, user_id, call.phone,
        call.line or f"REST_APP:{call.app_id}", call.type, duration, call.start, portal.now(), code,
        str(params.get("FAILED_REASON") or ""), float(params.get("COST") or 0), str(params.get("COST_CURRENCY") or ""),
        php.to_int(params.get("VOTE")), php.is_true(params.get("ADD_TO_CHAT")),
    )  # fmt: skip
    problem = call_finish.finish_call(portal, call, row)
    lengths = {"PHONE_NUMBER": row.phone, "EXTERNAL_CALL_ID": row.external_id, "FAILED_REASON": row.failed_reason}
    if any(len(value or "") > calls.FIELD_LENGTHS[name] for name, value in lengths.items()):
        raise context.make_error("Unexpected database error")
    if params.get("RECORD_URL"):
        await recordings.attach_url(context, row, str(params["RECORD_URL"]), "")
    answer = _finish_answer(context, call, row, problem)
    ended = ("CALL_ID", "PHONE_NUMBER", "PORTAL_NUMBER", "PORTAL_USER_ID", "CALL_DURATION", "COST", "COST_CURRENCY",
             "CALL_FAILED_CODE", "CALL_FAILED_REASON", "CRM_ACTIVITY_ID")  # fmt: skip
    data = {key: answer[key] for key in ended}
    data |= {"CALL_TYPE": row.type, "CALL_START_DATE": clock.format_iso(row.start)}
    portal.event_sender.send_event("ONVOXIMPLANTCALLEND", data, user_id)
    return answer


def _finish_answer(context: CommandContext, call: LiveCall, row: Statistic, problem: str | None) -> dict[str, Any]:
    """The answer of finish. CALL_START_DATE really is an empty object, and a missing CRM_ACTIVITY_ID is false."""
    answer: dict[str, Any] = {
        "CALL_ID": row.call_id,
        "EXTERNAL_CALL_ID": row.external_id,
        "PORTAL_USER_ID": row.user_id,
        "PHONE_NUMBER": row.phone,
        "PORTAL_NUMBER": row.portal_number,
        "INCOMING": str(row.type),
        "CALL_DURATION": row.duration,
        "CALL_START_DATE": {},
        "CALL_STATUS": 1 if row.duration > 0 else 0,
        "CALL_VOTE": row.vote,
        "COST": row.cost,
        "COST_CURRENCY": row.cost_currency,
        "CALL_FAILED_CODE": row.failed_code,
        "CALL_FAILED_REASON": row.failed_reason,
        "REST_APP_ID": str(row.app_id),
        "REST_APP_NAME": row.app_name,
        "CRM_ACTIVITY_ID": row.activity_id or (None if call.internal else False),
        "COMMENT": None,
        "ID": row.id,
    }
    if call.primary:
        answer["CRM_ENTITY_TYPE"] = type_name(call.primary[0])
        answer["CRM_ENTITY_ID"] = call.primary[1]
    if problem:
        answer["ERRORS"] = {"ACTIVITY_CREATION": problem}
    return answer


@rest_method("telephony.externalCall.searchCrmEntities", "telephony")
def search_clients(context: CommandContext, params: dict[str, Any]) -> list[dict[str, Any]]:
    phone = str(params.get("PHONE_NUMBER") or "")
    if not phone:
        raise context.make_error("PHONE_NUMBER is empty")
    records = context.portal.crm.find_records("PHONE", phone, CONTACT, LEAD, COMPANY)
    return [_client_row(context, record) for record in records]


def _client_row(context: CommandContext, record: Record) -> dict[str, Any]:
    user = context.portal.users.get(record.assigned_by_id)
    owner: dict[str, Any] = {"ID": None, "TIMEMAN_STATUS": None}
    if user:
        owner = {
            "ID": str(user.id),
            "TIMEMAN_STATUS": user.timeman,
            "USER_PHONE_INNER": user.uf_phone_inner,
            "WORK_PHONE": user.work_phone,
            "PERSONAL_PHONE": user.personal_phone,
            "PERSONAL_MOBILE": user.personal_mobile,
        }
    return {
        "CRM_ENTITY_TYPE": type_name(record.type_id),
        "CRM_ENTITY_ID": record.id,
        "ASSIGNED_BY_ID": record.assigned_by_id,
        "NAME": record.title,
        "ASSIGNED_BY": owner,
    }
