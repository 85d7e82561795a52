"""Checks every command against the parameter tables of the documentation (`data/bitrix24-params.json`).

A real portal silently accepts many wrong parameters. The sandbox answers like the portal, but records a sentence for
each of them in `portal.violations`, and a violation fails the test that caused it.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bx24app.sandbox import clock
from bx24app.sandbox.bitrix.registry import METHODS

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal

_TABLES_FILE = Path(__file__).parents[1] / "data" / "bitrix24-params.json"

NOT_IN_TABLES: dict[str, dict[str, str]] = {
    # Every portal serves these methods, but the documentation has no parameter table for them, or no page at all.
    "batch": {"cmd": "array*", "halt": "integer|boolean"},
    "timeman.status": {"USER_ID": "integer"},
    "user.search": {"FILTER": "object", "sort": "string", "order": "string", "start": "integer"},
    "voximplant.user.getdefaultlineid": {},
    "crm.activity.badge.list": {},
}
EXTRA_PARAMS: dict[str, dict[str, str]] = {
    # Real parameters that are missing from the tables, by method.
    "user.get": {"FILTER": "object", "ID": "integer"},  # the table says string, its examples pass an object
    "crm.status.list": {"start": "integer"},
    "crm.category.list": {"start": "integer"},
    "crm.lead.list": {"order": "object"},
    "department.get": {"start": "integer"},
    "crm.item.list": {"select": "array"},
}
EXTRA_FIELDS: dict[str, set[str]] = {
    # Real fields that are missing from the nested tables, which come from one language version of the pages.
    "crm.activity.add": {"COMPLETED", "BINDINGS", "AUTHOR_ID", "RESULT_STATUS"},
    "crm.activity.update": {"COMPLETED", "BINDINGS", "AUTHOR_ID", "RESULT_STATUS"},
    "crm.timeline.comment.add": {"AUTHOR_ID"},
    "crm.lead.add": {"TITLE", "STATUS_ID", "STATUS_DESCRIPTION", "WEB", "TRACE", "UTM_...", "UF_...", "PARENT_ID_..."},
    "crm.lead.update": {
        "TITLE",
        "STATUS_ID",
        "STATUS_DESCRIPTION",
        "WEB",
        "TRACE",
        "UTM_...",
        "UF_...",
        "PARENT_ID_...",
    },
    "crm.company.add": {"CONTACT_ID"},
}
SDK_PREFIX = "bx24_"
"""The JS SDK adds bx24_request_id, bx24_sdk_ver and bx24_sdk_type to the query of every call."""
FLAG_PARAMS = {
    "telephony.externalcall.register": ("CRM_CREATE", "SHOW", "ADD_TO_CHAT"),
    "telephony.externalcall.finish": ("ADD_TO_CHAT",),
}
OWN_FIELDS = frozenset({"crm.item.add", "crm.item.update"})
"""Methods whose fields differ by entity type. Their handlers check them with `fields.py`."""

_LISTS = frozenset({"array", "object", "order", "crm_activity_communication", "crm_multifield", "file", "diskfile"})
_NUMBERS = frozenset({"user", "crm_lead", "crm_deal", "crm_contact", "crm_company", "crm_category", "crm_entity"})


@cache
def _load_tables() -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {}
    for name, table in json.loads(_TABLES_FILE.read_text(encoding="utf-8")).items():
        tables[name.lower()] = {"name": name, **table}
    for name, extra in NOT_IN_TABLES.items():
        rows = {
            key: {"type": kind.rstrip("*").split("|"), "required": kind.endswith("*")} for key, kind in extra.items()
        }
        tables.setdefault(name, {"name": name, "params": rows, "nested": {}})
    for name, extra in EXTRA_PARAMS.items():
        for key, kind in extra.items():
            tables[name]["params"][key] = {"type": [kind], "required": False}
    for name, fields in EXTRA_FIELDS.items():
        tables[name]["nested"].setdefault("fields", {}).update({field: [] for field in sorted(fields)})
    return tables


def is_documented(method: str) -> bool:
    """Whether the official documentation has this method. The name is in lower case."""
    return method in _load_tables()


def check_command(portal: Portal, method: str, given: dict[str, Any]) -> None:
    """Records a violation for everything that is wrong with a command."""
    table = _load_tables().get(method)
    if table is None:
        portal.add_violation(method, "no such method in the official documentation")
        return
    for sentence in find_faults(method, table, given):
        portal.add_violation(table["name"], sentence)


def find_faults(method: str, table: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """What is wrong with one command: a sentence for each fault."""
    faults: list[str] = []
    rows: dict[str, dict[str, Any]] = table["params"]
    tolerant = method in METHODS and METHODS[method].is_upper
    names = {name.upper(): name for name in rows} if tolerant else {name: name for name in rows}
    seen: dict[str, Any] = {}
    for key, value in given.items():
        if key.startswith(SDK_PREFIX):
            continue
        name = names.get(key.upper() if tolerant else key)
        if name is None:
            faults.append(f"unknown parameter {key}")
            continue
        seen[name] = value
        faults += _type_faults(name, value, rows[name]["type"])
    faults += [f"{name} is required" for name, row in rows.items() if row["required"] and seen.get(name) is None]
    for group in table.get("either") or []:
        if not any(seen.get(name) not in (None, "", 0, "0") for name in group):
            faults.append(f"one of {', '.join(group)} is required")
    for name, fields in table["nested"].items():
        if method not in OWN_FIELDS and isinstance(seen.get(name), dict):
            faults += _nested_faults(name, seen[name], fields)
    return faults + _php_faults(method, seen)


def _nested_faults(name: str, value: dict[str, Any], fields: dict[str, list[str]]) -> list[str]:
    faults: list[str] = []
    open_ends = tuple(key.removesuffix("...") for key in fields if key.endswith("..."))
    for key, item in value.items():
        if key in fields:
            faults += _type_faults(f"{name}[{key}]", item, fields[key])
        elif not (open_ends and key.startswith(open_ends)):
            faults.append(f"unknown field {name}[{key}]")
    return faults


def _php_faults(method: str, seen: dict[str, Any]) -> list[str]:
    """Faults that the tables do not cover: flags such as "N", which PHP reads as true, and times without offset."""
    faults = [
        f"{name} should be 0 or 1, not {seen[name]!r}"
        for name in FLAG_PARAMS.get(method, ())
        if name in seen and str(seen[name]) not in ("0", "1")
    ]
    start = seen.get("CALL_START_DATE")
    if method == "telephony.externalcall.register" and start and not _has_offset(str(start)):
        faults.append(f"CALL_START_DATE {start} has no offset")
    return faults


def _has_offset(text: str) -> bool:
    return clock.parse_time(text) is None or bool(re.search(r"(Z|[+-]\d{2}:?\d{2})$", text))


def _type_faults(name: str, value: Any, kinds: list[str]) -> list[str]:
    if value is None or not kinds or any(_fits_type(value, kind) for kind in kinds):
        return []
    return [f"{name} should be {' or '.join(kinds)}, not {_shorten_value(value)}"]


def _fits_type(value: Any, kind: str) -> bool:
    if kind.endswith("[]"):
        return isinstance(value, list | dict)
    if kind in _LISTS:
        return isinstance(value, list | dict)
    if isinstance(value, list | dict):
        return kind in ("any", "callable", "crm_userfield", "location", "attached_diskfile", "LayoutDto")
    return _fits_scalar(value, kind)


def _fits_scalar(value: Any, kind: str) -> bool:
    text = str(value)
    if kind == "integer" or kind in _NUMBERS:
        return not isinstance(value, bool | float) and bool(re.fullmatch(r"-?\d+", text))
    if kind == "double":
        return not isinstance(value, bool) and bool(re.fullmatch(r"-?\d+(\.\d+)?", text))
    if kind == "boolean":
        return isinstance(value, bool) or text in ("Y", "N", "0", "1", "true", "false")
    if kind in ("datetime", "date"):
        return clock.parse_time(value) is not None
    return not isinstance(value, bool)


def _shorten_value(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "…"
