"""Writing CRM records: checks, defaults, stages, links; used by crm.item.* and the older methods alike."""

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


def require_type(hit: CommandContext, value: Any) -> int:
    """entityTypeId of a request.

    Raises:
        RestError: NOT_FOUND, there is no such type; `100` without one; leads in simple CRM.
    """
    if value in (None, ""):
        raise RestError("100", "Could not find value for parameter {entityTypeId}", 400)
    type_id = php.to_int(value)
    if type_id not in (LEAD, DEAL, CONTACT, COMPANY) and not any(
        one.entity_type_id == type_id for one in hit.portal.types
    ):
        raise RestError("NOT_FOUND", "Смарт-процесс не найден", 400)
    if not hit.user.rights.get("crm", True):
        raise RestError("ACCESS_DENIED", "Доступ запрещен", 400)
    return type_id


def find_record(hit: CommandContext, type_id: int, number: Any) -> Record:
    """A record by id.

    Raises:
        RestError: NOT_FOUND; ACCESS_DENIED, the user may not read it.
    """
    record = hit.portal.crm.get_record(type_id, php.to_int(number))
    if record is None:
        raise RestError("NOT_FOUND", "Элемент не найден", 400)
    if not is_readable(hit, record):
        raise RestError("ACCESS_DENIED", "Доступ запрещен", 400)
    return record


def is_readable(hit: CommandContext, record: Record) -> bool:
    """May the user read it? Everybody reads everything but who was restricted to their own records (right `others`)."""
    return hit.user.rights.get("others", True) or record.assigned_by_id == hit.user.id


def stage_entity(type_id: int, category: int) -> str:
    """ENTITY_ID under which the stages of a pipeline stand in crm.status.list."""
    if type_id == LEAD:
        return "STATUS"
    if type_id == DEAL:
        return f"DEAL_STAGE_{category}" if category else "DEAL_STAGE"
    return f"DYNAMIC_{type_id}_STAGE_{category}"


def list_stages(portal: Portal, type_id: int, category: int) -> list[Status]:
    """Stages of a pipeline, in order."""
    wanted = stage_entity(type_id, category)
    return sorted((one for one in portal.statuses if one.entity_id == wanted), key=lambda one: one.sort)


def drop_unknown_fields(hit: CommandContext, type_id: int, given: dict[str, Any]) -> dict[str, Any]:
    """Fields of this type. Others are ignored without an error: a violation here."""
    kept: dict[str, Any] = {}
    for name, value in given.items():
        if fields.is_accepted(type_id, name):
            kept[name] = value
        else:
            hit.portal.add_violation(hit.method, f"unknown field fields[{name}] of entityTypeId {type_id}")
    return kept


def _cast_values(given: dict[str, Any]) -> dict[str, Any]:
    """Ids as numbers, lists of ids as lists."""
    made = dict(given)
    for name in _ID_FIELDS:
        if name in made and made[name] not in (None, ""):
            made[name] = php.to_int(made[name])
    for name in made:
        if fields.is_multiple(name):
            made[name] = [php.to_int(one) for one in php.array_values(made[name]) if php.to_int(one)]
    if "opportunity" in made:
        made["opportunity"] = float(made["opportunity"] or 0)
    return made


def _link_contacts(made: dict[str, Any], type_id: int) -> None:
    """contactId and contactIds tell the same; the first of the list is the main one."""
    if type_id in (CONTACT, COMPANY):
        return
    if made.get("contactIds"):
        made["contactId"] = made["contactIds"][0]
    elif made.get("contactId"):
        made["contactIds"] = [made["contactId"]]


def _check_references(hit: CommandContext, type_id: int, made: dict[str, Any], *, category: int) -> None:
    """Users, clients, pipelines and stages that are named must exist."""
    portal = hit.portal
    user = made.get("assignedById")
    if user is not None and (user not in portal.users or not portal.users[user].active):
        raise RestError("ERROR_CORE", 'Поле "Ответственный" заполнено неверно.', 400)
    for number in made.get("contactIds", []):
        if portal.crm.get_record(CONTACT, number) is None:
            portal.add_violation(hit.method, f"there is no contact {number}")
    if made.get("companyId") and portal.crm.get_record(COMPANY, made["companyId"]) is None:
        portal.add_violation(hit.method, f"there is no company {made['companyId']}")
    if "categoryId" in made and not any(one.type_id == type_id and one.id == category for one in portal.categories):
        raise RestError("CRM_FIELD_ERROR_VALUE_NOT_VALID", 'Недопустимое значение поля "Воронка"', 400)
    stage = made.get("stageId")
    if stage is not None and stage not in {one.status_id for one in list_stages(portal, type_id, category)}:
        raise RestError("CRM_FIELD_ERROR_VALUE_NOT_VALID", 'Недопустимое значение поля "Стадия"', 400)
    source = made.get("sourceId")
    if source and source not in {one.status_id for one in portal.statuses if one.entity_id == "SOURCE"}:
        portal.add_violation(hit.method, f"there is no source {source}")


