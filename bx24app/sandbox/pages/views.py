"""What the portal's pages show: plain dictionaries for the templates, made from the portal's state."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup, escape

from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, DEAL, LEAD, Owner, Record, Statistic, User
from bx24app.sandbox.bitrix.timeline import file_entry

KINDS = {"lead": LEAD, "deal": DEAL, "contact": CONTACT, "company": COMPANY}
TYPE_TITLES = {LEAD: "Lead", DEAL: "Deal", CONTACT: "Contact", COMPANY: "Company"}
_CODES = {
    "304": ("missed", "bad"), "603": ("declined", "bad"), "603-S": ("cancelled", "warn"), "486": ("busy", "warn"),
    "404": ("no such number", "warn"), "480": ("unavailable", "warn"), "402": ("not paid", "bad"),
    "403": ("forbidden", "bad"),
}  # fmt: skip


def kind_of(type_id: int) -> str:
    """The part of an address that names the type: `lead` …, or `type/1038` for a smart process."""
    return next((name for name, number in KINDS.items() if number == type_id), f"type/{type_id}")


def url_of(owner: Owner) -> str:
    """The address of a record's card, as `openPath` expects it."""
    return f"/crm/{kind_of(owner[0])}/details/{owner[1]}/"


def person_view(user: User | None, user_id: int = 0) -> dict[str, Any]:
    """A user."""
    if user is None:
        return {"id": user_id, "name": f"user {user_id}", "initials": "?", "admin": False, "inner": "", "position": ""}
    initials = "".join(part[:1] for part in (user.name, user.last_name)) or "?"
    return {
        "id": user.id, "name": user.full_name, "initials": initials, "admin": user.admin, "active": user.active,
        "inner": user.uf_phone_inner, "position": user.work_position,
    }  # fmt: skip


def list_people(portal: Portal) -> list[dict[str, Any]]:
    """All active users, administrators first."""
    people = [person_view(user) for user in portal.users.values() if user.active]
    return sorted(people, key=lambda person: (not person["admin"], person["inner"] or "~", person["name"]))


def list_stages(portal: Portal, type_id: int, category_id: int) -> list[dict[str, Any]]:
    """The stages of leads, of a pipeline or of a smart process, in their order."""
    if type_id == LEAD:
        entity = "STATUS"
    elif type_id == DEAL:
        entity = f"DEAL_STAGE_{category_id}" if category_id else "DEAL_STAGE"
    else:
        entity = f"DYNAMIC_{type_id}_STAGE_{category_id}"
    statuses = [status for status in portal.statuses if status.entity_id == entity]
    return [
        {"id": status.status_id, "name": status.name, "semantics": status.semantics or ""}
        for status in sorted(statuses, key=lambda status: status.sort)
    ]


def stage_of(portal: Portal, record: Record) -> dict[str, Any]:
    """The stage of a record."""
    for stage in list_stages(portal, record.type_id, record.category_id):
        if stage["id"] == record.stage_id:
            return stage
    return {"id": record.stage_id, "name": record.stage_id, "semantics": ""}


def record_view(portal: Portal, record: Record) -> dict[str, Any]:
    """A record as a row of a list or a tile of a board."""
    user = person_view(portal.users.get(record.assigned_by_id), record.assigned_by_id)
    sources = {status.status_id: status.name for status in portal.statuses if status.entity_id == "SOURCE"}
    client = next((portal.contacts[key].title for key in record.contact_ids if key in portal.contacts), "")
    created = str(record.fields.get("createdTime") or "")
    return {
        "id": record.id, "title": record.title, "url": url_of(record.key), "owner": f"{record.type_id}:{record.id}",
        "stage": stage_of(portal, record) if record.stage_id else None, "phones": record.phones,
        "assigned": user["name"], "initials": user["initials"],
        "source": sources.get(record.source_id, record.source_id), "client": client,
        "at": created[8:10] + "." + created[5:7] + " " + created[11:16] if created else "",
        "icon": kind_of(record.type_id) if record.type_id in TYPE_TITLES else "item",
    }  # fmt: skip


def client_of(portal: Portal, owner: Owner | None) -> dict[str, Any] | None:
    """Title and address of the record that a call belongs to."""
    record = portal.crm.get_record(*owner) if owner else None
    if record is None:
        return None
    title = record.title or f"{TYPE_TITLES.get(record.type_id, 'Item')} {record.id}"
    return {"title": title, "url": url_of(record.key)}


def call_view(portal: Portal, row: Statistic) -> dict[str, Any]:
    """A finished call."""
    user = person_view(portal.users.get(row.user_id), row.user_id)
    outcome, tone = (
        ("answered", "good") if row.failed_code == "200" else _CODES.get(row.failed_code, (row.failed_code, "warn"))
    )
    icon = "missed" if row.missed else "in" if row.type in (2, 3) else "phone" if row.type == 4 else "out"
    file = portal.files.get(row.file_id or 0)
    return {
        "id": row.id, "at": row.start, "phone": row.phone, "icon": icon,
        "user": user["name"], "initials": user["initials"],
        "line": row.portal_number, "seconds": row.duration,
        "outcome": outcome, "tone": tone, "reason": row.failed_reason, "client": client_of(portal, row.primary),
        "file": file_entry(portal, file.id)["url"] if file else "",
    }  # fmt: skip


