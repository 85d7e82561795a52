"""The CRM records that register creates with CRM_CREATE, and the reassignment of records to a user.

In the classic CRM an unknown number becomes a lead, in the simple CRM a contact and a deal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bx24app.sandbox.bitrix.crm import normalise_phone
from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, DEAL, LEAD, LiveCall, Owner, Record

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal

LOCAL_USER_ERROR = "Lead creation is disabled for local users"


def create_records(portal: Portal, call: LiveCall, source: str) -> None:
    """Creates the records of an unknown number, and with `repeat_leads` a repeat lead or deal for a known client.

    The CRM creates nothing for a colleague's number or a number on the exclusion list.
    """
    if call.primary and call.primary[0] == LEAD:
        return
    if _is_colleague(portal, call.phone):
        call.lead_error = LOCAL_USER_ERROR
        return
    if normalise_phone(call.phone) in portal.switches.number_blacklist:
        return
    if call.primary is None:
        created = _create_client(portal, call, _choose_source(portal, source))
    elif portal.switches.repeat_leads and call.type != 1 and not _open_deals(portal, call):
        created = _create_repeat(portal, call, call.primary, _choose_source(portal, source))
    else:
        return
    for record in created:
        record.created_by_call = call.call_id
        call.created.append(record.key)
        call.bindings.append(record.key)
    if created:
        call.primary = call.primary or created[0].key


def _is_colleague(portal: Portal, phone: str) -> bool:
    number = normalise_phone(phone)
    return any(
        user.active and number and number == normalise_phone(own_phone)
        for user in portal.users.values()
        for own_phone in (user.work_phone, user.personal_phone, user.personal_mobile)
    )


def _open_deals(portal: Portal, call: LiveCall) -> list[Record]:
    record = portal.crm.get_record(*call.primary) if call.primary else None
    return portal.crm.open_deals_of(record) if record else []


def _choose_source(portal: Portal, wanted: str) -> str:
    """The wanted source if the portal has it, else CALL, else OTHER."""
    known = [status.status_id for status in portal.statuses if status.entity_id == "SOURCE"]
    return next((source for source in (wanted, "CALL", "OTHER") if source in known), "")


def _call_title(call: LiveCall) -> str:
    words = {1: "Исходящий звонок", 4: "Обратный звонок"}
    return f"{call.phone} - {words.get(call.type, 'Входящий звонок')}"


def _base_fields(portal: Portal, call: LiveCall, source: str) -> dict[str, object]:
    stamp = portal.clock.format_iso()
    return {
        "assignedById": call.user_id,
        "createdBy": call.user_id,
        "createdTime": stamp,
        "updatedTime": stamp,
        "sourceId": source,
        "sourceDescription": f"Звонок на номер: {call.line}" if call.line else "",
    }


def _create_client(portal: Portal, call: LiveCall, source: str) -> list[Record]:
    phone = [{"typeId": "PHONE", "valueType": "WORK", "value": call.phone}]
    base = _base_fields(portal, call, source)
    if portal.crm_mode == 1:
        fields = {**base, "title": _call_title(call), "stageId": "NEW", "stageSemanticId": "P"}
        return [_announce_record(portal, portal.crm.add_record(LEAD, fields, phone))]
    contact = _announce_record(portal, portal.crm.add_record(CONTACT, {**base, "name": call.phone}, phone))
    return [contact, _create_deal(portal, call, base, contact)]


def _create_deal(portal: Portal, call: LiveCall, base: dict[str, object], client: Record) -> Record:
    fields: dict[str, object] = {
        **base, "title": _call_title(call), "categoryId": 0, "stageId": "NEW", "stageSemanticId": "P",
        "contactIds": [client.id] if client.type_id == CONTACT else [],
        "contactId": client.id if client.type_id == CONTACT else None,
        "companyId": client.id if client.type_id == COMPANY else 0,
    }  # fmt: skip
    return _announce_record(portal, portal.crm.add_record(DEAL, fields))


def _create_repeat(portal: Portal, call: LiveCall, primary: Owner, source: str) -> list[Record]:
    client = portal.crm.get_record(*primary)
    if client is None:
        return []
    base = _base_fields(portal, call, source)
    if portal.crm_mode == 2:
        return [_create_deal(portal, call, base, client)]
    link = (
        {"contactId": client.id, "contactIds": [client.id]} if client.type_id == CONTACT else {"companyId": client.id}
    )
    fields = {
        **base, **link, "title": _call_title(call), "stageId": "NEW", "stageSemanticId": "P", "isReturnCustomer": "Y",
    }  # fmt: skip
    return [_announce_record(portal, portal.crm.add_record(LEAD, fields))]


def _announce_record(portal: Portal, record: Record) -> Record:
    portal.notify_watchers("record", type=record.type_id, id=record.id)
    return record


def reassign_record(portal: Portal, record: Record, user_id: int) -> None:
    """Makes a user responsible for a record."""
    record.fields["assignedById"] = user_id
    record.fields["updatedTime"] = portal.clock.format_iso()
    portal.notify_watchers("record", type=record.type_id, id=record.id)
