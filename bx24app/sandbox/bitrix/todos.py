"""The methods crm.activity.todo.*: to-dos, which are activities of the provider CRM_TODO."""

from __future__ import annotations

from typing import Any

from bx24app.sandbox import clock
from bx24app.sandbox.bitrix import php
from bx24app.sandbox.bitrix.activities import store_activity
from bx24app.sandbox.bitrix.registry import CommandContext, RestError, rest_method
from bx24app.sandbox.bitrix.state import TODO_PROVIDER, Activity, Notification, Owner


def _require_params(params: dict[str, Any], *names: str) -> None:
    for name in names:
        if params.get(name) in (None, ""):
            raise RestError("100", f"Could not find value for parameter {{{name}}}", 400)


def _require_owner(context: CommandContext, params: dict[str, Any]) -> Owner:
    owner = php.to_int(params.get("ownerTypeId")), php.to_int(params.get("ownerId"))
    if context.portal.crm.get_record(*owner) is None:
        raise RestError("OWNER_NOT_FOUND", "Owner was not found", 400)
    return owner


def _parse_deadline(value: Any) -> float:
    at = clock.parse_time(value)
    if at is None:
        raise RestError("WRONG_DATETIME_FORMAT", "Wrong datetime format", 400)
    return at


def _find_todo(context: CommandContext, params: dict[str, Any]) -> Activity:
    _require_params(params, "id", "ownerTypeId", "ownerId")
    owner = _require_owner(context, params)
    activity = context.portal.activities.get(php.to_int(params["id"]))
    if activity is None or activity.provider_id != TODO_PROVIDER or owner not in activity.bindings:
        raise RestError("NOT_FOUND", "To-do was not found", 400)
    return activity


def _responsible_id(context: CommandContext, value: Any, default: int) -> int:
    user_id = php.to_int(value) or default
    if user_id not in context.portal.users:
        context.portal.add_violation(context.method, f"there is no user {user_id}")
    return user_id


@rest_method("crm.activity.todo.add", "crm")
def add_todo(context: CommandContext, params: dict[str, Any]) -> dict[str, int]:
    _require_params(params, "ownerTypeId", "ownerId", "deadline")
    owner, deadline = _require_owner(context, params), _parse_deadline(params["deadline"])
    activity = Activity(
        context.portal.next_id("activity", 7001), 6, TODO_PROVIDER, "TODO",
        str(params.get("title") or "Дело"), _responsible_id(context, params.get("responsibleId"), context.user.id),
        context.user.id, context.portal.now(), [owner], description=str(params.get("description") or ""),
        deadline=deadline, start_time=deadline, end_time=deadline,
    )  # fmt: skip
    if params.get("colorId"):
        activity.settings["COLOR"] = str(params["colorId"])
    activity.settings["PING_OFFSETS"] = [php.to_int(offset) for offset in params.get("pingOffsets") or ()]
    return {"id": store_activity(context.portal, activity).id}


@rest_method("crm.activity.todo.update", "crm")
def update_todo(context: CommandContext, params: dict[str, Any]) -> dict[str, int]:
    _require_params(params, "deadline")
    activity = _find_todo(context, params)
    activity.deadline = _parse_deadline(params["deadline"])
    if "title" in params:
        activity.subject = str(params["title"])
    # What is not sent becomes empty (server source, controller/activity/todo.php).
    activity.description = str(params.get("description") or "")
    color = {"COLOR": str(params["colorId"])} if params.get("colorId") else {}
    activity.settings = {**color, "PING_OFFSETS": [php.to_int(offset) for offset in params.get("pingOffsets") or ()]}
    if "responsibleId" in params and php.to_int(params["responsibleId"]) != activity.responsible_id:
        _notify_former_user(context, activity)
        if params["responsibleId"]:
            activity.responsible_id = _responsible_id(context, params["responsibleId"], activity.responsible_id)
    return _announce_change(context, activity)


def _notify_former_user(context: CommandContext, activity: Activity) -> None:
    """The server compares with `!==`, so a null responsible counts as a change too."""
    number = context.portal.next_id("notification")
    text = f"You are no longer responsible for “{activity.subject}”"
    context.portal.notifications[number] = Notification(
        number, activity.responsible_id, text, context.portal.now(), "", context.app.id
    )


@rest_method("crm.activity.todo.updateDeadline", "crm")
def update_deadline(context: CommandContext, params: dict[str, Any]) -> dict[str, int]:
    _require_params(params, "value")
    activity = _find_todo(context, params)
    activity.deadline = _parse_deadline(params["value"])
    return _announce_change(context, activity)


@rest_method("crm.activity.todo.updateDescription", "crm")
def update_description(context: CommandContext, params: dict[str, Any]) -> dict[str, int]:
    activity = _find_todo(context, params)
    activity.description = str(params.get("value") or "")
    return _announce_change(context, activity)


@rest_method("crm.activity.todo.updateColor", "crm")
def update_color(context: CommandContext, params: dict[str, Any]) -> dict[str, int]:
    activity = _find_todo(context, params)
    activity.settings["COLOR"] = str(params.get("colorId") or "")
    return _announce_change(context, activity)


@rest_method("crm.activity.todo.updateResponsibleUser", "crm")
def update_responsible(context: CommandContext, params: dict[str, Any]) -> dict[str, int]:
    _require_params(params, "responsibleId")
    activity = _find_todo(context, params)
    activity.responsible_id = _responsible_id(context, params["responsibleId"], activity.responsible_id)
    return _announce_change(context, activity)


def _announce_change(context: CommandContext, activity: Activity) -> dict[str, int]:
    context.portal.notify_watchers("activity", id=activity.id)
    return {"id": activity.id}
