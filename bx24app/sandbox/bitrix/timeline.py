"""The timeline on the card of a CRM record: its creation, and the activities and comments bound to it.

Tests and the pages of the sandbox read it; there is no REST method for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bx24app.sandbox import clock
from bx24app.sandbox.bitrix.state import CALL_PROVIDER, TODO_PROVIDER, Activity

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal


def build_timeline(portal: Portal, type_id: int, number: int) -> list[dict[str, Any]]:
    """The entries of a record, oldest first: `kind` created, call, todo, activity or comment; `at` in epoch seconds."""
    record = portal.crm.get_record(type_id, number)
    entries: list[dict[str, Any]] = []
    if record:
        at = clock.parse_time(record.fields.get("createdTime")) or 0.0
        entries.append({
            "kind": "created", "at": at, "title": record.title, "user_id": record.assigned_by_id,
            "by_call": record.created_by_call, "source_id": record.source_id,
        })  # fmt: skip
    activity_ids = portal.activity_ids_by_record.get((type_id, number), [])
    entries += [_activity_entry(portal, portal.activities[key]) for key in activity_ids]
    entries += [
        {"kind": "comment", "at": comment.created, "id": comment.id, "text": comment.text, "user_id": comment.author_id}
        for comment in portal.comments.values()
        if comment.owner == (type_id, number)
    ]
    return sorted(entries, key=lambda entry: float(entry["at"]))


def _activity_entry(portal: Portal, activity: Activity) -> dict[str, Any]:
    kinds = {CALL_PROVIDER: "call", TODO_PROVIDER: "todo"}
    entry: dict[str, Any] = {
        "kind": kinds.get(activity.provider_id, "activity"),
        "at": activity.created,
        "id": activity.id,
        "title": activity.subject,
        "text": activity.description,
        "user_id": activity.responsible_id,
        "completed": activity.completed,
        "deadline": activity.deadline,
        "missed": activity.is_missed,
        "direction": activity.direction,
        "files": [file_entry(portal, key) for key in activity.files if key in portal.files],
    }
    row = portal.by_call.get(activity.origin_id.removeprefix("VI_"))
    if row:
        entry |= {"call_id": row.call_id, "duration": row.duration, "code": row.failed_code, "line": row.portal_number}
    return entry


def file_entry(portal: Portal, key: int) -> dict[str, Any]:
    """A recording in an entry. `url` is relative to the address of the portal."""
    file = portal.files[key]
    return {"id": file.id, "name": file.name, "size": file.size, "url": f"/sandbox/files/{file.id}/{file.name}"}
