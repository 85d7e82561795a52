"""The state of the cloud as JSON, for the PBX page, the control API and tests."""

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


def cloud_state(cloud: MangoCloud) -> dict[str, Any]:
    """Everything that the PBX page shows."""
    attempts = list(cloud.log)[-SHOWN_ATTEMPTS:]
    return {
        "pbxs": [board_state(board) for board in cloud.boards.values()],
        "scenarios": {
            name: {"title": scenario.title, "story": scenario.story, "first": scenario.is_primary}
            for name, scenario in SCENARIOS.items()
        },
        "sequences": sequences.sequence_titles(),
        "fault_names": faults.fault_titles(),
        "sent": [attempt_state(attempt) for attempt in reversed(attempts)],
        "requests": list(cloud.requests)[-SHOWN_ATTEMPTS:][::-1],
        "api_url": cloud.api_url,
        "limits": {"enabled": cloud.limits.is_enabled, "lockout": cloud.limits.has_lockout},
        "errors": cloud.errors,
    }


def board_state(board: Board) -> dict[str, Any]:
    """The state of one product."""
    pbx = board.pbx
    entries = list(board.call_log.entries.values())[-SHOWN_ENTRIES:]
    return {
        "key": pbx.api_key,
        "salt": pbx.api_salt,
        "name": pbx.name,
        "product_id": pbx.product_id,
        "hook_url": pbx.hook_url,
        "lines": [asdict(line) for line in pbx.lines],
        "trunks": [asdict(trunk) for trunk in pbx.trunks],
        "employees": [asdict(person) for person in pbx.employees],
        "groups": [asdict(group) for group in pbx.groups],
        "switches": {name: getattr(pbx, name) for name in SWITCHES},
        "suppressed": sorted(pbx.suppressed_paths),
        "faults": {
            name: sorted(value) if isinstance(value, set) else value
            for name, value in asdict(board.sender.fault_injector.faults).items()
        },
        "calls": [call_state(call) for call in board.calls.values()],
        "entries": [entry_state(entry) for entry in reversed(entries)],
    }


def call_state(call: Call) -> dict[str, Any]:
    """A call in progress."""
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


def entry_state(entry: Entry) -> dict[str, Any]:
    """An entry of the call log, finished or not."""
    summary = entry.summary or {}
    return {
        "entry_id": entry.entry_id,
        "started": entry.started_at,
        "direction": _DIRECTIONS[int(summary["call_direction"])] if summary else "",
        "from": summary.get("from", {}),
        "to": summary.get("to", {}),
        "line": summary.get("line_number", ""),
        "finished": bool(summary),
        "answered": bool(summary.get("talk_time")),
        "talk_seconds": entry.talk_seconds,
        "reason": summary.get("disconnect_reason", 0),
        "legs": len(entry.legs),
        "recordings": [
            {
                "id": recording.recording_id,
                "extension": recording.extension,
                "seconds": recording.seconds,
                "stored": recording.is_stored,
                "code": recording.code,
            }
            for recording in entry.recordings.values()
        ],
    }


def attempt_state(attempt: DeliveryAttempt) -> dict[str, Any]:
    """One delivery attempt."""
    return asdict(attempt)
