"""Builds the entry of `stats/calls` that Mango's statistics would have for a scenario (reference of the wire, 5.2).

The scenario player uses it when a test replaces lost notifications by statistics. The entry is built from all payloads,
because the PBX knows them even if some were lost on the way. It shares no code with the parser. Only the signed dialect
is supported: a PBX with the short one has no key to request statistics. `statistics_shapes` writes the same entry in
the other shapes that are documented or were seen.
"""

from __future__ import annotations

import json
from typing import Any

CONTEXT = {0: 3, 1: 1, 2: 2}
"""Direction in a summary -> `context_type`; Mango numbers the two differently."""


def entry(notices: list[tuple[str, dict[str, Any]]]) -> str:
    """The entry as JSON, from (name, content) of all notifications."""
    recorded = [content for name, content in notices if name == "events/recording"]
    summary = next((content for name, content in notices if name == "events/summary"), None)
    legs = _legs([content for name, content in notices if name == "events/call"])
    if summary:
        legs = [*legs, *_unseen(summary, legs)]
    totals = _whole(summary) if summary else _guessed(legs)
    people = [leg for leg in legs if leg["location"] == "abonent"]
    rows = {leg["call_id"]: _row(leg, recorded) for leg in legs if leg["location"] != "ivr"}
    totals["caller_extension"] = _caller_extension(summary, legs)
    top: list[dict[str, Any]] = []
    for leg in legs:
        queue = _queue_of(leg, legs)
        if leg["location"] == "queue":
            rows[leg["call_id"]]["members"] = []
            top.append(rows[leg["call_id"]])
        elif leg in people and queue:
            group, member = rows[queue["call_id"]], rows[leg["call_id"]]
            group["members"].append(member)
            group["call_answer_time"] = group["call_answer_time"] or member["call_answer_time"]
            group["recording_id"] += [
                recording_id for recording_id in member["recording_id"] if recording_id not in group["recording_id"]
            ]
        elif leg in people:
            top.append(rows[leg["call_id"]])
    return json.dumps({**totals, "entry_id": legs[0]["entry_id"] if legs else totals["entry_id"], "context_calls": top})


