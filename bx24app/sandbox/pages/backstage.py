"""What a real portal hides: its settings and faults, the log of requests with their cost, violations and sent events.

The page "Sandbox" shows it.
"""

from __future__ import annotations

import json
from typing import Any

from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.state import EventPost, LogEntry
from bx24app.sandbox.bitrix.switches import FAULT_KINDS
from bx24app.sandbox.pages import views

LICENSES = ("ru_basic", "ru_std", "ru_pro100", "ru_ent250", "ru_selfhosted")
SHOWN_ROWS = 80


def page_values(portal: Portal) -> dict[str, Any]:
    """All values of the page."""
    log, posts = list(portal.request_log), list(portal.event_sender.posts)
    return {
        "member_id": portal.member_id,
        "crm_mode": portal.crm_mode,
        "license": portal.license,
        "licenses": LICENSES,
        "lang": portal.lang,
        "latency": portal.latency,
        "kinds": sorted(FAULT_KINDS),
        "faults": portal.switches.faults,
        "everybody": [views.person_view(user) for user in portal.users.values()],
        "violations": portal.violations[-SHOWN_ROWS:],
        "hits": portal.hits,
        "requests": [_request_row(portal, entry) for entry in log[: -SHOWN_ROWS - 1 : -1]],
        "events": [_event_row(len(posts) - index, post) for index, post in enumerate(posts[: -SHOWN_ROWS - 1 : -1])],
    }


def _request_row(portal: Portal, entry: LogEntry) -> dict[str, Any]:
    """A request as the log shows it, with masked tokens."""
    params = {key: "***" if key.lower() in ("auth", "access_token") else value for key, value in entry.params.items()}
    user = portal.users.get(entry.user_id)
    commands = [f"{error or 'ok'}  {name}  {_format_json(fields)}" for name, fields, error in entry.commands]
    return {
        "key": f"{entry.at:.6f}{entry.method}",
        "at": entry.at,
        "method": entry.method,
        "status": entry.status,
        "error": entry.error,
        "seconds": entry.seconds,
        "user": user.full_name if user else "",
        "commands": commands,
        "params": _format_json({"halt": params.get("halt")} if commands else params),
    }


def _event_row(number: int, post: EventPost) -> dict[str, Any]:
    key = f"{number}-{post.status}{bool(post.error)}"
    return {
        "key": key,
        "at": post.at,
        "event": post.event,
        "url": post.url,
        "status": post.status,
        "error": post.error,
        "data": _format_json(post.data),
    }


def _format_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, default=str)
