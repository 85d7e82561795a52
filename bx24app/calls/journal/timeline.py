"""The steps of a call as plain data: what came, what was said and how it was answered, what became of its recordings.

Each step is `{time, from, request, state, code, reason, values}`, those of the app with `tries`. `values` are the few that tell one
step from another like it (state of a leg, extension, user, status), under the names that the notification or command gives them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from bx24app.bitrix24 import commands
from bx24app.domain.calls.command_json import from_json
from bx24app.domain.calls.commands import AnyCommand, Dial, Route
from bx24app.models import Call, Delivery, Notification, Recording

_NOTIFICATION_KEYS = ("call_state", "recording_state", "extension", "disconnect_reason", "transfer", "completion_code", "result")
_COMMAND_KEYS = ("entity", "record", "users", "user_id", "responsible", "show", "create", "status", "seconds", "extension", "group")  # fmt: skip


def build_timeline(
    call: Call, came: Iterable[Notification], told: Iterable[Delivery], tapes: Iterable[Recording]
) -> list[dict[str, Any]]:
    """All steps of one call in the order of time."""
    steps = [*map(_incoming_step, came), *map(_delivery_step, told), *(_recording_step(call, tape) for tape in tapes if _has_outcome(tape))]
    steps.sort(key=lambda step: step["time"])
    return [{**step, "time": format_iso(step["time"])} for step in steps]


def format_iso(at: datetime | None) -> str | None:
    """ISO 8601, UTC."""
    return at.astimezone(UTC).isoformat() if at is not None else None


def _incoming_step(row: Notification) -> dict[str, Any]:
    """What was said to us. `code`: our answer; a wrong shape is answered with 200 too, and has its reason."""
    return {
        "time": row.received_at,
        "from": "portal" if row.pbx_id == 0 else "pbx",
        "request": row.name,
        "state": row.state,
        "code": 200,
        "reason": row.reason,
        "values": _notification_values(row.body),
    }


def _notification_values(body: str) -> dict[str, Any]:
    try:
        held = json.loads(body)
    except (ValueError, RecursionError):  # rejected for it; the reason says so
        return {}
    if not isinstance(held, dict):
        return {}
    sides = [side for side in (held.get("to"), held.get("from")) if isinstance(side, dict)]
    extension = next((side["extension"] for side in sides if side.get("extension")), None)
    found = {**({"extension": extension} if extension else {}), **held}
    return {name: found[name] for name in _NOTIFICATION_KEYS if isinstance(found.get(name), (str, int)) and found[name] != ""}


def mango_method(command: AnyCommand) -> str | None:
    """The command of Mango's API that this one is; None: it goes to the portal."""
    return {Dial: "commands/callback", Route: "commands/route"}.get(type(command))


def _delivery_step(row: Delivery) -> dict[str, Any]:
    """What we said. `code` and `reason`: of the answer; of one that waits, why it did not leave or was not carried out yet."""
    command = from_json(row.kind, row.command)
    method = mango_method(command) or commands.build_request(command, str)[0]
    return {
        "time": row.done_at or row.sent_at or row.created_at,
        "from": "app",
        "request": method,
        "state": row.state,
        "code": row.code or (200 if row.state == "done" else None),
        "reason": row.reason,
        "values": {name: row.command[name] for name in _COMMAND_KEYS if row.command.get(name) not in (None, "", False)},
        "tries": row.attempts,
    }


def _has_outcome(tape: Recording) -> bool:
    return tape.state == "attached" or tape.problem is not None


def _recording_step(call: Call, tape: Recording) -> dict[str, Any]:
    """A recording's way. One that is not attached stands at the time when it could be fetched first."""
    return {
        "time": tape.attached_at or tape.noticed_at or call.ended_at or call.started_at,
        "from": "app",
        "request": "telephony.externalCall.attachRecord",
        "state": tape.state,
        "code": 200 if tape.state == "attached" else None,
        "reason": tape.problem,
        "values": {"recording_id": tape.recording_id, **({"file_id": tape.file_id} if tape.file_id else {})},
        "tries": tape.tries + (tape.state == "attached"),
    }
