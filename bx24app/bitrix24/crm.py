"""Requests and answers of the CRM, of working days and of notices (`crm.*`, `timeman.*`, `im.*`).

A `build_…` turns a command into (method, params); a `parse_…` turns the answer into the facts that the ledger keeps.
After a lost answer a `build_…_query` asks whether the command was carried out, and a `match_…` finds its record in the
answer. The tables are in `commands`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bx24app.bitrix24.telephony import RestRequest, to_iso
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
from bx24app.domain.crm_dictionaries import is_final_stage

ORIGINATOR = "bx24app"
"""originatorId of every record that the app makes; with originId it identifies the record after a lost answer."""

REMINDER_MINUTES = (0, 15)
"""Minutes before a to-do's deadline at which the portal reminds its responsible: what its own form offers. Without them
it never reminds (crm-activity-todo-add.md: `pingOffsets` is empty by default)."""
DEADLINE_TOLERANCE = 60
"""Seconds by which a stored deadline may differ: some portals keep deadlines to the minute."""

_TYPE_IDS = {"lead": 1, "deal": 2, "contact": 3, "company": 4}


def entity_type_id(entity: str) -> int:
    """The entityTypeId of an entity: four have a name, smart processes their number."""
    return _TYPE_IDS.get(entity) or int(entity)


def is_smart_process(entity: str) -> bool:
    """Is this entity a smart process, named by its number?"""
    return entity not in _TYPE_IDS


def build_create_record(command: CreateRecord) -> RestRequest:
    fields: dict[str, Any] = dict(command.fields)
    fields.update(assignedById=command.responsible, **_origin_fields(command))
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
        fields["parentId1" if is_smart_process(command.entity) else "leadId"] = command.lead
    if command.category_id is not None:
        fields["categoryId"] = command.category_id
    if command.stage_id is not None:
        fields["stageId"] = command.stage_id
    return "crm.item.add", {"entityTypeId": entity_type_id(command.entity), "fields": fields}


def _origin_fields(command: CreateRecord) -> dict[str, str]:
    """The fields by which a record is found again; smart processes have an xmlId in place of originId."""
    if is_smart_process(command.entity):
        return {"xmlId": f"{ORIGINATOR}:{command.origin}"}
    return {"originatorId": ORIGINATOR, "originId": command.origin}


def parse_created_record(result: dict[str, Any]) -> dict[str, Any]:
    return {"id": int(result["item"]["id"])}


def build_record_query(command: CreateRecord) -> RestRequest:
    """After a lost answer: a second record with the same origin would be accepted, so look for the first."""
    origin = _origin_fields(command)
    return "crm.item.list", {
        "entityTypeId": entity_type_id(command.entity),
        "select": ["id", *origin],
        "filter": {f"={name}": value for name, value in origin.items()},
    }


def match_record(command: CreateRecord, result: dict[str, Any]) -> dict[str, Any] | None:
    origin = _origin_fields(command)
    for item in result["items"]:
        if all(item.get(name) == value for name, value in origin.items()):
            return {"id": int(item["id"]), "found": True}
    return None


def build_reassign(command: Reassign) -> RestRequest:
    return "crm.item.update", {
        "entityTypeId": entity_type_id(command.record.entity),
        "id": command.record.id,
        "fields": {"assignedById": command.user_id},
    }


def build_bind(command: Bind) -> RestRequest:
    return "crm.activity.binding.add", {
        "activityId": Ref(command.todo, "id") if command.todo else Ref("finish", "activity_id"),
        "entityTypeId": entity_type_id(command.record.entity),
        "entityId": command.record.id,
    }


def build_add_todo(command: AddTodo) -> RestRequest:
    return "crm.activity.todo.add", {
        "ownerTypeId": entity_type_id(command.record.entity),
        "ownerId": command.record.id,
        "deadline": to_iso(command.deadline_at),
        "title": command.title,
        "responsibleId": command.responsible,
        "pingOffsets": list(REMINDER_MINUTES),
    }


def build_retitle_todo(command: RetitleTodo) -> RestRequest:
    """The subject alone: `crm.activity.todo.update` empties what it is not sent, a colleague's notes and reminders too
    (server source; crm-activity-todo-update.md)."""
    return "crm.activity.update", {"id": command.activity_id, "fields": {"SUBJECT": command.title}}


def build_add_comment(command: AddComment) -> RestRequest:
    return "crm.timeline.comment.add", {
        "fields": {
            "ENTITY_ID": command.record.id,
            "ENTITY_TYPE": _comment_entity_type(command),
            "COMMENT": command.text,
        }
    }


def _comment_entity_type(command: AddComment) -> str:
    entity = command.record.entity
    return f"dynamic_{entity}" if is_smart_process(entity) else entity


def build_read_open(command: ReadOpen) -> RestRequest:
    """Open means in a stage that is neither won nor lost.

    Only leads and deals have `stageSemanticId`; an unknown field in a filter is an error (crm-item-list.md). Where the
    final stages of a smart process could not be read, the answer's stages tell (`parse_open_items`).
    """
    select = ["id", "categoryId", "assignedById"]
    conditions: dict[str, Any] = {f"={_owner_field(command)}": command.record.id}
    if not is_smart_process(command.entity):
        conditions["=stageSemanticId"] = "P"
    elif command.final_stages:
        conditions["!@stageId"] = list(command.final_stages)
    else:
        select.append("stageId")
    if command.category_id is not None:
        conditions["=categoryId"] = command.category_id
    return "crm.item.list", {
        "entityTypeId": entity_type_id(command.entity),
        "select": select,
        "filter": conditions,
    }


def _owner_field(command: ReadOpen) -> str:
    if command.record.entity == "lead":
        return "parentId1" if is_smart_process(command.entity) else "leadId"
    return "contactIds" if command.record.entity == "contact" else "companyId"


def parse_open_items(result: dict[str, Any]) -> dict[str, Any]:
    items = [item for item in result.get("items") or [] if not is_final_stage(str(item.get("stageId") or ""))]
    return {"open": [{"id": int(item["id"]), "responsible": int(item.get("assignedById") or 0)} for item in items]}


def build_read_day(command: ReadDay) -> RestRequest:
    return "timeman.status", {"USER_ID": command.user_id}


def parse_day(result: dict[str, Any]) -> dict[str, Any]:
    return {"day": str(result["STATUS"])}


def build_read_todo(command: ReadTodo) -> RestRequest:
    return "crm.activity.get", {"id": command.activity_id}


def parse_todo(result: dict[str, Any]) -> dict[str, Any]:
    """Without an activity, which was deleted, nothing is open."""
    return {"open": bool(result) and result.get("COMPLETED") != "Y"}


def build_todo_query(command: AddTodo, record_id: int) -> RestRequest:
    """After a lost answer: the to-dos of this record with this title; `match_todo` compares their deadlines."""
    return "crm.activity.list", {
        "select": ["ID", "SUBJECT", "DEADLINE"],
        "order": {"ID": "DESC"},
        "filter": {
            "OWNER_TYPE_ID": entity_type_id(command.record.entity),
            "OWNER_ID": record_id,
            "SUBJECT": command.title,
        },
    }


def match_todo(command: AddTodo, result: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The to-do with the same deadline: each call's to-do has its own, so one of an earlier call does not match."""
    for row in result:
        deadline = datetime.fromisoformat(row["DEADLINE"]).timestamp() if row.get("DEADLINE") else 0.0
        if row.get("SUBJECT") == command.title and abs(deadline - command.deadline_at) < DEADLINE_TOLERANCE:
            return {"id": int(row["ID"]), "found": True}
    return None


