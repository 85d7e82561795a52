"""crm.activity.*: calls, to-dos and their bindings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bx24app.sandbox import clock
from bx24app.sandbox.bitrix import filters, php
from bx24app.sandbox.bitrix.registry import Hit, Page, RestError, method
from bx24app.sandbox.bitrix.state import Activity, Owner

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal

BINDINGS = 100


def store(portal: Portal, activity: Activity) -> Activity:
    """Puts an activity into the portal and on the records that it is bound to."""
    portal.activities[activity.id] = activity
    if activity.origin_id:
        portal.by_origin[activity.origin_id] = activity
    for owner in activity.bindings:
        portal.of_record[owner].append(activity.id)
    portal.courier.send("ONCRMACTIVITYADD", {"FIELDS": {"ID": activity.id}}, activity.author_id)
    portal.tell("activity", id=activity.id)
    return activity


def row(activity: Activity) -> dict[str, Any]:
    """As crm.activity.get shows it: texts, times with an offset."""
    owner = activity.bindings[0] if activity.bindings else (0, 0)
    base = {
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
        base[name] = clock.iso(at) if at is not None else ""
    return {**activity.extra, **base}


def find(hit: Hit, number: Any) -> Activity:
    """The activity of an id.

    Raises:
        RestError: NOT_FOUND.
    """
    activity = hit.portal.activities.get(php.integer(number))
    if activity is None:
        raise RestError("NOT_FOUND", "Activity is not found.", 400)
    return activity


@method("crm.activity.get", "crm")
def get(hit: Hit, params: dict[str, Any]) -> dict[str, Any]:
    activity = find(hit, params.get("id"))
    return {**row(activity), "COMMUNICATIONS": activity.communications}


@method("crm.activity.list", "crm")
def listing(hit: Hit, params: dict[str, Any]) -> Page:
    wanted = params.get("filter") or {}
    if not isinstance(wanted, dict):
        wanted = {}
    rows: list[dict[str, Any]] = []
    bound = _bound(wanted)
    for activity in hit.portal.activities.values():
        if bound is None or bound in activity.bindings:
            shown = row(activity)
            if bound:
                shown |= {"OWNER_TYPE_ID": str(bound[0]), "OWNER_ID": str(bound[1])}
            rows.append(shown)
    known = set(rows[0]) if rows else set()
    clean = {key: value for key, value in wanted.items() if not rows or filters.split(key)[1] in known}
    for key in wanted.keys() - clean.keys():
        hit.portal.violation("crm.activity.list", f"unknown field in the filter: {key}")
    rows = filters.sort([one for one in rows if filters.matches(one, clean)], params.get("order"))
    return filters.page(rows, params.get("start"))


def _bound(wanted: dict[str, Any]) -> Owner | None:
    """OWNER_TYPE_ID and OWNER_ID together mean any binding, not only the first one."""
    kind, number = php.integer(wanted.get("OWNER_TYPE_ID")), php.integer(wanted.get("OWNER_ID"))
    return (kind, number) if kind and number else None


@method("crm.activity.add", "crm")
def add(hit: Hit, params: dict[str, Any]) -> int:
    fields = params.get("fields") or {}
    owner = php.integer(fields.get("OWNER_TYPE_ID")), php.integer(fields.get("OWNER_ID"))
    if hit.portal.crm.get(*owner) is None:
        raise RestError("ERROR_CORE", "Could not find the owner of the activity.")
    kind = php.integer(fields.get("TYPE_ID"))
    if kind == 2 and not fields.get("COMMUNICATIONS"):
        raise RestError("ERROR_CORE", "The field COMMUNICATIONS is not defined or invalid.")
    user = php.integer(fields.get("RESPONSIBLE_ID")) or hit.user.id
    activity = Activity(
        hit.portal.next_id("activity", 7001), kind, str(fields.get("PROVIDER_ID") or ""),
        str(fields.get("PROVIDER_TYPE_ID") or ""), str(fields.get("SUBJECT") or ""), user, hit.user.id,
        hit.portal.now(), [owner], description=str(fields.get("DESCRIPTION") or ""),
        communications=php.items(fields.get("COMMUNICATIONS")), origin_id=str(fields.get("ORIGIN_ID") or ""),
    )  # fmt: skip
    _change(activity, fields)
    return store(hit.portal, activity).id


@method("crm.activity.update", "crm")
def update(hit: Hit, params: dict[str, Any]) -> bool:
    activity = find(hit, params.get("id"))
    fields = params.get("fields") or {}
    if "RESPONSIBLE_ID" in fields:
        user = php.integer(fields["RESPONSIBLE_ID"])
        if user not in hit.portal.users:
            hit.portal.violation("crm.activity.update", f"there is no user {user}")
        activity.responsible_id = user
    _change(activity, fields)
    for name, value in fields.items():
        activity.history.append((hit.portal.now(), name, value))
    hit.portal.courier.send("ONCRMACTIVITYUPDATE", {"FIELDS": {"ID": activity.id}}, hit.user.id)
    hit.portal.tell("activity", id=activity.id)
    return True


def _change(activity: Activity, fields: dict[str, Any]) -> None:
    if "COMPLETED" in fields:
        activity.completed = fields["COMPLETED"] == "Y"
    if "SUBJECT" in fields:
        activity.subject = str(fields["SUBJECT"])
    if "DESCRIPTION" in fields:
        activity.description = str(fields["DESCRIPTION"])
    if "DIRECTION" in fields:
        activity.direction = php.integer(fields["DIRECTION"])
    for name, attribute in (("START_TIME", "start_time"), ("END_TIME", "end_time"), ("DEADLINE", "deadline")):
        if fields.get(name):
            setattr(activity, attribute, clock.parse(fields[name]))


@method("crm.activity.delete", "crm")
def delete(hit: Hit, params: dict[str, Any]) -> bool:
    activity = find(hit, params.get("id"))
    for owner in activity.bindings:
        hit.portal.of_record[owner].remove(activity.id)
    hit.portal.by_origin.pop(activity.origin_id, None)
    del hit.portal.activities[activity.id]
    return True


def _owner(hit: Hit, params: dict[str, Any]) -> Owner:
    owner = php.integer(params.get("entityTypeId")), php.integer(params.get("entityId"))
    if hit.portal.crm.get(*owner) is None:
        raise RestError("OWNER_NOT_FOUND", "Owner was not found", 400)
    return owner


@method("crm.activity.binding.add", "crm")
def bind(hit: Hit, params: dict[str, Any]) -> bool:
    activity = find(hit, params.get("activityId"))
    owner = _owner(hit, params)
    if owner in activity.bindings:
        raise RestError("ACTIVITY_IS_ALREADY_BOUND", "Activity is already bound to this item", 400)
    if len(activity.bindings) >= BINDINGS:
        raise RestError("BINDINGS_COUNT_LIMIT", f"Too many bindings: {BINDINGS}", 400)
    activity.bindings.append(owner)
    hit.portal.of_record[owner].append(activity.id)
    hit.portal.tell("activity", id=activity.id)
    return True


@method("crm.activity.binding.list", "crm")
def bindings(hit: Hit, params: dict[str, Any]) -> list[dict[str, int]]:
    activity = find(hit, params.get("activityId"))
    return [{"entityTypeId": kind, "entityId": number} for kind, number in activity.bindings]


@method("crm.activity.binding.delete", "crm")
def unbind(hit: Hit, params: dict[str, Any]) -> bool:
    activity = find(hit, params.get("activityId"))
    owner = _owner(hit, params)
    if owner not in activity.bindings:
        raise RestError("BINDING_NOT_FOUND", "Binding was not found", 400)
    if len(activity.bindings) == 1:
        raise RestError("LAST_BINDING_CANNOT_BE_DELETED", "The last binding can not be deleted", 400)
    activity.bindings.remove(owner)
    hit.portal.of_record[owner].remove(activity.id)
    return True
