"""Turns a scenario into a new call with fresh ids, times and client, and posts it to the app over HTTP.

A test calls `as_new_call`, posts the notifications with `post` in any order, and reads the result with `in_portal`.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from dataclasses import dataclass
from typing import Any

import requests

from bx24app.mango import vpbx
from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.mango import MangoCloud
from tests.conftest import KEY, SALT
from tests.support.scenarios import Notice, Scenario
from tests.support.stack import World

_numbers = itertools.count(10_000)
_ID = re.compile(r'"(entry_id|call_id|recording_id|taken_from_call_id|uuid)":"([^"]+)"')


_MOMENT = re.compile(
    r'"(timestamp|create_time|forward_time|talk_time|end_time|start_time|finish_time|answer_time)":("?)(1\d{9})'
)


@dataclass(frozen=True)
class ReplayedCall:
    entry_id: str
    client: str
    """E.164."""
    notices: list[Notice]


def as_new_call(scenario: Scenario, client: str | None = None, ago: int = 0) -> ReplayedCall:
    """The scenario's call with new ids, moved in time so that it ended `ago` seconds ago.

    Bitrix24 limits a call to half an hour from its start, so the call cannot keep its old times.
    `client`: E.164; without it the call gets a new number.
    """
    number = next(_numbers)
    client = client.lstrip("+") if client else f"7916{number:07d}"
    moments = [int(m.group(3)) for n in scenario.notices for m in _MOMENT.finditer(n.raw)]
    shift = int(time.time()) - ago - max(moments)

    def fresh(text: str) -> str:
        text = _ID.sub(lambda m: f'"{m.group(1)}":"{m.group(2)}n{number}"', text)
        text = _MOMENT.sub(lambda m: f'"{m.group(1)}":{m.group(2)}{int(m.group(3)) + shift}', text)
        text = text.replace("89160000001", f"8{client[1:]}")
        return text.replace("79160000001", client).replace("+74951234567", f"+{client}")

    notices = [Notice(n.file, n.name, fresh(n.raw)) for n in scenario.notices]
    entry = next(
        n.content.get("entry_id") or n.content["uuid"]
        for n in notices
        if "entry_id" in n.content or "uuid" in n.content
    )
    return ReplayedCall(entry, f"+{client}", notices)


def absorb(cloud: MangoCloud, notices: list[Notice], key: str = KEY) -> None:
    """Add the notifications to the call log of the sandbox PBX with this key, so that it has the recordings."""
    board = cloud.board(key)
    for notice in notices:
        if notice.dialect == "vpbx":
            board.call_log.add_notification(notice.name, notice.content)


def post(hook: str, notice: Notice, key: str = KEY, salt: str = SALT) -> int:
    """Post one notification as Mango would. Returns the HTTP status."""
    if notice.dialect == "events":
        return requests.post(f"{hook}/{notice.name}", json=notice.content, timeout=20).status_code
    form = {"vpbx_api_key": key, "json": notice.raw, "sign": vpbx.sign_text(key, salt, notice.raw)}
    return requests.post(f"{hook}/{notice.name}", data=form, timeout=20).status_code


def in_portal(earth: World, retold: ReplayedCall, number: int = 0) -> dict[str, Any]:
    """What a portal has of this call and its client, without ids and times, for comparison."""
    return earth.sandbox.call(_in_portal, earth.sandbox.portals[number], retold)


def _in_portal(portal: Portal, retold: ReplayedCall) -> dict[str, Any]:
    digits = retold.client[1:]
    rows = [
        row for row in portal.statistics.values() if (row.external_id or "").startswith(f"moscow:{retold.entry_id}")
    ]
    everything = [record for table in portal.crm.records.values() for record in table.values()]
    records = [record for record in everything if any(digits in re.sub(r"\D", "", phone) for phone in record.phones)]
    keys = {record.key for record in records}
    deals = [d for d in everything if d.type_id == 2 and any((3, c) in keys for c in d.contact_ids)]
    keys |= {deal.key for deal in deals}
    activities = [a for a in portal.activities.values() if keys & set(a.bindings)]
    return {
        "calls": sorted(
            (
                (row.external_id or "").removeprefix(f"moscow:{retold.entry_id}"),
                row.user_id,
                row.type,
                row.duration,
                row.failed_code,
                row.portal_number,
                row.missed,
                row.file_id is not None,
            )
            for row in rows
        ),
        "records": sorted((record.type_id, record.assigned_by_id) for record in [*records, *deals]),
        "activities": sorted(
            (a.provider_id, a.responsible_id, a.is_missed, a.completed, len(a.files)) for a in activities
        ),
        "open": [call.call_id for call in portal.calls.values() if call.phone.lstrip("+") == digits],
        "cards": [
            card for cards in portal.cards.values() for card in cards.values() if card.phone.lstrip("+") == digits
        ],
    }


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, default=str)
