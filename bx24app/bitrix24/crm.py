"""Command -> (method, params), answer -> facts: CRM records, activities, to-dos, notices (crm.*, im.*)."""

from __future__ import annotations

from typing import Any

from bx24app.bitrix24.telephony import Request, call_id, iso
from bx24app.domain.commands import (
    AddTodo,
    Bind,
    CloseTodo,
    CreateRecord,
    Notify,
    ReadDeals,
    Reassign,
    Ref,
    SetActivityUser,
)

ORIGINATOR = "bx24app"
"""originatorId of every record that we make: with originId it tells our own after a lost answer."""

_TYPE_IDS = {"lead": 1, "deal": 2, "contact": 3, "company": 4}


def type_id(entity: str) -> int:
    """entityTypeId: the four old ones by name, smart processes by their number."""
    return _TYPE_IDS.get(entity) or int(entity)


def create(command: CreateRecord) -> Request:
    fields: dict[str, Any] = dict(command.fields)
    fields.update(assignedById=command.responsible, originatorId=ORIGINATOR, originId=command.origin)
    if command.entity == "contact":
        fields.setdefault("name", command.title)
    else:
        fields.setdefault("title", command.title)
    fields.setdefault("sourceId", command.source)
    if command.number and command.entity in ("lead", "contact"):
        fields["fm"] = [{"typeId": "PHONE", "valueType": "WORK", "value": command.number}]
    if command.contact is not None:
        fields["contactIds"] = [command.contact]
    if command.company is not None:
        fields["companyId"] = command.company
    if command.category_id is not None:
        fields["categoryId"] = command.category_id
    if command.stage_id is not None:
        fields["stageId"] = command.stage_id
    return "crm.item.add", {"entityTypeId": type_id(command.entity), "fields": fields}


def created(result: dict[str, Any]) -> dict[str, Any]:
    return {"id": int(result["item"]["id"])}


def look_for_record(command: CreateRecord) -> Request:
    """After a lost answer: there is no uniqueness on the origin, so look before making a second one."""
    return "crm.item.list", {
        "entityTypeId": type_id(command.entity),
        "select": ["id", "originatorId", "originId"],
        "filter": {"=originatorId": ORIGINATOR, "=originId": command.origin},
    }


def found_record(command: CreateRecord, result: dict[str, Any]) -> dict[str, Any] | None:
    for item in result.get("items") or []:
        if item.get("originId") == command.origin and item.get("originatorId") == ORIGINATOR:
            return {"id": int(item["id"]), "found": True}
    return None


def reassign(command: Reassign) -> Request:
    return "crm.item.update", {
        "entityTypeId": type_id(command.record.entity),
        "id": command.record.id,
        "fields": {"assignedById": command.user_id},
    }


def bind(command: Bind) -> Request:
    return "crm.activity.binding.add", {
        "activityId": Ref("finish", "activity_id"),
        "entityTypeId": type_id(command.record.entity),
        "entityId": command.record.id,
    }


def todo(command: AddTodo) -> Request:
    return "crm.activity.todo.add", {
        "ownerTypeId": type_id(command.record.entity),
        "ownerId": command.record.id,
        "deadline": iso(command.deadline_at),
        "title": command.title,
        "responsibleId": command.responsible,
    }


def close(command: CloseTodo) -> Request:
    return "crm.activity.update", {"id": command.activity_id, "fields": {"COMPLETED": "Y"}}


def set_user(command: SetActivityUser) -> Request:
    return "crm.activity.update", {
        "id": Ref("finish", "activity_id"),
        "fields": {"RESPONSIBLE_ID": command.user_id},
    }


def open_deals(command: ReadDeals) -> Request:
    field = "contactId" if command.record.entity == "contact" else "companyId"
    return "crm.item.list", {
        "entityTypeId": 2,
        "select": ["id", "categoryId", "stageId", "assignedById"],
        "filter": {f"={field}": command.record.id, "=closed": "N"},
    }


def deals(result: dict[str, Any]) -> dict[str, Any]:
    return {
        "deals": [
            {
                "id": int(item["id"]),
                "category_id": int(item.get("categoryId") or 0),
                "stage_id": str(item.get("stageId") or ""),
                "responsible": int(item.get("assignedById") or 0),
            }
            for item in result.get("items") or []
        ]
    }


def notify(command: Notify) -> Request:
    params: dict[str, Any] = {"USER_ID": command.user_id, "MESSAGE": command.text}
    if command.tag:
        params["TAG"] = command.tag
    return "im.notify.system.add", params


__all__ = ["ORIGINATOR", "call_id", "type_id"]
