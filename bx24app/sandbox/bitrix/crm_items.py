"""The methods crm.item.*: one interface to leads, deals, contacts, companies and smart processes.

`records.py` holds the checks that these methods share with the older ones. Unknown keys in a filter are an error
here, as in a real portal.
"""

from __future__ import annotations

from typing import Any

from bx24app.sandbox.bitrix import documented_keys, fields, filters, php, records
from bx24app.sandbox.bitrix.registry import CommandContext, ListPage, RestError, rest_method
from bx24app.sandbox.bitrix.state import Record


def record_body(record: Record) -> dict[str, Any]:
    """A record as crm.item.* returns it, without phones and e-mails."""
    body = {**record.fields, "id": record.id, "entityTypeId": record.type_id}
    if record.type_id in fields.WITH_MULTI:
        body["hasPhone"] = "Y" if record.phones else "N"
    return body


def _multi_rows(record: Record) -> list[dict[str, Any]]:
    return [
        {"id": item.id, "typeId": item.type_id, "valueType": item.value_type, "value": item.value}
        for item in record.multi
    ]


def _full_body(record: Record) -> dict[str, Any]:
    body = record_body(record)
    if record.type_id in fields.WITH_MULTI:
        body["fm"] = _multi_rows(record)
    return documented_keys.complete_item(record, body)


def _require_fields(params: dict[str, Any]) -> dict[str, Any]:
    given = params.get("fields")
    if given is None:
        raise RestError("100", "Could not find value for parameter {fields}", 400)
    return given if isinstance(given, dict) else {}


@rest_method("crm.item.add", "crm")
def add_item(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    type_id = records.require_type(context, params.get("entityTypeId"))
    accepted = records.drop_unknown_fields(context, type_id, _require_fields(params))
    return {"item": _full_body(records.add_record(context, type_id, accepted))}


@rest_method("crm.item.update", "crm")
def update_item(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    type_id = records.require_type(context, params.get("entityTypeId"))
    record = records.find_record(context, type_id, params.get("id"))
    accepted = records.drop_unknown_fields(context, type_id, _require_fields(params))
    return {"item": _full_body(records.update_record(context, record, accepted))}


@rest_method("crm.item.get", "crm")
def get_item(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    type_id = records.require_type(context, params.get("entityTypeId"))
    return {"item": _full_body(records.find_record(context, type_id, params.get("id")))}


@rest_method("crm.item.delete", "crm")
def delete_item(context: CommandContext, params: dict[str, Any]) -> list[Any]:
    type_id = records.require_type(context, params.get("entityTypeId"))
    context.portal.crm.delete_record(records.find_record(context, type_id, params.get("id")))
    return []


@rest_method("crm.item.fields", "crm")
def describe_fields(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    type_id = records.require_type(context, params.get("entityTypeId"))
    names = fields.upper_names(type_id)
    described = {}
    for name, kind in {**fields.READ_ONLY, **fields.writable_fields(type_id)}.items():
        described[name] = {
            "type": kind.removesuffix("[]"), "isRequired": False, "isReadOnly": name in fields.READ_ONLY,
            "isMultiple": kind.endswith("[]"), "isDynamic": False, "title": name, "upperName": names[name],
        }  # fmt: skip
    return {"fields": described}


@rest_method("crm.item.list", "crm")
def list_items(context: CommandContext, params: dict[str, Any]) -> ListPage:
    type_id = records.require_type(context, params.get("entityTypeId"))
    wanted = params.get("filter") or {}
    parents = next((one.parents for one in context.portal.types if one.entity_type_id == type_id), ())
    _check_filter(type_id, wanted, parents)
    stored = context.portal.crm.records[type_id].values()
    rows = [record.fields for record in stored if records.is_readable(context, record)]
    rows = [row for row in rows if filters.matches_filter(row, wanted)] if wanted else rows
    rows = filters.sort_rows(rows, params.get("order") or {"id": "ASC"})
    select = [str(name) for name in php.array_values(params.get("select"))]
    return filters.make_page(
        rows,
        params.get("start"),
        lambda part: {"items": [_select_fields(context, type_id, row, select) for row in part]},
    )


def _check_filter(type_id: int, wanted: dict[str, Any], parents: tuple[int, ...]) -> None:
    for key, value in wanted.items():
        prefix, name = filters.split_key(key)
        if key.lower() == "logic":
            continue
        if isinstance(value, dict) and (key.isdigit() or not name):
            _check_filter(type_id, value, parents)
        elif name == "fm":
            raise RestError("100", "Unknown field definition `fm` in the filter", 400)
        elif not fields.is_filterable(type_id, name, parents) or prefix not in filters.PREFIXES:
            raise RestError("INVALID_ARG_VALUE", f"Invalid filter: field '{key}' is not allowed in filter", 400)


def _select_fields(context: CommandContext, type_id: int, row: dict[str, Any], select: list[str]) -> dict[str, Any]:
    """The selected fields of a row. Phones (`fm`) are present only with `*`."""
    if not select or "*" in select:
        record = context.portal.crm.get_record(type_id, row["id"])
        return _full_body(record) if record else row
    return {key: row.get(key) for key in ["id", *(name for name in select if name != "id")]}
