"""The timeline of a call: the one list of its steps, from which the export, the call's page and its tab are written.

A step is what happened once: a notification came, something was decided, a command was answered, a recording was
attached. The export prints steps as plain data (`TimelineStep.as_row`, contract section 8); the page puts them into
words (`web.calls.timeline`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from bx24app.bitrix24 import commands
from bx24app.domain.calls.command_json import from_json
from bx24app.domain.calls.commands import AnyCommand, Dial, Route
from bx24app.models import Call, Delivery, Notification, Recording

StepKind = Literal["notification", "decision", "delivery", "recording_ready", "recording"]
DECISION_WINDOW = timedelta(milliseconds=250)
"""Deliveries that were stored within this time come from one decision."""
ATTACH_METHOD = "telephony.externalCall.attachRecord"
_EXPORTED_KINDS = frozenset({"notification", "delivery", "recording"})
_NOTIFICATION_KEYS = (
    "call_state", "recording_state", "extension", "disconnect_reason", "transfer", "completion_code", "result",
)  # fmt: skip
_COMMAND_KEYS = (
    "entity", "record", "users", "user_id", "responsible", "show", "create", "status", "seconds", "extension", "group",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """One step. `rows`: what it was read from; of a decision, the deliveries that it made.

    `code` and `reason`: of the answer; of a command that waits, why it was not carried out yet. `values`: the few that
    tell one step from another like it (state of a leg, extension, user), under the names that the notification or
    command gives them.
    """

    time: datetime
    kind: StepKind
    source: Literal["pbx", "portal", "app"]
    request: str
    state: str
    code: int | str | None = None
    reason: str | None = None
    values: dict[str, Any] | None = None
    tries: int | None = None
    rows: tuple[Any, ...] = ()

    def as_row(self) -> dict[str, Any]:
        """The step as the export prints it; steps of the app carry `tries`."""
        row = {
            "time": format_iso(self.time),
            "from": self.source,
            "request": self.request,
            "state": self.state,
            "code": self.code,
            "reason": self.reason,
            "values": self.values or {},
        }
        return row if self.tries is None else {**row, "tries": self.tries}


def build_timeline(
    call: Call,
    notifications: Iterable[Notification],
    deliveries: Sequence[Delivery],
    recordings: Iterable[Recording],
) -> list[TimelineStep]:
    """All steps of one call in the order of time; of steps at the same moment, the cause comes first."""
    steps = [
        *map(_notification_step, notifications),
        *_decision_steps(deliveries),
        *map(_delivery_step, deliveries),
        *(step for recording in recordings for step in _recording_steps(call, recording)),
    ]
    return sorted(steps, key=lambda step: step.time)


def exported_rows(steps: Iterable[TimelineStep]) -> list[dict[str, Any]]:
    """The steps of the export: decisions and announcements of recordings are in its other steps already."""
    return [step.as_row() for step in steps if step.kind in _EXPORTED_KINDS]


def format_iso(at: datetime | None) -> str | None:
    """ISO 8601, UTC."""
    return at.astimezone(UTC).isoformat() if at is not None else None


def _notification_step(row: Notification) -> TimelineStep:
    return TimelineStep(
        time=row.received_at,
        kind="notification",
        source="portal" if row.pbx_id == 0 else "pbx",
        request=row.name,
        state=row.state,
        code=200,  # a notification that cannot be read is answered with 200 too
        reason=row.reason,
        values=_notification_values(row.body),
        rows=(row,),
    )


def _notification_values(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):  # the notification was rejected; its reason says so
        return {}
    if not isinstance(body, dict):
        return {}
    sides = [side for side in (body.get("to"), body.get("from")) if isinstance(side, dict)]
    extension = next((side["extension"] for side in sides if side.get("extension")), None)
    values = {**({"extension": extension} if extension else {}), **body}
    return {
        name: values[name]
        for name in _NOTIFICATION_KEYS
        if isinstance(values.get(name), (str, int)) and values[name] != ""
    }


def _decision_steps(deliveries: Iterable[Delivery]) -> list[TimelineStep]:
    """One step for all deliveries that were decided at once, at the moment of the first."""
    groups: list[list[Delivery]] = []
    for row in sorted(deliveries, key=lambda row: (row.created_at, row.id)):
        if groups and row.created_at - groups[-1][-1].created_at < DECISION_WINDOW:
            groups[-1].append(row)
        else:
            groups.append([row])
    return [
        TimelineStep(group[0].created_at, "decision", "app", request="", state="decided", rows=tuple(group))
        for group in groups
    ]


def _delivery_step(row: Delivery) -> TimelineStep:
    return TimelineStep(
        time=row.done_at or row.sent_at or row.created_at,
        kind="delivery",
        source="app",
        request=_command_method(row),
        state=row.state,
        code=row.code or (200 if row.state == "done" else None),
        reason=row.reason,
        values={name: row.command[name] for name in _COMMAND_KEYS if row.command.get(name) not in (None, "", False)},
        tries=row.attempts,
        rows=(row,),
    )


def _command_method(row: Delivery) -> str:
    """The method that carries a command out; empty where another version wrote the command."""
    try:
        command = from_json(row.kind, row.command)
        return _mango_method(command) or commands.build_request(command, str)[0]
    except (KeyError, TypeError, ValueError):
        return ""


def _mango_method(command: AnyCommand) -> str | None:
    """The command of Mango's API; None: the command goes to the portal."""
    return {Dial: "commands/callback", Route: "commands/route"}.get(type(command))


def _recording_steps(call: Call, row: Recording) -> Iterable[TimelineStep]:
    if row.noticed_at is not None:
        yield TimelineStep(row.noticed_at, "recording_ready", "pbx", request="", state="handled", rows=(row,))
    if row.state != "attached" and row.problem is None:
        return
    yield TimelineStep(
        # A recording that is not attached stands at the time when it could be fetched first.
        time=row.attached_at or row.noticed_at or call.ended_at or call.started_at,
        kind="recording",
        source="app",
        request=ATTACH_METHOD,
        state=row.state,
        code=200 if row.state == "attached" else None,
        reason=row.problem,
        values={"recording_id": row.recording_id, **({"file_id": row.file_id} if row.file_id else {})},
        tries=row.tries + (row.state == "attached"),
        rows=(row,),
    )
