"""Writing CRM records: access, checks, defaults, stages and links between records.

Both crm.item.* and the older methods use these functions, with camelCase field names. Creating or updating a lead,
deal, contact or company sends its event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bx24app.sandbox.bitrix import fields, php
from bx24app.sandbox.bitrix.registry import CommandContext, RestError
from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, DEAL, LEAD, Record, Status

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal

_TYPE_TITLES = {LEAD: "Лид", DEAL: "Сделка", CONTACT: "Контакт", COMPANY: "Компания"}
_EVENT_NAMES = {LEAD: "LEAD", DEAL: "DEAL", CONTACT: "CONTACT", COMPANY: "COMPANY"}
_ID_FIELDS = ("assignedById", "companyId", "contactId", "categoryId", "leadId", "webformId")


def require_type(context: CommandContext, value: Any) -> int:
    """The entityTypeId of a request.

    Raises:
        RestError: `100`, the parameter is missing; NOT_FOUND, there is no such type; ACCESS_DENIED, the user may not
            use the CRM.
    """
    if value in (None, ""):
        raise RestError("100", "Could not find value for parameter {entityTypeId}", 400)
    type_id = php.to_int(value)
    if type_id not in (LEAD, DEAL, CONTACT, COMPANY) and not any(
        spa_type.entity_type_id == type_id for spa_type in context.portal.types
    ):
        raise RestError("NOT_FOUND", "Смарт-процесс не найден", 400)
    if not context.user.rights.get("crm", True):
        raise RestError("ACCESS_DENIED", "Доступ запрещен", 400)
    return type_id


def find_record(context: CommandContext, type_id: int, number: Any) -> Record:
    """The record with this id.

    Raises:
        RestError: NOT_FOUND, there is no such record; ACCESS_DENIED, the user may not read it.
    """
    record = context.portal.crm.get_record(type_id, php.to_int(number))
    if record is None:
        raise RestError("NOT_FOUND", "Элемент не найден", 400)
    if not is_readable(context, record):
        raise RestError("ACCESS_DENIED", "Доступ запрещен", 400)
    return record


def is_readable(context: CommandContext, record: Record) -> bool:
    """Whether the user may read a record. Without the right `others` users read only their own records."""
    return context.user.rights.get("others", True) or record.assigned_by_id == context.user.id


def stage_entity(type_id: int, category: int) -> str:
    """The ENTITY_ID of the stages of a pipeline in crm.status.list."""
    if type_id == LEAD:
        return "STATUS"
    if type_id == DEAL:
        return f"DEAL_STAGE_{category}" if category else "DEAL_STAGE"
    return f"DYNAMIC_{type_id}_STAGE_{category}"


def list_stages(portal: Portal, type_id: int, category: int) -> list[Status]:
    """The stages of a pipeline, in order."""
    wanted = stage_entity(type_id, category)
    return sorted((status for status in portal.statuses if status.entity_id == wanted), key=lambda status: status.sort)


def drop_unknown_fields(context: CommandContext, type_id: int, given: dict[str, Any]) -> dict[str, Any]:
    """The fields that this type has. A portal ignores others silently; here each of them is a violation."""
    accepted: dict[str, Any] = {}
    for name, value in given.items():
        if fields.is_accepted(type_id, name):
            accepted[name] = value
        else:
            context.portal.add_violation(context.method, f"unknown field fields[{name}] of entityTypeId {type_id}")
    return accepted


def _cast_values(given: dict[str, Any]) -> dict[str, Any]:
    """Field values with ids as numbers, lists of ids as lists and the amount as a float."""
    values = dict(given)
    for name in _ID_FIELDS:
        if name in values and values[name] not in (None, ""):
            values[name] = php.to_int(values[name])
    for name in values:
        if fields.is_multiple(name):
            values[name] = [php.to_int(number) for number in php.array_values(values[name]) if php.to_int(number)]
    if "opportunity" in values:
        values["opportunity"] = float(values["opportunity"] or 0)
    return values


def _link_contacts(values: dict[str, Any], type_id: int) -> None:
    """Keeps contactId and contactIds in step: contactId is the first of the list."""
    if type_id in (CONTACT, COMPANY):
        return
    if values.get("contactIds"):
        values["contactId"] = values["contactIds"][0]
    elif values.get("contactId"):
        values["contactIds"] = [values["contactId"]]


def _check_references(context: CommandContext, type_id: int, values: dict[str, Any], *, category: int) -> None:
    """Checks that the users, clients, pipelines, stages and sources in the fields exist.

    Some of them are an error in a real portal, others are accepted silently and become violations.
    """
    portal = context.portal
    user = values.get("assignedById")
    if user is not None and (user not in portal.users or not portal.users[user].active):
        raise RestError("ERROR_CORE", 'Поле "Ответственный" заполнено неверно.', 400)
    for number in values.get("contactIds", []):
        if portal.crm.get_record(CONTACT, number) is None:
            portal.add_violation(context.method, f"there is no contact {number}")
    if values.get("companyId") and portal.crm.get_record(COMPANY, values["companyId"]) is None:
        portal.add_violation(context.method, f"there is no company {values['companyId']}")
    pipelines = {(pipeline.type_id, pipeline.id) for pipeline in portal.categories}
    if "categoryId" in values and (type_id, category) not in pipelines:
        raise RestError("CRM_FIELD_ERROR_VALUE_NOT_VALID", 'Недопустимое значение поля "Воронка"', 400)
    stage = values.get("stageId")
    if stage is not None and stage not in {status.status_id for status in list_stages(portal, type_id, category)}:
        raise RestError("CRM_FIELD_ERROR_VALUE_NOT_VALID", 'Недопустимое значение поля "Стадия"', 400)
    source = values.get("sourceId")
    if source and source not in {status.status_id for status in portal.statuses if status.entity_id == "SOURCE"}:
        portal.add_violation(context.method, f"there is no source {source}")


def _set_semantics(portal: Portal, type_id: int, values: dict[str, Any]) -> None:
    stages = list_stages(portal, type_id, int(values.get("categoryId") or 0))
    row = next((status for status in stages if status.status_id == values["stageId"]), None)
    values["stageSemanticId"] = (row.semantics if row else None) or "P"
    values["closed"] = "N" if values["stageSemanticId"] == "P" else "Y"


def parse_multi(context: CommandContext, given: Any) -> list[dict[str, Any]]:
    """The items of an `fm` list. Without typeId an item is a violation; without value and id it is ignored."""
    items: list[dict[str, Any]] = []
    for item in php.array_values(given):
        if not isinstance(item, dict) or "typeId" not in item:
            context.portal.add_violation(context.method, "fm needs typeId, valueType and value")
        elif item.get("value") or item.get("id"):
            items.append(item)
    return items


def add_record(context: CommandContext, type_id: int, given: dict[str, Any]) -> Record:
    """Creates a record from camelCase fields.

    Raises:
        RestError: the responsible, pipeline or stage does not exist.
    """
    portal = context.portal
    values = _cast_values({key: value for key, value in given.items() if key != "fm"})
    _link_contacts(values, type_id)
    base = {name: fields.default_value(kind) for name, kind in fields.writable_fields(type_id).items() if name != "fm"}
    category = int(values.get("categoryId") or _default_category(portal, type_id))
    _check_references(context, type_id, values, category=category)
    stamp = portal.clock.format_iso()
    base |= {"assignedById": context.user.id, "createdBy": context.user.id, "updatedBy": context.user.id, "opened": "Y"}
    base |= {"createdTime": stamp, "updatedTime": stamp, **values}
    if type_id not in (CONTACT, COMPANY):
        if type_id != LEAD:
            base["categoryId"] = category
        known_stages = list_stages(portal, type_id, category)
        base["stageId"] = values.get("stageId") or (known_stages[0].status_id if known_stages else "")
        _set_semantics(portal, type_id, base)
    record = portal.crm.add_record(type_id, base, parse_multi(context, given.get("fm")))
    if "title" in fields.writable_fields(type_id) and not record.fields.get("title"):
        record.fields["title"] = f"{_TYPE_TITLES.get(type_id, 'Элемент')} #{record.id}"
    _announce_change(context, record, "ADD")
    return record


def _default_category(portal: Portal, type_id: int) -> int:
    return next((category.id for category in portal.categories if category.type_id == type_id and category.default), 0)


def update_record(context: CommandContext, record: Record, given: dict[str, Any]) -> Record:
    """Changes a record. An `fm` item with an id changes that value, or deletes it if empty; without an id it adds one.

    Raises:
        RestError: the responsible, pipeline or stage does not exist.
    """
    portal = context.portal
    values = _cast_values({key: value for key, value in given.items() if key != "fm"})
    _link_contacts(values, record.type_id)
    category = int(values.get("categoryId", record.fields.get("categoryId")) or 0)
    _check_references(context, record.type_id, values, category=category)
    if "stageId" in values and values["stageId"] != record.stage_id:
        values["previousStageId"], values["movedTime"] = record.stage_id, portal.clock.format_iso()
        values["movedBy"] = context.user.id
    record.fields.update(values, updatedTime=portal.clock.format_iso(), updatedBy=context.user.id)
    if "stageId" in values:
        _set_semantics(portal, record.type_id, record.fields)
    for item in parse_multi(context, given.get("fm")):
        _change_multi(portal, record, item)
    _announce_change(context, record, "UPDATE")
    return record


def _change_multi(portal: Portal, record: Record, item: dict[str, Any]) -> None:
    old = next((known for known in record.multi if known.id == php.to_int(item.get("id"))), None)
    if old is not None:
        portal.crm.detach_value(record, old)
    if item.get("value"):
        portal.crm.attach_value(record, str(item["typeId"]), str(item.get("valueType") or "WORK"), str(item["value"]))


def _announce_change(context: CommandContext, record: Record, verb: str) -> None:
    if record.type_id in _EVENT_NAMES:
        event = f"ONCRM{_EVENT_NAMES[record.type_id]}{verb}"
        context.portal.event_sender.send_event(event, {"FIELDS": {"ID": record.id}}, context.user.id)
    context.portal.notify_watchers("record", type=record.type_id, id=record.id)
