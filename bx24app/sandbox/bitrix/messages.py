"""Words to people: timeline comments, notifications, tasks."""

from __future__ import annotations

from typing import Any

from bx24app.sandbox.bitrix import filters, php
from bx24app.sandbox.bitrix.registry import CommandContext, ListPage, RestError, rest_method, upper_keys
from bx24app.sandbox.bitrix.state import TYPE_IDS, Comment, Notification, Owner
from bx24app.sandbox.clock import format_iso

ATTACH_LIMIT = 60_000


def _parse_owner(hit: CommandContext, fields: dict[str, Any]) -> Owner:
    kind, number = str(fields.get("ENTITY_TYPE") or "").upper(), php.to_int(fields.get("ENTITY_ID"))
    if kind.startswith("DYNAMIC_"):
        return php.to_int(kind.removeprefix("DYNAMIC_")), number
    return TYPE_IDS.get(kind, 0), number


@rest_method("crm.timeline.comment.add", "crm")
def add_comment(hit: CommandContext, params: dict[str, Any]) -> int:
    fields = params.get("fields") or {}
    owner = _parse_owner(hit, fields)
    if not fields.get("COMMENT"):
        raise RestError("ERROR_CORE", "Empty comment message.", 400)
    if hit.portal.crm.get_record(*owner) is None:
        raise RestError("OWNER_NOT_FOUND", "Owner was not found", 400)
    author = php.to_int(fields.get("AUTHOR_ID")) or hit.user.id
    made = Comment(hit.portal.next_id("comment", 8001), owner, author, str(fields["COMMENT"]), hit.portal.now())
    hit.portal.comments[made.id] = made
    hit.portal.notify_watchers("comment", id=made.id)
    return made.id


@rest_method("crm.timeline.comment.list", "crm")
def list_comments(hit: CommandContext, params: dict[str, Any]) -> ListPage:
    wanted = params.get("filter") or {}
    owner = _parse_owner(hit, wanted)
    rows = [
        {
            "ID": str(one.id),
            "ENTITY_ID": str(one.owner[1]),
            "ENTITY_TYPE": str(wanted.get("ENTITY_TYPE")),
            "CREATED": format_iso(one.created),
            "COMMENT": one.text,
            "AUTHOR_ID": str(one.author_id),
            "FILES": [],
        }
        for one in hit.portal.comments.values()
        if one.owner == owner
    ]
    return filters.make_page(filters.sort_rows(rows, params.get("order")), params.get("start"))


@rest_method("im.notify.system.add", "im", upper=True)
def notify_user(hit: CommandContext, params: dict[str, Any]) -> int | bool:
    given = upper_keys(params)
    user_id = php.to_int(given.get("USER_ID"))
    if not user_id:
        raise RestError("USER_ID_EMPTY", "User ID can't be empty", 400)
    message = str(given.get("MESSAGE") or "")
    if not message.strip():
        raise RestError("MESSAGE_EMPTY", "Message can't be empty", 400)
    if len(str(given.get("ATTACH") or "")) > ATTACH_LIMIT:
        raise RestError("ATTACH_OVERSIZE", "You have exceeded the maximum allowable size of attach", 400)
    if user_id not in hit.portal.users:
        hit.portal.add_violation("im.notify.system.add", f"there is no user {user_id}")
        return False
    tag = str(given.get("TAG") or "")
    if tag:
        # A new one takes the place of an older one with the same tag.
        old = [key for key, one in hit.portal.notifications.items() if one.tag == tag and one.user_id == user_id]
        for key in old:
            del hit.portal.notifications[key]
    made = Notification(hit.portal.next_id("notification"), user_id, message, hit.portal.now(), tag, hit.app.id)
    hit.portal.notifications[made.id] = made
    hit.portal.notify_watchers("notification", id=made.id, user_id=user_id)
    return made.id


@rest_method("im.notify.personal.add", "im", upper=True)
def notify_personal(hit: CommandContext, params: dict[str, Any]) -> int | bool:
    return notify_user(hit, params)


@rest_method("tasks.task.add", "task|tasks")
def add_task(hit: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    fields = params.get("fields") or {}
    for name, text in (("TITLE", "Не указано название задачи"), ("RESPONSIBLE_ID", "Не указан исполнитель")):
        if not fields.get(name):
            raise RestError("ERROR_CORE", text, 400)
    made = {"id": str(hit.portal.next_id("task", 3711)), "title": fields["TITLE"], "status": "2"}
    made["responsibleId"] = str(fields["RESPONSIBLE_ID"])
    made["createdBy"] = str(fields.get("CREATED_BY") or hit.user.id)
    made["deadline"] = fields.get("DEADLINE")
    made["ufCrmTask"] = php.array_values(fields.get("UF_CRM_TASK"))
    hit.portal.tasks.append(made)
    hit.portal.notify_watchers("task", id=made["id"])
    return {"task": made}
