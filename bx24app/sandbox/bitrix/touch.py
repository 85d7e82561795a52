"""What CRM_CREATE makes, and records that change hands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bx24app.sandbox.bitrix.crm import digits
from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, DEAL, LEAD, LiveCall, Owner, Record

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal

LOCAL_USER = "Lead creation is disabled for local users"


def create(portal: Portal, call: LiveCall, source: str) -> None:
    """Makes a lead (simple CRM: contact and deal) for an unknown number; a repeat one for a known client if switched on."""
    if call.primary and call.primary[0] == LEAD:
        return
    if _is_colleague(portal, call.phone):
        call.lead_error = LOCAL_USER
        return
    if digits(call.phone) in portal.switches.number_blacklist:
        return
    if call.primary is None:
        made = _new_client(portal, call, _source(portal, source))
    elif portal.switches.repeat_leads and call.type != 1 and not _open_deals(portal, call):
        made = _repeat(portal, call, call.primary, _source(portal, source))
    else:
        return
    for record in made:
        record.created_by_call = call.call_id
        call.created.append(record.key)
        call.bindings.append(record.key)
    if made:
        call.primary = call.primary or made[0].key


def _is_colleague(portal: Portal, phone: str) -> bool:
    number = digits(phone)
    return any(
        user.active and number and number in (digits(user.work_phone), digits(user.personal_phone), digits(user.personal_mobile))
        for user in portal.users.values()
    )  # fmt: skip


def _open_deals(portal: Portal, call: LiveCall) -> list[Record]:
    record = portal.crm.get(*call.primary) if call.primary else None
    return portal.crm.deals_of(record) if record else []


def _source(portal: Portal, wanted: str) -> str:
    """Unknown or empty: CALL, then OTHER."""
    known = [one.status_id for one in portal.statuses if one.entity_id == "SOURCE"]
    return next((source for source in (wanted, "CALL", "OTHER") if source in known), "")


def _title(call: LiveCall) -> str:
    words = {1: "Исходящий звонок", 4: "Обратный звонок"}
    return f"{call.phone} - {words.get(call.type, 'Входящий звонок')}"


def _base(portal: Portal, call: LiveCall, source: str) -> dict[str, object]:
    stamp = portal.clock.iso()
    return {
        "assignedById": call.user_id,
        "createdBy": call.user_id,
        "createdTime": stamp,
        "updatedTime": stamp,
        "sourceId": source,
        "sourceDescription": f"Звонок на номер: {call.line}" if call.line else "",
    }


def _new_client(portal: Portal, call: LiveCall, source: str) -> list[Record]:
    phone = [{"typeId": "PHONE", "valueType": "WORK", "value": call.phone}]
    base = _base(portal, call, source)
    if portal.crm_mode == 1:
        fields = {**base, "title": _title(call), "stageId": "NEW", "stageSemanticId": "P"}
        return [_made(portal, portal.crm.add(LEAD, fields, phone))]
    contact = _made(portal, portal.crm.add(CONTACT, {**base, "name": call.phone}, phone))
    return [contact, _deal(portal, call, base, contact)]


def _deal(portal: Portal, call: LiveCall, base: dict[str, object], client: Record) -> Record:
    fields: dict[str, object] = {
        **base, "title": _title(call), "categoryId": 0, "stageId": "NEW", "stageSemanticId": "P",
        "contactIds": [client.id] if client.type_id == CONTACT else [],
        "contactId": client.id if client.type_id == CONTACT else None,
        "companyId": client.id if client.type_id == COMPANY else 0,
    }  # fmt: skip
    return _made(portal, portal.crm.add(DEAL, fields))


def _repeat(portal: Portal, call: LiveCall, primary: Owner, source: str) -> list[Record]:
    client = portal.crm.get(*primary)
    if client is None:
        return []
    base = _base(portal, call, source)
    if portal.crm_mode == 2:
        return [_deal(portal, call, base, client)]
    link = (
        {"contactId": client.id, "contactIds": [client.id]} if client.type_id == CONTACT else {"companyId": client.id}
    )
    fields = {**base, **link, "title": _title(call), "stageId": "NEW", "stageSemanticId": "P", "isReturnCustomer": "Y"}
    return [_made(portal, portal.crm.add(LEAD, fields))]


def _made(portal: Portal, record: Record) -> Record:
    portal.tell("record", type=record.type_id, id=record.id)
    return record


def reassign(portal: Portal, record: Record, user_id: int) -> None:
    """Gives a record to a user."""
    record.fields["assignedById"] = user_id
    record.fields["updatedTime"] = portal.clock.iso()
    portal.tell("record", type=record.type_id, id=record.id)
