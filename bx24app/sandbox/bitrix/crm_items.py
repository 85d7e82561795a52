"""crm.item.*: one interface for leads, deals, contacts, companies and smart processes."""

from __future__ import annotations

from typing import Any

from bx24app.sandbox.bitrix import fields, filters, php, records
from bx24app.sandbox.bitrix.registry import Hit, Page, RestError, method
from bx24app.sandbox.bitrix.state import Record


def shown(record: Record) -> dict[str, Any]:
    """A record as crm.item.* answers it, without phones."""
    body = {**record.fields, "id": record.id, "entityTypeId": record.type_id}
    if record.type_id in fields.WITH_MULTI:
        body["hasPhone"] = "Y" if record.phones else "N"
    return body


def _multi(record: Record) -> list[dict[str, Any]]:
    return [
        {"id": one.id, "typeId": one.type_id, "valueType": one.value_type, "value": one.value} for one in record.multi
    ]


def _full(record: Record) -> dict[str, Any]:
    body = shown(record)
    if record.type_id in fields.WITH_MULTI:
        body["fm"] = _multi(record)
    return body


def _fields(params: dict[str, Any]) -> dict[str, Any]:
    given = params.get("fields")
    if given is None:
        raise RestError("100", "Could not find value for parameter {fields}", 400)
    return given if isinstance(given, dict) else {}


@method("crm.item.add", "crm")
def add(hit: Hit, params: dict[str, Any]) -> dict[str, Any]:
    type_id = records.entity(hit, params.get("entityTypeId"))
    return {"item": _full(records.add(hit, type_id, records.known(hit, type_id, _fields(params))))}


@method("crm.item.update", "crm")
def update(hit: Hit, params: dict[str, Any]) -> dict[str, Any]:
    type_id = records.entity(hit, params.get("entityTypeId"))
    record = records.find(hit, type_id, params.get("id"))
    return {"item": _full(records.update(hit, record, records.known(hit, type_id, _fields(params))))}


@method("crm.item.get", "crm")
def get(hit: Hit, params: dict[str, Any]) -> dict[str, Any]:
    type_id = records.entity(hit, params.get("entityTypeId"))
    return {"item": _full(records.find(hit, type_id, params.get("id")))}


@method("crm.item.delete", "crm")
def delete(hit: Hit, params: dict[str, Any]) -> list[Any]:
    type_id = records.entity(hit, params.get("entityTypeId"))
    hit.portal.crm.delete(records.find(hit, type_id, params.get("id")))
    return []


@method("crm.item.fields", "crm")
def describe(hit: Hit, params: dict[str, Any]) -> dict[str, Any]:
    type_id = records.entity(hit, params.get("entityTypeId"))
    names = fields.upper_names(type_id)
    described = {}
    for name, kind in {**fields.READ_ONLY, **fields.writable(type_id)}.items():
        described[name] = {
            "type": kind.removesuffix("[]"), "isRequired": False, "isReadOnly": name in fields.READ_ONLY,
            "isMultiple": kind.endswith("[]"), "isDynamic": False, "title": name, "upperName": names[name],
        }  # fmt: skip
    return {"fields": described}


@method("crm.item.list", "crm")
def listing(hit: Hit, params: dict[str, Any]) -> Page:
    type_id = records.entity(hit, params.get("entityTypeId"))
    wanted = params.get("filter") or {}
    _known(type_id, wanted)
    rows = [one.fields for one in hit.portal.crm.records[type_id].values() if records.readable(hit, one)]
    rows = [row for row in rows if filters.matches(row, wanted)] if wanted else rows
    rows = filters.sort(rows, params.get("order") or {"id": "ASC"})
    select = [str(name) for name in php.items(params.get("select"))]
    return filters.page(
        rows, params.get("start"), lambda part: {"items": [_select(hit, type_id, row, select) for row in part]}
    )


def _known(type_id: int, wanted: dict[str, Any]) -> None:
    for key, value in wanted.items():
        prefix, name = filters.split(key)
        if key.lower() == "logic":
            continue
        if isinstance(value, dict) and (key.isdigit() or not name):
            _known(type_id, value)
        elif not fields.filterable(type_id, name) or prefix not in filters.PREFIXES or name == "fm":
            raise RestError("INVALID_ARG_VALUE", f"Invalid filter: field '{key}' is not allowed in filter", 400)


def _select(hit: Hit, type_id: int, row: dict[str, Any], select: list[str]) -> dict[str, Any]:
    """Phones (`fm`) come only with `*`."""
    if not select or "*" in select:
        record = hit.portal.crm.get(type_id, row["id"])
        return _full(record) if record else row
    return {key: row.get(key) for key in ["id", *(name for name in select if name != "id")]}