def build_comment_query(command: AddComment, record_id: int) -> RestRequest:
    """After a lost answer: the newest comments of this record; `match_comment` compares them."""
    return "crm.timeline.comment.list", {
        "select": ["ID", "COMMENT", "CREATED"],
        "order": {"ID": "DESC"},
        "filter": {"ENTITY_ID": record_id, "ENTITY_TYPE": _comment_entity_type(command)},
    }


def match_comment(command: AddComment, since: float, result: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The comment with the same text that is not older than `since`: an earlier call may have left the same text."""
    for row in result:
        created_at = datetime.fromisoformat(row["CREATED"]).timestamp()
        if row["COMMENT"] == command.text and created_at >= since:
            return {"id": int(row["ID"]), "found": True}
    return None


def build_close_todo(command: CloseTodo) -> RestRequest:
    return "crm.activity.update", {"id": command.activity_id, "fields": {"COMPLETED": "Y"}}


def build_set_user(command: SetActivityUser) -> RestRequest:
    return "crm.activity.update", {
        "id": Ref("finish", "activity_id"),
        "fields": {"RESPONSIBLE_ID": command.user_id},
    }


def build_read_deals(command: ReadDeals) -> RestRequest:
    # `contactId` is the main contact alone.
    field = "contactIds" if command.record.entity == "contact" else "companyId"
    return "crm.item.list", {
        "entityTypeId": 2,
        "select": ["id", "categoryId", "stageId", "assignedById"],
        "filter": {f"={field}": command.record.id, "=closed": "N"},
    }


def parse_deals(result: dict[str, Any]) -> dict[str, Any]:
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


def build_notify(command: Notify) -> RestRequest:
    params: dict[str, Any] = {"USER_ID": command.user_id, "MESSAGE": command.text}
    if command.tag:
        params["TAG"] = command.tag
    return "im.notify.system.add", params
