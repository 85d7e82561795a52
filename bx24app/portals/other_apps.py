"""USE CASE: does another telephony application tell the portal the same calls? Then each of them stands there twice.

The portal's statistics name the application of every call. Seen daily, kept beside the dictionaries; what the portal does not tell changes nothing.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import Bitrix24Client
from bx24app.domain import phone
from bx24app.infra.logs import get_logger
from bx24app.models import Call, Dictionary, db, utcnow

_log = get_logger(__name__)

COMPARED_PERIOD = timedelta(days=1)
SAME_CALL_WITHIN = timedelta(seconds=60)
"""The same number in the same direction so close together is the same call."""
_OUTGOING = "1"


def ask_portal(client: Bitrix24Client, portal_id: int) -> dict[str, Any]:
    """Names of other applications with the number of our calls that they told too, in the shape that is kept; one request, the newest rows."""
    since = utcnow() - COMPARED_PERIOD
    asked = {"FILTER": {">CALL_START_DATE": since.isoformat()}, "SORT": "CALL_START_DATE", "ORDER": "DESC"}
    try:
        rows = client.call("voximplant.statistic.get", asked, Priority.BACKGROUND).result or []
    except errors.Refused as error:  # who may not see statistics cannot tell
        _log.info("statistics not told", portal=portal_id, reason=str(error))
        return {}
    ours = db.session.execute(
        select(Call.bitrix_call_id, Call.client_number, Call.started_at, Call.direction).where(
            Call.portal_id == portal_id, Call.started_at > since - SAME_CALL_WITHIN
        )
    ).all()
    db.session.rollback()
    known = {call_id for call_id, *_ in ours}
    told = Counter(
        name
        for row in rows
        if isinstance(row, dict) and row.get("CALL_ID") not in known and (name := str(row.get("REST_APP_NAME") or ""))
        if any(_is_same_call(row, number, at, direction) for _, number, at, direction in ours)
    )
    return {"rivals": dict(told)}


def _is_same_call(row: dict[str, Any], number: str | None, at: datetime, direction: str) -> bool:
    if not number or (str(row.get("CALL_TYPE")) == _OUTGOING) != (direction == "out"):
        return False
    try:
        began = datetime.fromisoformat(str(row.get("CALL_START_DATE")))
    except ValueError:
        return False
    return began.tzinfo is not None and abs(began - at) <= SAME_CALL_WITHIN and phone.is_same_number(str(row.get("PHONE_NUMBER")), number)


def counts(portal_id: int) -> dict[str, int]:
    """Name -> calls of the day before the last look that this application told as well."""
    row = db.session.get(Dictionary, portal_id)
    found: dict[str, int] = row.content.get("rivals", {}) if row is not None else {}
    return found
