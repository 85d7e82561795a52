"""Command -> (method, params), answer -> facts: CRM records, activities, to-dos, notices (crm.*, im.*)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bx24app.bitrix24.telephony import Request, call_id, iso
from bx24app.domain.calls.commands import (
    AddComment,
    AddTodo,
    Bind,
    CloseTodo,
    CreateRecord,
    Notify,
    ReadDay,
    ReadDeals,
    ReadOpen,
    ReadTodo,
    Reassign,
    Ref,
    RetitleTodo,
    SetActivityUser,
)

ORIGINATOR = "bx24app"
"""originatorId of every record that we make: with originId it tells our own after a lost answer."""

SAME_DEADLINE = 60
"""Seconds: portals keep deadlines to the minute in places."""

_TYPE_IDS = {"lead": 1, "deal": 2, "contact": 3, "company": 4}


def type_id(entity: str) -> int:
    """entityTypeId: the four old ones by name, smart processes by their number."""
    return _TYPE_IDS.get(entity) or int(entity)


def is_process(entity: str) -> bool:
    """A smart process, by its number."""
    return entity not in _TYPE_IDS


def create(command: CreateRecord) -> Request:
    fields: dict[str, Any] = dict(command.fields)
    fields.update(assignedById=command.responsible, **_origin(command))
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
    if command.lead is not None:
        fields["parentId1" if is_process(command.entity) else "leadId"] = command.lead
    if command.category_id is not None:
        fields["categoryId"] = command.category_id
    if command.stage_id is not None:
        fields["stageId"] = command.stage_id
    return "crm.item.add", {"entityTypeId": type_id(command.entity), "fields": fields}


def _origin(command: CreateRecord) -> dict[str, str]:
    """Smart processes have no originId, but an xmlId."""
    if is_process(command.entity):
        return {"xmlId": f"{ORIGINATOR}:{command.origin}"}
    return {"originatorId": ORIGINATOR, "originId": command.origin}


def created(result: dict[str, Any]) -> dict[str, Any]:
    return {"id": int(result["item"]["id"])}


def look_for_record(command: CreateRecord) -> Request:
    """After a lost answer: there is no uniqueness on the origin, so look before making a second one."""
    origin = _origin(command)
    return "crm.item.list", {
        "entityTypeId": type_id(command.entity),
        "select": ["id", *origin],
        "filter": {f"={name}": value for name, value in origin.items()},
    }


def found_record(command: CreateRecord, result: dict[str, Any]) -> dict[str, Any] | None:
    origin = _origin(command)
    for item in result["items"]:
        if all(item.get(name) == value for name, value in origin.items()):
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
        "activityId": Ref(command.todo, "id") if command.todo else Ref("finish", "activity_id"),
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


def retitle(command: RetitleTodo) -> Request:
    return "crm.activity.todo.update", {
        "id": command.activity_id,
        "ownerTypeId": type_id(command.record.entity),
        "ownerId": command.record.id,
        "deadline": iso(command.deadline_at),
        "title": command.title,
    }


def comment(command: AddComment) -> Request:
    return "crm.timeline.comment.add", {
        "fields": {
            "ENTITY_ID": command.record.id,
            "ENTITY_TYPE": _comment_type(command),
            "COMMENT": command.text,
        }
    }


def _comment_type(command: AddComment) -> str:
    entity = command.record.entity
    return f"dynamic_{entity}" if is_process(entity) else entity


def open_items(command: ReadOpen) -> Request:
    """Open: in a stage that is neither won nor lost (semantics P)."""
    held: dict[str, Any] = {"=stageSemanticId": "P", f"={_owner_field(command)}": command.record.id}
    if command.category_id is not None:
        held["=categoryId"] = command.category_id
    return "crm.item.list", {
        "entityTypeId": type_id(command.entity),
        "select": ["id", "categoryId", "assignedById"],
        "filter": held,
    }


def _owner_field(command: ReadOpen) -> str:
    if command.record.entity == "lead":
        return "parentId1" if is_process(command.entity) else "leadId"
    return "contactId" if command.record.entity == "contact" else "companyId"


def opened(result: dict[str, Any]) -> dict[str, Any]:
    items = result.get("items") or []
    return {"open": [{"id": int(item["id"]), "responsible": int(item.get("assignedById") or 0)} for item in items]}


def day(command: ReadDay) -> Request:
    return "timeman.status", {"USER_ID": command.user_id}


def day_told(result: dict[str, Any]) -> dict[str, Any]:
    return {"day": str(result["STATUS"])}


def look_at_todo(command: ReadTodo) -> Request:
    return "crm.activity.get", {"id": command.activity_id}


def todo_told(result: dict[str, Any]) -> dict[str, Any]:
    return {"open": result.get("COMPLETED") != "Y"}


def look_for_todo(command: AddTodo, record_id: int) -> Request:
    """After a lost answer: the to-dos of this record with this title; `found_todo` compares their deadlines."""
    return "crm.activity.list", {
        "select": ["ID", "SUBJECT", "DEADLINE"],
        "order": {"ID": "DESC"},
        "filter": {
            "OWNER_TYPE_ID": type_id(command.record.entity),
            "OWNER_ID": record_id,
            "SUBJECT": command.title,
        },
    }


def found_todo(command: AddTodo, result: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Each call's to-do has a deadline of its own, so an older one of the same client is not taken for this one."""
    for row in result:
        deadline = datetime.fromisoformat(row["DEADLINE"]).timestamp() if row.get("DEADLINE") else 0.0
        if row.get("SUBJECT") == command.title and abs(deadline - command.deadline_at) < SAME_DEADLINE:
            return {"id": int(row["ID"]), "found": True}
    return None


def look_for_comment(command: AddComment, record_id: int) -> Request:
    """After a lost answer: the newest comments of this record; `found_comment` compares them."""
    return "crm.timeline.comment.list", {
        "select": ["ID", "COMMENT", "CREATED"],
        "order": {"ID": "DESC"},
        "filter": {"ENTITY_ID": record_id, "ENTITY_TYPE": _comment_type(command)},
    }


def found_comment(command: AddComment, since: float, result: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The same words, not older than `since`: an earlier call may have left the same ones."""
    for row in result:
        made = datetime.fromisoformat(row["CREATED"]).timestamp()
        if row["COMMENT"] == command.text and made >= since:
            return {"id": int(row["ID"]), "found": True}
    return None


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
