"""What a real portal hides: its switches, the log of requests with what they cost, violations, events."""

from __future__ import annotations

import json
from typing import Any

from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.state import EventPost, LogEntry
from bx24app.sandbox.bitrix.switches import KINDS
from bx24app.sandbox.pages import views

LICENSES = ("ru_basic", "ru_std", "ru_pro100", "ru_ent250", "selfhosted")
SHOWN = 80


def values(portal: Portal) -> dict[str, Any]:
    """Everything that the page of the sandbox's own switches shows."""
    log, events = list(portal.request_log), list(portal.courier.posts)
    return {
        "member_id": portal.member_id,
        "crm_mode": portal.crm_mode,
        "license": portal.license,
        "licenses": LICENSES,
        "lang": portal.lang,
        "latency": portal.latency,
        "kinds": sorted(KINDS),
        "faults": portal.switches.faults,
        "everybody": [views.person(user) for user in portal.users.values()],
        "violations": portal.violations[-SHOWN:],
        "hits": portal.hits,
        "requests": [_request(portal, entry) for entry in log[: -SHOWN - 1 : -1]],
        "events": [_event(len(events) - number, one) for number, one in enumerate(events[: -SHOWN - 1 : -1])],
    }


def _request(portal: Portal, entry: LogEntry) -> dict[str, Any]:
    """A request as the log shows it, tokens masked."""
    shown = {key: "***" if key.lower() in ("auth", "access_token") else value for key, value in entry.params.items()}
    user = portal.users.get(entry.user_id)
    commands = [f"{error or 'ok'}  {name}  {_json(params)}" for name, params, error in entry.commands]
    return {
        "key": f"{entry.at:.6f}{entry.method}",
        "at": entry.at,
        "method": entry.method,
        "status": entry.status,
        "error": entry.error,
        "seconds": entry.seconds,
        "user": user.full_name if user else "",
        "commands": commands,
        "params": _json({"halt": shown.get("halt")} if commands else shown),
    }


def _event(number: int, post: EventPost) -> dict[str, Any]:
    key = f"{number}-{post.status}{bool(post.error)}"
    return {
        "key": key,
        "at": post.at,
        "event": post.event,
        "url": post.url,
        "status": post.status,
        "error": post.error,
        "data": _json(post.data),
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, default=str)
