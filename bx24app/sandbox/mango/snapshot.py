"""The cloud as JSON, for the pages, the control API and tests."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bx24app.sandbox.mango import faults, sequences
from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.call_log import Entry
from bx24app.sandbox.mango.calls import Call
from bx24app.sandbox.mango.hooks import DeliveryAttempt
from bx24app.sandbox.mango.scenarios import SCENARIOS

if TYPE_CHECKING:
    from bx24app.sandbox.mango.cloud import MangoCloud

SHOWN_ENTRIES, SHOWN_ATTEMPTS = 40, 60
SWITCHES = ("dialect", "version", "code_style", "numbers_as_text", "sip_call_ids", "links_allowed")
_DIRECTIONS = {0: "internal", 1: "in", 2: "out"}


def cloud_state(of: MangoCloud) -> dict[str, Any]:
    """Everything that a page shows."""
    log = list(of.log)[-SHOWN_ATTEMPTS:]
    return {
        "pbxs": [board_state(one) for one in of.boards.values()],
        "scenarios": {
            name: {"title": one.title, "story": one.story, "first": one.is_primary} for name, one in SCENARIOS.items()
        },
        "sequences": sequences.sequence_titles(),
        "fault_names": faults.fault_titles(),
        "sent": [attempt_state(one) for one in reversed(log)],
        "requests": list(of.requests)[-SHOWN_ATTEMPTS:][::-1],
        "api_url": of.api_url,
        "limits": {"enabled": of.limits.is_enabled, "lockout": of.limits.has_lockout},
        "errors": of.errors,
    }


def board_state(one: Board) -> dict[str, Any]:
    """One product."""
    pbx = one.pbx
    entries = list(one.call_log.entries.values())[-SHOWN_ENTRIES:]
    return {
        "key": pbx.api_key,
        "salt": pbx.api_salt,
        "name": pbx.name,
        "product_id": pbx.product_id,
        "hook_url": pbx.hook_url,
        "lines": [asdict(line) for line in pbx.lines],
        "employees": [asdict(person) for person in pbx.employees],
        "groups": [asdict(group) for group in pbx.groups],
        "switches": {name: getattr(pbx, name) for name in SWITCHES},
        "suppressed": sorted(pbx.suppressed_paths),
        "faults": {
            name: sorted(value) if isinstance(value, set) else value
            for name, value in asdict(one.sender.fault_injector.faults).items()
        },
        "calls": [call_state(call) for call in one.calls.values()],
        "entries": [entry_state(item) for item in reversed(entries)],
    }


def call_state(call: Call) -> dict[str, Any]:
    """A call that is going on."""
    return {
        "entry_id": call.entry_id,
        "client": call.plan.client,
        "line": call.line,
        "direction": _DIRECTIONS[call.direction],
        "since": call.created_at,
        "talking": bool(call.answered_at),
        "legs": [
            {
                "call_id": leg.call_id,
                "location": leg.location,
                "state": leg.state,
                "who": leg.receiver.get("extension") or leg.receiver.get("number") or "",
            }
            for leg in call.legs.values()
        ],
    }


def entry_state(of: Entry) -> dict[str, Any]:
    """A communication that has been told, finished or not."""
    summary = of.summary or {}
    return {
        "entry_id": of.entry_id,
        "started": of.started_at,
        "direction": _DIRECTIONS[int(summary["call_direction"])] if summary else "",
        "from": summary.get("from", {}),
        "to": summary.get("to", {}),
        "line": summary.get("line_number", ""),
        "finished": bool(summary),
        "answered": bool(summary.get("talk_time")),
        "talk_seconds": of.talk_seconds,
        "reason": summary.get("disconnect_reason", 0),
        "legs": len(of.legs),
        "recordings": [
            {
                "id": one.recording_id,
                "extension": one.extension,
                "seconds": one.seconds,
                "stored": one.is_stored,
                "code": one.code,
            }
            for one in of.recordings.values()
        ],
    }


def attempt_state(one: DeliveryAttempt) -> dict[str, Any]:
    """One delivery attempt."""
    return asdict(one)