def split_timeline(portal: Portal, record: Record) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The planned items of a timeline, nearest first, and the past ones, newest first."""
    items = [_timeline_item(portal, entry) for entry in portal.timeline(*record.key)]
    planned = [item for item in items if item["open"]]
    past = [item for item in items if not item["open"]]
    planned.sort(key=lambda item: item["deadline"] or float("inf"))
    past.sort(key=lambda item: item["at"], reverse=True)
    return planned, past


def _timeline_item(portal: Portal, entry: dict[str, Any]) -> dict[str, Any]:
    kind, missed = entry["kind"], bool(entry.get("missed"))
    user = person_view(portal.users.get(entry.get("user_id", 0)), entry.get("user_id", 0))
    title, icon, tone, badge = str(entry.get("title", "")), "item", "", ""
    if kind == "call":
        incoming = entry.get("direction") == 1
        icon, tone = ("missed", "bad") if missed else ("in" if incoming else "out", "")
        if "code" in entry:
            good = entry["code"] == "200"
            length = f"{int(entry['duration']) // 60}:{int(entry['duration']) % 60:02}"
            badge = length if good else _CODES.get(entry["code"], (entry["code"], ""))[0]
            tone = "good" if good else "bad"
    elif kind == "comment":
        title, icon = "Comment", "comment"
    elif kind == "todo":
        icon, badge = "todo", "done"
    elif kind == "created":
        title, icon = "Created by a call" if entry.get("by_call") else "Created", "flag"
    deadline = entry.get("deadline")
    return {
        "key": f"{kind}-{entry.get('id', 0)}", "id": entry.get("id"), "kind": kind, "at": entry["at"], "title": title,
        "text": entry.get("text", ""), "icon": icon, "tone": tone, "badge": badge, "person": user["name"],
        "files": [_file_view(file) for file in entry.get("files", [])], "missed": missed, "deadline": deadline,
        "open": kind in ("todo", "call", "activity") and not entry.get("completed", True),
        "overdue": bool(deadline and deadline < portal.now()), "phone": _call_phone(portal, entry),
    }  # fmt: skip


def _file_view(file: dict[str, Any]) -> dict[str, Any]:
    return {"url": file["url"], "name": file["name"], "size": f"{file['size'] / 1024:.0f} KB"}


def _call_phone(portal: Portal, entry: dict[str, Any]) -> str:
    activity = portal.activities.get(entry.get("id", 0)) if entry["kind"] == "call" else None
    return str(activity.communications[0].get("VALUE", "")) if activity and activity.communications else ""


def linked_records(portal: Portal, record: Record) -> list[dict[str, Any]]:
    """The records linked to a record: the client of a deal, the deals of a contact."""
    contacts = [portal.contacts[key] for key in record.contact_ids if key in portal.contacts]
    companies = [portal.companies[record.company_id]] if record.company_id in portal.companies else []
    deals = [deal for deal in portal.deals.values() if record.type_id == CONTACT and record.id in deal.contact_ids]
    blocks = (("Client", contacts + companies), ("Deals", deals))
    return [{"title": title, "rows": [record_view(portal, row) for row in rows]} for title, rows in blocks if rows]


def extra_fields(record: Record) -> list[tuple[str, str]]:
    """Further fields that have a value, with their labels."""
    names = (
        ("lastName", "Last name"),
        ("comments", "Comment"),
        ("opportunity", "Amount"),
        ("sourceDescription", "Source note"),
    )
    custom = [(key, key) for key in record.fields if key.startswith(("ufCrm", "UF_CRM"))]
    return [(label, str(record.fields[key])) for key, label in (*names, *custom) if record.fields.get(key)]


def stage_steps(portal: Portal, record: Record) -> list[dict[str, Any]]:
    """The stages of a record as a progress bar."""
    if not record.stage_id:
        return []
    stages = list_stages(portal, record.type_id, record.category_id)
    current = next((number for number, stage in enumerate(stages) if stage["id"] == record.stage_id), -1)
    steps = []
    for number, stage in enumerate(stages):
        if stage["semantics"] == "F" and number != current:
            continue
        state = "past" if number < current else ""
        if number == current:
            state = {"S": "won", "F": "lost"}.get(stage["semantics"], "now")
        steps.append({"name": stage["name"], "state": state})
    return steps


_BB_CODES = (
    (re.compile(r"\[b\](.*?)\[/b\]", re.IGNORECASE | re.DOTALL), r"<b>\1</b>"),
    (re.compile(r"\[i\](.*?)\[/i\]", re.IGNORECASE | re.DOTALL), r"<i>\1</i>"),
    (re.compile(r"\[br\]|\n", re.IGNORECASE), "<br>"),
    (
        re.compile(r"\[url=(https?://[^\]\"<>]+|/[^\]\"<>]*)\](.*?)\[/url\]", re.IGNORECASE | re.DOTALL),
        r'<a href="\1">\2</a>',
    ),
    (re.compile(r"\[user=\d+\](.*?)\[/user\]", re.IGNORECASE | re.DOTALL), r"<b>\1</b>"),
)


def list_notifications(portal: Portal, user_id: int) -> list[dict[str, Any]]:
    """A user's notifications, newest first. The text is escaped, then its BB codes become HTML."""
    rows = []
    for notification in portal.notifications.values():
        if notification.user_id == user_id:
            text = str(escape(notification.message))
            for pattern, replacement in _BB_CODES:
                text = pattern.sub(replacement, text)
            html = Markup(text)  # noqa: S704 - escaped above
            rows.append({"id": notification.id, "at": notification.created, "html": html})
    return rows[::-1]
