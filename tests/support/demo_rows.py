"""Rows of past calls, recordings and failures, for the demo data.

`tests.support.demo_data` writes them directly into the tables, because such calls are too many and too old to be
played.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from bx24app.models import Call, Delivery, Notification, Recording, db, utcnow
from bx24app.models import Pbx as PbxRow

ALLA, ILYA, NINA, ROMAN, SOFYA = 11, 12, 13, 21, 22
CLIENT = "+79161234567"
OUTCOMES = ("answered", "answered", "missed", "answered", "answered", "failed", "answered")


def past_call(number: int, known: dict[str, Any], pbxs: dict[str, PbxRow], version: int) -> Call:
    """The call with this number; a higher number is an earlier day. `known`: ids of the portal and of the lead."""
    key = "krasnodar" if number % 5 == 4 else "moscow"
    outcome = OUTCOMES[number % 7]
    user = (ROMAN, SOFYA)[number % 2] if key == "krasnodar" else (ALLA, ILYA, NINA)[number % 3]
    day = utcnow().replace(hour=6, minute=12, second=0, microsecond=0) - timedelta(days=number // 12 + 1)
    at = day + timedelta(minutes=47 * (number % 12) + number % 9)
    is_answered = outcome == "answered"
    crm = {"entity": "lead", "id": known["lead"], "created": number % 3 == 0}
    return Call(
        portal_id=known["portal"],
        pbx_id=pbxs[key].id,
        pbx_key=key,
        entry_id=f"earlier-{number}",
        state="finished",
        direction="out" if outcome == "failed" or number % 6 == 1 else "in",
        line_number=f"7495000000{number % 2 + 1}" if key == "moscow" else "78612345678",
        client_number=CLIENT if number % 11 == 0 else f"+7916{1000000 + number * 7919:07d}",
        started_at=at,
        answered_at=at + timedelta(seconds=4 + number % 20) if is_answered else None,
        ended_at=at + timedelta(seconds=60 + number),
        talk_seconds=50 + number if is_answered else 0,
        outcome=outcome,
        reason=1110 if is_answered else 1121,
        user_id=user if is_answered else None,
        users=[user],
        responsible_id=user,
        settings_version_id=version,
        crm=[crm] if number % 2 == 0 else [],
        unmapped="105" if number % 25 == 3 else None,
    )


def add_recordings(portal_id: int) -> None:
    """A recording for each answered past call. All are attached but one, which is lost."""
    is_answered_past_call = (Call.entry_id.startswith("earlier-"), Call.outcome == "answered")
    for call in db.session.scalars(db.select(Call).where(*is_answered_past_call)):
        db.session.add(
            Recording(
                portal_id=portal_id,
                call_id=call.id,
                recording_id=f"tape-{call.id}",
                part=1,
                user_id=call.user_id,
                seconds=call.talk_seconds,
                bitrix_call_id="x",
                noticed_at=call.ended_at,
                **_recording_state(call),
            )
        )


def _recording_state(call: Call) -> dict[str, Any]:
    if call.entry_id == "earlier-8":
        return {"state": "lost", "problem": "Mango Office хранит эту запись не в облаке"}
    return {"state": "attached", "attached_at": call.ended_at, "lag_seconds": 9.0 + call.talk_seconds % 30}


def add_failures(portal_id: int, pbx_id: int) -> None:
    """Add a refused command and a notification that cannot be parsed."""
    call = db.session.scalars(db.select(Call).where(Call.entry_id == "earlier-3")).one()
    call.state, call.problem = "dead", "Недостаточно прав"
    at: datetime = call.ended_at or call.started_at
    db.session.add(
        Delivery(
            portal_id=portal_id,
            call_id=call.id,
            key="finish",
            kind="Finish",
            command={"key": "finish", "user_id": ALLA, "seconds": 53, "status": "200"},
            state="dead",
            attempts=1,
            created_at=at,
            sent_at=at,
            done_at=at,
            code="ACCESS_DENIED",
            reason="Недостаточно прав",
        )
    )
    db.session.add(
        Notification(
            portal_id=portal_id,
            pbx_id=pbx_id,
            dialect="vpbx",
            name="events/call",
            entry_id="earlier-9",
            dedup_key="odd",
            body=json.dumps({"seq": 1, "call_id": "MToxMDAx", "timestamp": 1}),
            state="rejected",
            reason="call_state: is missing",
        )
    )
