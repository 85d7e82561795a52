"""The methods crm.lead.*, crm.deal.*, crm.contact.* and crm.company.*.

They are older than crm.item.*: field names are in UPPER_CASE and scalar values are strings. Both families work on the
same records. An unknown key in a filter is ignored, as in a real portal, and recorded as a violation.
"""

from __future__ import annotations

from typing import Any

from bx24app.sandbox.bitrix import fields, filters, php, records
from bx24app.sandbox.bitrix.registry import CommandContext, ListPage, RestError, rest_method
from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, DEAL, LEAD, Record

KINDS = {"lead": LEAD, "deal": DEAL, "contact": CONTACT, "company": COMPANY}
MULTI = ("PHONE", "EMAIL", "WEB", "IM", "LINK")


def record_row(record: Record, *, with_multi: bool = True) -> dict[str, Any]:
    """A record as the older methods return it: UPPER_CASE names, scalar values as strings."""
    body: dict[str, Any] = {}
    for name, old in fields.upper_names(record.type_id).items():
        value = record.fields.get(name)
        if name == "fm":
            continue
        body[old] = value if value is None or isinstance(value, list | dict) else str(value)
    body["ID"] = str(record.id)
    if with_multi and record.type_id in fields.WITH_MULTI:
        for kind in MULTI:
            values = [item for item in record.multi if item.type_id == kind]
            if values:
                body[kind] = [
                    {"ID": str(item.id), "VALUE_TYPE": item.value_type, "VALUE": item.value, "TYPE_ID": kind}
                    for item in values
                ]
    return body


def to_camel_case(context: CommandContext, type_id: int, given: Any) -> dict[str, Any]:
    """Fields under their camelCase names, with phones in `fm`. Unknown fields are ignored: `params.py` reports them."""
    names = fields.camel_names(type_id)
    converted: dict[str, Any] = {}
    phones: list[dict[str, Any]] = []
    for key, value in given.items() if isinstance(given, dict) else ():
        if key in MULTI:
            phones += [_multi_item(key, item) for item in php.array_values(value) if isinstance(item, dict)]
        elif key in names and names[key] not in fields.READ_ONLY:
            converted[names[key]] = value
        elif key.startswith(("UF_CRM_", "PARENT_ID_")):
            converted[key] = value
    if phones:
        converted["fm"] = phones
    return converted


def _multi_item(kind: str, item: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": item.get("ID"), "typeId": kind, "valueType": item.get("VALUE_TYPE") or "WORK", "value": item.get("VALUE"),
    }  # fmt: skip


def _require_type(context: CommandContext, type_id: int) -> int:
    records.require_type(context, type_id)
    return type_id


def _find_record(context: CommandContext, type_id: int, params: dict[str, Any]) -> Record:
    number = params.get("id", params.get("ID"))
    record = context.portal.crm.get_record(type_id, php.to_int(number))
    if record is None:
        raise RestError("", "Not found", 400)
    return record


def _register_methods(kind: str, type_id: int) -> None:
    @rest_method(f"crm.{kind}.add", "crm")
    def add_record(context: CommandContext, params: dict[str, Any]) -> int:
        _require_type(context, type_id)
        return records.add_record(context, type_id, to_camel_case(context, type_id, params.get("fields"))).id

    @rest_method(f"crm.{kind}.update", "crm")
    def update_record(context: CommandContext, params: dict[str, Any]) -> bool:
        record = _find_record(context, _require_type(context, type_id), params)
        records.update_record(context, record, to_camel_case(context, type_id, params.get("fields")))
        return True

    @rest_method(f"crm.{kind}.get", "crm")
    def get_record(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
        return record_row(_find_record(context, _require_type(context, type_id), params))

    @rest_method(f"crm.{kind}.delete", "crm")
    def delete_record(context: CommandContext, params: dict[str, Any]) -> bool:
        context.portal.crm.delete_record(_find_record(context, _require_type(context, type_id), params))
        return True

    @rest_method(f"crm.{kind}.fields", "crm")
    def describe_fields(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
        names = fields.upper_names(type_id)
        kinds = {**fields.READ_ONLY, **fields.writable_fields(type_id)}
        return {
            old: {"type": kinds[name].removesuffix("[]"), "isReadOnly": name in fields.READ_ONLY, "title": old}
            for name, old in names.items()
        }

    @rest_method(f"crm.{kind}.list", "crm")
    def list_records(context: CommandContext, params: dict[str, Any]) -> ListPage:
        return _list_page(context, _require_type(context, type_id), params)


def _list_page(context: CommandContext, type_id: int, params: dict[str, Any]) -> ListPage:
    wanted = params.get("filter") or {}
    matching = list(context.portal.crm.records[type_id].values())
    known = set(fields.camel_names(type_id))
    clean: dict[str, Any] = {}
    for key, value in wanted.items():
        prefix, name = filters.split_key(key)
        if name in MULTI:
            matching = [record for record in matching if _has_value(record, name, prefix, value)]
        elif name in known or key.upper() == "LOGIC" or name.startswith("UF_"):
            clean[key] = value
        else:
            # A portal ignores the key, so the list is not filtered by it.
            context.portal.add_violation(context.method, f"unknown field in the filter: {key}")
    rows = [row for row in (record_row(record) for record in matching) if filters.matches_filter(row, clean)]
    rows = filters.sort_rows(rows, params.get("order") or {"ID": "ASC"})
    select = [str(name) for name in php.array_values(params.get("select"))]
    return filters.make_page([_select_fields(row, select) for row in rows], params.get("start"))


def _has_value(record: Record, kind: str, prefix: str, value: Any) -> bool:
    values = [item.value for item in record.multi if item.type_id == kind]
    return any(filters.matches_filter({kind: value_text}, {f"{prefix}{kind}": value}) for value_text in values)


def _select_fields(shown: dict[str, Any], select: list[str]) -> dict[str, Any]:
    """The selected fields of a row. `*` does not include phones: they must be named."""
    if not select or "*" in select:
        selected = {name for name in select if name in MULTI}
        return {key: value for key, value in shown.items() if key not in MULTI or key in selected}
    return {"ID": shown["ID"], **{key: shown.get(key) for key in select if key in shown}}


for _kind, _type_id in KINDS.items():
    _register_methods(_kind, _type_id)
