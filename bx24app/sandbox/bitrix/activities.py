"""The methods crm.activity.get, list, add, update, delete and crm.activity.binding.*.

The module also stores the activities that other modules create: calls (`call_finish.py`) and to-dos (`todos.py`). Every
stored activity is listed on each CRM record that it is bound to, and ONCRMACTIVITYADD is sent for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bx24app.sandbox import clock
from bx24app.sandbox.bitrix import documented_keys, filters, php
from bx24app.sandbox.bitrix.registry import CommandContext, ListPage, RestError, rest_method
from bx24app.sandbox.bitrix.state import Activity, Owner

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal

MAX_BINDINGS = 100


def store_activity(portal: Portal, activity: Activity) -> Activity:
    """Stores an activity, lists it on the records that it is bound to and sends ONCRMACTIVITYADD."""
    portal.activities[activity.id] = activity
    if activity.origin_id:
        portal.by_origin[activity.origin_id] = activity
    for owner in activity.bindings:
        portal.activity_ids_by_record[owner].append(activity.id)
    portal.event_sender.send_event("ONCRMACTIVITYADD", {"FIELDS": {"ID": activity.id}}, activity.author_id)
    portal.notify_watchers("activity", id=activity.id)
    return activity


def activity_row(activity: Activity) -> dict[str, Any]:
    """An activity as crm.activity.get returns it: ids are strings, times carry an offset."""
    owner = activity.bindings[0] if activity.bindings else (0, 0)
    base = {
        **documented_keys.ACTIVITY,
        "LAST_UPDATED": clock.format_iso(activity.created),
        "EDITOR_ID": str(activity.author_id),
        "ID": str(activity.id),
        "OWNER_ID": str(owner[1]),
        "OWNER_TYPE_ID": str(owner[0]),
        "TYPE_ID": str(activity.type_id),
        "PROVIDER_ID": activity.provider_id,
        "PROVIDER_TYPE_ID": activity.provider_type_id,
        "SUBJECT": activity.subject,
        "DESCRIPTION": activity.description,
        "DIRECTION": str(activity.direction),
        "COMPLETED": "Y" if activity.completed else "N",
        "STATUS": "2" if activity.completed else "1",
        "RESPONSIBLE_ID": str(activity.responsible_id),
        "AUTHOR_ID": str(activity.author_id),
        "ORIGIN_ID": activity.origin_id or None,
        "SETTINGS": activity.settings or [],
        "FILES": [{"id": number} for number in activity.files],
        "RESULT_STREAM": activity.result_stream,
    }
    for name, at in (
        ("CREATED", activity.created),
        ("START_TIME", activity.start_time),
        ("END_TIME", activity.end_time),
        ("DEADLINE", activity.deadline),
    ):
        base[name] = clock.format_iso(at) if at is not None else ""
    return {**activity.extra, **base}


def find_activity(context: CommandContext, number: Any) -> Activity:
    """The activity with this id.

    Raises:
        RestError: NOT_FOUND, there is no such activity.
    """
    activity = context.portal.activities.get(php.to_int(number))
    if activity is None:
        raise RestError("NOT_FOUND", "Activity is not found.", 400)
    return activity


@rest_method("crm.activity.get", "crm")
def get_activity(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    activity = context.portal.activities.get(php.to_int(params.get("id")))
    if activity is None:  # the page's error has no code
        raise RestError("", "Activity is not found", 400)
    return {**activity_row(activity), "COMMUNICATIONS": activity.communications}


@rest_method("crm.activity.list", "crm")
def list_activities(context: CommandContext, params: dict[str, Any]) -> ListPage:
    wanted = params.get("filter") or {}
    if not isinstance(wanted, dict):
        wanted = {}
    rows: list[dict[str, Any]] = []
    bound = _binding_filter(wanted)
    for activity in context.portal.activities.values():
        if bound is None or bound in activity.bindings:
            shown = activity_row(activity)
            if bound:
                shown |= {"OWNER_TYPE_ID": str(bound[0]), "OWNER_ID": str(bound[1])}
            rows.append(shown)
    known = set(rows[0]) if rows else set()
    clean = {key: value for key, value in wanted.items() if not rows or filters.split_key(key)[1] in known}
    for key in wanted.keys() - clean.keys():
        context.portal.add_violation("crm.activity.list", f"unknown field in the filter: {key}")
    rows = filters.sort_rows([row for row in rows if filters.matches_filter(row, clean)], params.get("order"))
    return filters.make_page(rows, params.get("start"))


def _binding_filter(wanted: dict[str, Any]) -> Owner | None:
    """The record to filter by: OWNER_TYPE_ID and OWNER_ID together match any binding, not only the first."""
    kind, number = php.to_int(wanted.get("OWNER_TYPE_ID")), php.to_int(wanted.get("OWNER_ID"))
    return (kind, number) if kind and number else None


@rest_method("crm.activity.add", "crm")
def add_activity(context: CommandContext, params: dict[str, Any]) -> int:
    fields = params.get("fields") or {}
    owner = php.to_int(fields.get("OWNER_TYPE_ID")), php.to_int(fields.get("OWNER_ID"))
    if context.portal.crm.get_record(*owner) is None:
        raise RestError("ERROR_CORE", "Could not find the owner of the activity.")
    kind = php.to_int(fields.get("TYPE_ID"))
    if kind == 2 and not fields.get("COMMUNICATIONS"):
        raise RestError("ERROR_CORE", "The field COMMUNICATIONS is not defined or invalid.")
    user = php.to_int(fields.get("RESPONSIBLE_ID")) or context.user.id
    activity = Activity(
        context.portal.next_id("activity", 7001), kind, str(fields.get("PROVIDER_ID") or ""),
        str(fields.get("PROVIDER_TYPE_ID") or ""), str(fields.get("SUBJECT") or ""), user, context.user.id,
        context.portal.now(), [owner], description=str(fields.get("DESCRIPTION") or ""),
        communications=php.array_values(fields.get("COMMUNICATIONS")), origin_id=str(fields.get("ORIGIN_ID") or ""),
    )  # fmt: skip
    _apply_fields(activity, fields)
    return store_activity(context.portal, activity).id


@rest_method("crm.activity.update", "crm")
def update_activity(context: CommandContext, params: dict[str, Any]) -> bool:
    activity = find_activity(context, params.get("id"))
    fields = params.get("fields") or {}
    if "RESPONSIBLE_ID" in fields:
        user = php.to_int(fields["RESPONSIBLE_ID"])
        if user not in context.portal.users:
            context.portal.add_violation("crm.activity.update", f"there is no user {user}")
        activity.responsible_id = user
    _apply_fields(activity, fields)
    for name, value in fields.items():
        activity.history.append((context.portal.now(), name, value))
    context.portal.event_sender.send_event("ONCRMACTIVITYUPDATE", {"FIELDS": {"ID": activity.id}}, context.user.id)
    context.portal.notify_watchers("activity", id=activity.id)
    return True


def _apply_fields(activity: Activity, fields: dict[str, Any]) -> None:
    if "COMPLETED" in fields:
        activity.completed = fields["COMPLETED"] == "Y"
    if "SUBJECT" in fields:
        activity.subject = str(fields["SUBJECT"])
    if "DESCRIPTION" in fields:
        activity.description = str(fields["DESCRIPTION"])
    if "DIRECTION" in fields:
        activity.direction = php.to_int(fields["DIRECTION"])
    for name, attribute in (("START_TIME", "start_time"), ("END_TIME", "end_time"), ("DEADLINE", "deadline")):
        if fields.get(name):
            setattr(activity, attribute, clock.parse_time(fields[name]))


@rest_method("crm.activity.delete", "crm")
def delete_activity(context: CommandContext, params: dict[str, Any]) -> bool:
    activity = find_activity(context, params.get("id"))
    for owner in activity.bindings:
        context.portal.activity_ids_by_record[owner].remove(activity.id)
    context.portal.by_origin.pop(activity.origin_id, None)
    del context.portal.activities[activity.id]
    return True


def _require_owner(context: CommandContext, params: dict[str, Any]) -> Owner:
    owner = php.to_int(params.get("entityTypeId")), php.to_int(params.get("entityId"))
    if context.portal.crm.get_record(*owner) is None:
        raise RestError("OWNER_NOT_FOUND", "Owner was not found", 400)
    return owner


@rest_method("crm.activity.binding.add", "crm")
def add_binding(context: CommandContext, params: dict[str, Any]) -> bool:
    for name in ("activityId", "entityTypeId", "entityId"):
        if name not in params:
            raise RestError("100", f"Could not find value for parameter {{{name}}}", 400)
    activity = find_activity(context, params.get("activityId"))
    owner = _require_owner(context, params)
    if owner in activity.bindings:
        raise RestError("ACTIVITY_IS_ALREADY_BOUND", "Activity is already bound to this item", 400)
    if len(activity.bindings) >= MAX_BINDINGS:
        raise RestError("BINDINGS_COUNT_LIMIT", f"Too many bindings: {MAX_BINDINGS}", 400)
    activity.bindings.append(owner)
    context.portal.activity_ids_by_record[owner].append(activity.id)
    context.portal.notify_watchers("activity", id=activity.id)
    return True


@rest_method("crm.activity.binding.list", "crm")
def list_bindings(context: CommandContext, params: dict[str, Any]) -> list[dict[str, int]]:
    activity = find_activity(context, params.get("activityId"))
    return [{"entityTypeId": kind, "entityId": number} for kind, number in activity.bindings]


@rest_method("crm.activity.binding.delete", "crm")
def delete_binding(context: CommandContext, params: dict[str, Any]) -> bool:
    activity = find_activity(context, params.get("activityId"))
    owner = _require_owner(context, params)
    if owner not in activity.bindings:
        raise RestError("BINDING_NOT_FOUND", "Binding was not found", 400)
    if len(activity.bindings) == 1:
        raise RestError("LAST_BINDING_CANNOT_BE_DELETED", "The last binding can not be deleted", 400)
    activity.bindings.remove(owner)
    context.portal.activity_ids_by_record[owner].remove(activity.id)
    return True
