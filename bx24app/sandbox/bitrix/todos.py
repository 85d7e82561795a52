"""crm.activity.todo.*: the portal's own to-dos."""

from __future__ import annotations

from typing import Any

from bx24app.sandbox import clock
from bx24app.sandbox.bitrix import php
from bx24app.sandbox.bitrix.activities import store
from bx24app.sandbox.bitrix.registry import Hit, RestError, method
from bx24app.sandbox.bitrix.state import TODO_PROVIDER, Activity, Owner


def _missing(params: dict[str, Any], *names: str) -> None:
    for name in names:
        if params.get(name) in (None, ""):
            raise RestError("100", f"Could not find value for parameter {{{name}}}", 400)


def _owner(hit: Hit, params: dict[str, Any]) -> Owner:
    owner = php.integer(params.get("ownerTypeId")), php.integer(params.get("ownerId"))
    if hit.portal.crm.get(*owner) is None:
        raise RestError("OWNER_NOT_FOUND", "Owner was not found", 400)
    return owner


def _deadline(value: Any) -> float:
    at = clock.parse(value)
    if at is None:
        raise RestError("WRONG_DATETIME_FORMAT", "Wrong datetime format", 400)
    return at


def _todo(hit: Hit, params: dict[str, Any]) -> Activity:
    _missing(params, "id", "ownerTypeId", "ownerId")
    owner = _owner(hit, params)
    activity = hit.portal.activities.get(php.integer(params["id"]))
    if activity is None or activity.provider_id != TODO_PROVIDER or owner not in activity.bindings:
        raise RestError("NOT_FOUND", "To-do was not found", 400)
    return activity


def _user(hit: Hit, value: Any, default: int) -> int:
    user_id = php.integer(value) or default
    if user_id not in hit.portal.users:
        hit.portal.violation(hit.method, f"there is no user {user_id}")
    return user_id


@method("crm.activity.todo.add", "crm")
def add(hit: Hit, params: dict[str, Any]) -> dict[str, int]:
    _missing(params, "ownerTypeId", "ownerId", "deadline")
    owner, deadline = _owner(hit, params), _deadline(params["deadline"])
    activity = Activity(
        hit.portal.next_id("activity", 7001), 6, TODO_PROVIDER, "TODO",
        str(params.get("title") or "Дело"), _user(hit, params.get("responsibleId"), hit.user.id), hit.user.id,
        hit.portal.now(), [owner], description=str(params.get("description") or ""), deadline=deadline,
        start_time=deadline, end_time=deadline,
    )  # fmt: skip
    if params.get("colorId"):
        activity.settings["COLOR"] = str(params["colorId"])
    return {"id": store(hit.portal, activity).id}


@method("crm.activity.todo.update", "crm")
def update(hit: Hit, params: dict[str, Any]) -> dict[str, int]:
    _missing(params, "deadline")
    activity = _todo(hit, params)
    activity.deadline = _deadline(params["deadline"])
    if "title" in params:
        activity.subject = str(params["title"])
    if "description" in params:
        activity.description = str(params["description"])
    if params.get("responsibleId"):
        activity.responsible_id = _user(hit, params["responsibleId"], activity.responsible_id)
    return _told(hit, activity)


@method("crm.activity.todo.updateDeadline", "crm")
def deadline(hit: Hit, params: dict[str, Any]) -> dict[str, int]:
    _missing(params, "value")
    activity = _todo(hit, params)
    activity.deadline = _deadline(params["value"])
    return _told(hit, activity)


@method("crm.activity.todo.updateDescription", "crm")
def description(hit: Hit, params: dict[str, Any]) -> dict[str, int]:
    activity = _todo(hit, params)
    activity.description = str(params.get("value") or "")
    return _told(hit, activity)


@method("crm.activity.todo.updateColor", "crm")
def color(hit: Hit, params: dict[str, Any]) -> dict[str, int]:
    activity = _todo(hit, params)
    activity.settings["COLOR"] = str(params.get("colorId") or "")
    return _told(hit, activity)


@method("crm.activity.todo.updateResponsibleUser", "crm")
def responsible(hit: Hit, params: dict[str, Any]) -> dict[str, int]:
    _missing(params, "responsibleId")
    activity = _todo(hit, params)
    activity.responsible_id = _user(hit, params["responsibleId"], activity.responsible_id)
    return _told(hit, activity)


def _told(hit: Hit, activity: Activity) -> dict[str, int]:
    hit.portal.tell("activity", id=activity.id)
    return {"id": activity.id}
