"""The cloud as JSON, for the pages, the control API and tests."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bx24app.sandbox.mango import faults, sequences
from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.calls import Call
from bx24app.sandbox.mango.facts import Entry
from bx24app.sandbox.mango.hooks import Sent
from bx24app.sandbox.mango.scenarios import SCENARIOS

if TYPE_CHECKING:
    from bx24app.sandbox.mango.cloud import MangoCloud

SHOWN_ENTRIES, SHOWN_SENT = 40, 60
SWITCHES = ("dialect", "version", "code_style", "numbers_as_text", "sip_call_ids", "links_allowed")
_DIRECTIONS = {0: "internal", 1: "in", 2: "out"}


def cloud(of: MangoCloud) -> dict[str, Any]:
    """Everything that a page shows."""
    log = list(of.log)[-SHOWN_SENT:]
    return {
        "pbxs": [board(one) for one in of.boards.values()],
        "scenarios": {
            name: {"title": one.title, "story": one.story, "first": one.first} for name, one in SCENARIOS.items()
        },
        "sequences": sequences.names(),
        "fault_names": faults.names(),
        "sent": [sent(one) for one in reversed(log)],
        "requests": list(of.requests)[-SHOWN_SENT:][::-1],
        "api_url": of.api_url,
        "limits": {"enabled": of.limits.enabled, "lockout": of.limits.lockout},
        "errors": of.errors,
    }


def board(one: Board) -> dict[str, Any]:
    """One product."""
    pbx = one.pbx
    entries = list(one.facts.entries.values())[-SHOWN_ENTRIES:]
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
        "suppressed": sorted(pbx.suppressed),
        "faults": {
            name: sorted(value) if isinstance(value, set) else value
            for name, value in asdict(one.sender.weather.faults).items()
        },
        "calls": [running(call) for call in one.calls.values()],
        "entries": [entry(item) for item in reversed(entries)],
    }


def running(call: Call) -> dict[str, Any]:
    """A call that is going on."""
    return {
        "entry_id": call.entry_id,
        "client": call.plan.client,
        "line": call.line,
        "direction": _DIRECTIONS[call.direction],
        "since": call.created,
        "talking": bool(call.answered),
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


def entry(of: Entry) -> dict[str, Any]:
    """A communication that has been told, finished or not."""
    summary = of.summary or {}
    return {
        "entry_id": of.entry_id,
        "started": of.started,
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
                "stored": one.stored,
                "code": one.code,
            }
            for one in of.recordings.values()
        ],
    }


def sent(one: Sent) -> dict[str, Any]:
    """One delivery attempt."""
    return asdict(one)