def _set_semantics(portal: Portal, type_id: int, made: dict[str, Any]) -> None:
    row = next(
        (one for one in list_stages(portal, type_id, int(made.get("categoryId") or 0)) if one.status_id == made["stageId"]),
        None,
    )
    made["stageSemanticId"] = (row.semantics if row else None) or "P"
    made["closed"] = "N" if made["stageSemanticId"] == "P" else "Y"


def parse_multi(hit: CommandContext, given: Any) -> list[dict[str, Any]]:
    """The `fm` list. Kinds must be named; an empty value is dropped."""
    kept: list[dict[str, Any]] = []
    for item in php.array_values(given):
        if not isinstance(item, dict) or "typeId" not in item:
            hit.portal.add_violation(hit.method, "fm needs typeId, valueType and value")
        elif item.get("value") or item.get("id"):
            kept.append(item)
    return kept


def add_record(hit: CommandContext, type_id: int, given: dict[str, Any]) -> Record:
    """Makes a record from camelCase fields.

    Raises:
        RestError: a responsible, pipeline or stage that is not there.
    """
    portal = hit.portal
    made = _cast_values({key: value for key, value in given.items() if key != "fm"})
    _link_contacts(made, type_id)
    base = {name: fields.default_value(kind) for name, kind in fields.writable_fields(type_id).items() if name != "fm"}
    category = int(made.get("categoryId") or _default_category(portal, type_id))
    _check_references(hit, type_id, made, category=category)
    stamp = portal.clock.format_iso()
    base |= {"assignedById": hit.user.id, "createdBy": hit.user.id, "updatedBy": hit.user.id, "opened": "Y"}
    base |= {"createdTime": stamp, "updatedTime": stamp, **made}
    if type_id not in (CONTACT, COMPANY):
        if type_id != LEAD:
            base["categoryId"] = category
        known_stages = list_stages(portal, type_id, category)
        base["stageId"] = made.get("stageId") or (known_stages[0].status_id if known_stages else "")
        _set_semantics(portal, type_id, base)
    record = portal.crm.add_record(type_id, base, parse_multi(hit, given.get("fm")))
    if "title" in fields.writable_fields(type_id) and not record.fields.get("title"):
        record.fields["title"] = f"{_TYPE_TITLES.get(type_id, 'Элемент')} #{record.id}"
    _announce_change(hit, record, "ADD")
    return record


def _default_category(portal: Portal, type_id: int) -> int:
    return next((one.id for one in portal.categories if one.type_id == type_id and one.default), 0)


def update_record(hit: CommandContext, record: Record, given: dict[str, Any]) -> Record:
    """Changes a record. `fm` items with an id change or (empty) delete that value, those without are added."""
    portal = hit.portal
    made = _cast_values({key: value for key, value in given.items() if key != "fm"})
    _link_contacts(made, record.type_id)
    _check_references(hit, record.type_id, made, category=int(made.get("categoryId", record.fields.get("categoryId")) or 0))
    if "stageId" in made and made["stageId"] != record.stage_id:
        made["previousStageId"], made["movedTime"] = record.stage_id, portal.clock.format_iso()
        made["movedBy"] = hit.user.id
    record.fields.update(made, updatedTime=portal.clock.format_iso(), updatedBy=hit.user.id)
    if "stageId" in made:
        _set_semantics(portal, record.type_id, record.fields)
    for item in parse_multi(hit, given.get("fm")):
        _change_multi(portal, record, item)
    _announce_change(hit, record, "UPDATE")
    return record


def _change_multi(portal: Portal, record: Record, item: dict[str, Any]) -> None:
    old = next((one for one in record.multi if one.id == php.to_int(item.get("id"))), None)
    if old is not None:
        portal.crm.detach_value(record, old)
    if item.get("value"):
        portal.crm.attach_value(record, str(item["typeId"]), str(item.get("valueType") or "WORK"), str(item["value"]))


def _announce_change(hit: CommandContext, record: Record, verb: str) -> None:
    if record.type_id in _EVENT_NAMES:
        event = f"ONCRM{_EVENT_NAMES[record.type_id]}{verb}"
        hit.portal.event_sender.send_event(event, {"FIELDS": {"ID": record.id}}, hit.user.id)
    hit.portal.notify_watchers("record", type=record.type_id, id=record.id)
