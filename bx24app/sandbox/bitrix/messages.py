"""The methods that write to people: crm.timeline.comment.*, im.notify.* and tasks.task.add."""

from __future__ import annotations

from typing import Any

from bx24app.sandbox.bitrix import filters, php
from bx24app.sandbox.bitrix.registry import CommandContext, ListPage, RestError, rest_method, upper_keys
from bx24app.sandbox.bitrix.state import TYPE_IDS, Comment, Notification, Owner
from bx24app.sandbox.clock import format_iso

ATTACH_LIMIT = 60_000


def _parse_owner(context: CommandContext, fields: dict[str, Any]) -> Owner:
    kind, number = str(fields.get("ENTITY_TYPE") or "").upper(), php.to_int(fields.get("ENTITY_ID"))
    if kind.startswith("DYNAMIC_"):
        return php.to_int(kind.removeprefix("DYNAMIC_")), number
    return TYPE_IDS.get(kind, 0), number


@rest_method("crm.timeline.comment.add", "crm")
def add_comment(context: CommandContext, params: dict[str, Any]) -> int:
    fields = params.get("fields") or {}
    owner = _parse_owner(context, fields)
    if not fields.get("COMMENT"):
        raise RestError("ERROR_CORE", "Empty comment message.", 400)
    if context.portal.crm.get_record(*owner) is None:
        raise RestError("OWNER_NOT_FOUND", "Owner was not found", 400)
    author = php.to_int(fields.get("AUTHOR_ID")) or context.user.id
    number = context.portal.next_id("comment", 8001)
    comment = Comment(number, owner, author, str(fields["COMMENT"]), context.portal.now())
    context.portal.comments[comment.id] = comment
    context.portal.notify_watchers("comment", id=comment.id)
    return comment.id


@rest_method("crm.timeline.comment.list", "crm")
def list_comments(context: CommandContext, params: dict[str, Any]) -> ListPage:
    wanted = params.get("filter") or {}
    owner = _parse_owner(context, wanted)
    rows = [
        {
            "ID": str(comment.id),
            "ENTITY_ID": str(comment.owner[1]),
            "ENTITY_TYPE": str(wanted.get("ENTITY_TYPE")),
            "CREATED": format_iso(comment.created),
            "COMMENT": comment.text,
            "AUTHOR_ID": str(comment.author_id),
            "FILES": [],
        }
        for comment in context.portal.comments.values()
        if comment.owner == owner
    ]
    return filters.make_page(filters.sort_rows(rows, params.get("order")), params.get("start"))


@rest_method("im.notify.system.add", "im", upper=True)
def notify_user(context: CommandContext, params: dict[str, Any]) -> int | bool:
    given = upper_keys(params)
    user_id = php.to_int(given.get("USER_ID"))
    if not user_id:
        raise RestError("USER_ID_EMPTY", "User ID can't be empty", 400)
    message = str(given.get("MESSAGE") or "")
    if not message.strip():
        raise RestError("MESSAGE_EMPTY", "Message can't be empty", 400)
    if len(str(given.get("ATTACH") or "")) > ATTACH_LIMIT:
        raise RestError("ATTACH_OVERSIZE", "You have exceeded the maximum allowable size of attach", 400)
    if user_id not in context.portal.users:
        context.portal.add_violation("im.notify.system.add", f"there is no user {user_id}")
        return False
    if context.portal.users[user_id].is_system:
        context.portal.add_violation("im.notify.system.add", f"user {user_id} is a system user: nobody reads it")
    tag = str(given.get("TAG") or "")
    if tag:
        # A new notification replaces an older one with the same tag.
        notifications = context.portal.notifications
        old = [key for key, other in notifications.items() if (other.tag, other.user_id) == (tag, user_id)]
        for key in old:
            del notifications[key]
    number = context.portal.next_id("notification")
    notification = Notification(number, user_id, message, context.portal.now(), tag, context.app.id)
    context.portal.notifications[notification.id] = notification
    context.portal.notify_watchers("notification", id=notification.id, user_id=user_id)
    return notification.id


@rest_method("im.notify.personal.add", "im", upper=True)
def notify_personal(context: CommandContext, params: dict[str, Any]) -> int | bool:
    return notify_user(context, params)


@rest_method("tasks.task.add", "task|tasks")
def add_task(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    fields = params.get("fields") or {}
    for name, text in (("TITLE", "Не указано название задачи"), ("RESPONSIBLE_ID", "Не указан исполнитель")):
        if not fields.get(name):
            raise RestError("ERROR_CORE", text, 400)
    task = {"id": str(context.portal.next_id("task", 3711)), "title": fields["TITLE"], "status": "2"}
    task["responsibleId"] = str(fields["RESPONSIBLE_ID"])
    task["createdBy"] = str(fields.get("CREATED_BY") or context.user.id)
    task["deadline"] = fields.get("DEADLINE")
    task["ufCrmTask"] = php.array_values(fields.get("UF_CRM_TASK"))
    context.portal.tasks.append(task)
    context.portal.notify_watchers("task", id=task["id"])
    return {"task": task}