def _legs(contents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    legs: dict[str, dict[str, Any]] = {}
    for content in sorted(contents, key=lambda content: (int(content["timestamp"]), int(content["seq"]))):
        leg = legs.setdefault(content["call_id"], {**content, "steps": []})
        leg["steps"].append(content)
    return list(legs.values())


def _unseen(summary: dict[str, Any], legs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Complete the legs with what the scenario lacks: their ends, and the leg of the talk that the summary names."""
    end, talk, to = int(summary["end_time"]), int(summary["talk_time"]), summary["to"]
    for leg in legs:
        if not any(step["call_state"] == "Disconnected" for step in leg["steps"]):
            last = {"call_state": "Disconnected", "timestamp": end, "disconnect_reason": summary["disconnect_reason"]}
            leg["steps"].append({**leg["steps"][-1], **last})
    talker = next((leg for leg in legs if leg["to"].get("extension") == to.get("extension")), None)
    if not talk or int(summary["call_direction"]) != 1 or "extension" not in to:
        return []
    talk_step = {"timestamp": talk, "from": summary["from"], "to": to, "location": "abonent", "call_state": "Connected"}
    if talker is not None:
        if talker["steps"][0]["call_state"] == "Disconnected":
            talker["steps"].insert(0, {**talker["steps"][0], **talk_step})
        return []
    end_step = {"call_state": "Disconnected", "timestamp": end, "disconnect_reason": summary["disconnect_reason"]}
    call_id = summary["entry_id"] + ":unseen"
    return [
        {
            **talk_step,
            "entry_id": summary["entry_id"],
            "call_id": call_id,
            "steps": [talk_step, {**talk_step, **end_step}],
        }
    ]


def _queue_of(leg: dict[str, Any], legs: list[dict[str, Any]]) -> dict[str, Any] | None:
    group = leg["to"].get("acd_group")
    queues = [
        candidate
        for candidate in legs
        if candidate["location"] == "queue" and candidate["to"].get("acd_group") == group
    ]
    return queues[0] if group and queues and leg["location"] == "abonent" else None


def _row(leg: dict[str, Any], recorded: list[dict[str, Any]]) -> dict[str, Any]:
    steps, to = leg["steps"], leg["to"]
    first = {state: next((int(s["timestamp"]) for s in steps if s["call_state"] == state), None) for state in STATES}
    last = next((s for s in steps if s["call_state"] == "Disconnected"), None)
    group = leg["location"] == "queue"
    transfers = {step.get("transfer") for step in steps}
    return {
        "call_type": "group" if group else ("user" if "extension" in to else "number"),
        "call_abonent_extension": to.get("acd_group") if group else to.get("extension"),
        "call_abonent_number": to.get("number"),
        "caller_extension": None if group else steps[0]["from"].get("extension"),
        "call_start_time": int(steps[0]["timestamp"]),
        "call_answer_time": None if group else first["Connected"],
        "call_end_time": first["Disconnected"],
        "call_end_reason": int(last["disconnect_reason"]) if last else None,
        "external_call_id": leg["call_id"],
        "recording_id": _stored_recordings(leg, recorded),
        "ModeGroup": group,
        "handed_over_at": _handed_over_at(steps),
        "BlindTransfer": "blind" in transfers or sum(s["call_state"] == "Appeared" for s in steps) > 1,
        "ConsultTransfer": "consultative" in transfers,
    }


STATES = ("Connected", "Disconnected")


def _handed_over_at(steps: list[dict[str, Any]]) -> int | None:
    """When the colleague who had called this leg left it to the client; None: nobody did."""
    consulted = False
    for step in (step for step in steps if step["call_state"] == "Connected"):
        if consulted and "extension" not in step["from"]:
            return int(step["timestamp"])
        consulted = consulted or "extension" in step["from"]
    return None


def _caller_extension(summary: dict[str, Any] | None, legs: list[dict[str, Any]]) -> str | None:
    """The employee who made the call: by the summary, or by the first leg of a callback or of an outgoing call."""
    if summary and "extension" in summary["from"]:
        return str(summary["from"]["extension"])
    first = legs[0] if legs else {"from": {}, "to": {}}
    return first["to"].get("extension") if "callback_initiator" in first else first["from"].get("extension")


def _stored_recordings(leg: dict[str, Any], recorded: list[dict[str, Any]]) -> list[str]:
    """Ids of this leg's recordings that the cloud stores."""
    stored = {
        content["recording_id"]
        for content in recorded
        if content.get("completion_code") == 1000 and content.get("recipient", "Cloud") != "Mail"
    }
    ids = [content["recording_id"] for content in recorded if content.get("call_id") == leg["call_id"]]
    return [content for content in dict.fromkeys(ids) if content in stored]


def _whole(summary: dict[str, Any]) -> dict[str, Any]:
    """The entry's totals, from the summary."""
    direction = int(summary["call_direction"])
    start, talk, end = (int(summary[key]) for key in ("create_time", "talk_time", "end_time"))
    called = summary.get("line_number") if direction == 1 else summary["to"].get("number")
    return {
        "entry_id": summary["entry_id"],
        "context_type": CONTEXT[direction],
        "context_status": 1 if talk else 0,
        "caller_number": summary["from"].get("number"),
        "called_number": called,
        "context_start_time": start,
        "duration": end - start,
        "talk_duration": end - talk if talk else 0,
    }


def _guessed(legs: list[dict[str, Any]]) -> dict[str, Any]:
    """The entry's totals of a call without a summary, from its legs."""
    first, last = legs[0], legs[-1]
    outward = "extension" in first["from"] or "callback_initiator" in first
    moments = [int(step["timestamp"]) for leg in legs for step in leg["steps"]]
    talks = [
        int(step["timestamp"])
        for leg in legs
        for step in leg["steps"]
        if step["call_state"] == "Connected" and leg["location"] == "abonent" and not _is_half(leg)
    ]
    client = last["to"].get("number") if "extension" in last["from"] else first["from"].get("number")
    talk = max(moments) - min(talks) if talks else 0
    return {
        "entry_id": first["entry_id"],
        "context_type": 2 if outward else 1,
        "context_status": 1 if talk else 0,
        "caller_number": None if outward else client,
        "called_number": client if outward else first["to"].get("line_number"),
        "context_start_time": min(moments),
        "duration": max(moments) - min(moments),
        "talk_duration": talk,
    }


def _is_half(leg: dict[str, Any]) -> bool:
    """Whether this is the employee's leg of a callback, on which nobody talks with the client yet."""
    return "callback_initiator" in leg and "taken_from_call_id" not in leg["from"]
