"""The methods that describe the CRM: its mode, pipelines, stages, sources and smart processes.

The module also holds crm.duplicate.findbycomm, the search for records by phone or e-mail.
"""

from __future__ import annotations

from typing import Any

from bx24app.sandbox.bitrix import documented_keys, filters, php, records
from bx24app.sandbox.bitrix.registry import CommandContext, ListPage, RestError, rest_method
from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, LEAD, TYPE_IDS, Status, type_name
from bx24app.sandbox.clock import format_iso

_SEMANTIC_NAMES = {None: "process", "S": "success", "F": "failure"}


@rest_method("crm.settings.mode.get", "crm")
def get_mode(context: CommandContext, params: dict[str, Any]) -> int:
    return context.portal.crm_mode


@rest_method("crm.category.list", "crm")
def list_categories(context: CommandContext, params: dict[str, Any]) -> ListPage:
    type_id = records.require_type(context, params.get("entityTypeId"))
    rows = [
        {
            "id": category.id, "name": category.name, "sort": category.sort, "entityTypeId": type_id,
            "isDefault": "Y" if category.default else "N", **documented_keys.CATEGORY,
        }
        for category in context.portal.categories
        if category.type_id == type_id
    ]  # fmt: skip
    return ListPage({"categories": rows}, len(rows))


def _status_row(status: Status) -> dict[str, Any]:
    row: dict[str, Any] = {
        "ID": str(status.id),
        "ENTITY_ID": status.entity_id,
        "STATUS_ID": status.status_id,
        "NAME": status.name,
        "NAME_INIT": status.name,
        "SORT": str(status.sort),
        "SYSTEM": "Y",
        "CATEGORY_ID": str(status.category_id) if status.category_id is not None else None,
        "COLOR": "#39A8EF",
        "SEMANTICS": status.semantics,
    }
    if "STAGE" in status.entity_id or status.entity_id == "STATUS":
        row["EXTRA"] = {"SEMANTICS": _SEMANTIC_NAMES[status.semantics], "COLOR": "#39A8EF"}
    return row


@rest_method("crm.status.list", "crm")
def list_statuses(context: CommandContext, params: dict[str, Any]) -> ListPage:
    wanted = params.get("filter") or {}
    rows = [row for row in map(_status_row, context.portal.statuses) if filters.matches_filter(row, wanted)]
    rows = filters.sort_rows(rows, params.get("order") or {"SORT": "ASC"})
    # The method has no pages: it returns the whole dictionary and ignores `start`.
    return ListPage(rows, len(rows))


@rest_method("crm.type.list", "crm")
def list_types(context: CommandContext, params: dict[str, Any]) -> ListPage:
    if not context.user.rights.get("crm_settings", context.user.admin):
        raise RestError("ACCESS_DENIED", "Доступ запрещен", 400)
    rows = [
        {
            "id": spa_type.id, "title": spa_type.title, "entityTypeId": spa_type.entity_type_id,
            "isCategoriesEnabled": "Y", "isStagesEnabled": "Y", "isClientEnabled": "Y", "isSourceEnabled": "Y",
            "isObserversEnabled": "Y", "isLinkWithProductsEnabled": "N", "code": "", "updatedBy": 1,
            "createdTime": format_iso(0), "updatedTime": format_iso(0), **documented_keys.SMART_PROCESS,
        }
        for spa_type in context.portal.types
    ]  # fmt: skip
    rows = [row for row in rows if filters.matches_filter(row, params.get("filter") or {})]
    return filters.make_page(rows, params.get("start"), lambda part: {"types": part})


@rest_method("crm.duplicate.findbycomm", "crm")
def find_duplicates(context: CommandContext, params: dict[str, Any]) -> Any:
    """Record ids by type, or an empty list (not a map) without matches.

    Without entity_type the search stops at the first type with 20 or more matches.
    """
    kind = str(params.get("type") or "").upper()
    values = [str(value) for value in php.array_values(params.get("values"))]
    if kind not in ("PHONE", "EMAIL"):
        raise RestError("ERROR_CORE", "Communication type is not supported in current context.", 400)
    if not values:
        raise RestError("ERROR_CORE", "Communication values are not defined.", 400)
    if len(values) > 20:
        context.portal.add_violation("crm.duplicate.findbycomm", f"{len(values)} values, only 20 are searched")
    wanted = str(params.get("entity_type") or "").upper()
    order = [TYPE_IDS[wanted]] if wanted in ("LEAD", "CONTACT", "COMPANY") else [LEAD, CONTACT, COMPANY]
    ids_by_type: dict[str, list[int]] = {}
    for type_id in order:
        crm = context.portal.crm
        ids = sorted({record.id for value in values[:20] for record in crm.find_records(kind, value, type_id)})
        if ids:
            ids_by_type[type_name(type_id)] = ids
        if len(ids) >= 20:
            break
    return ids_by_type or []
