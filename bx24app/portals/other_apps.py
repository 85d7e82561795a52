"""Finds other telephony applications that register the same calls in the portal, so that each call appears twice.

The daily sync compares the portal's statistics, which name the application of every call, with our journal, and stores
the counts beside the dictionaries; the overview warns of them.
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
"""Two calls with the same number and direction that begin within this time are the same call."""
_OUTGOING = "1"


def ask_portal(client: Bitrix24Client, portal_id: int) -> dict[str, Any]:
    """Other applications, each with the number of our calls that it registered too, in the stored form.

    One request, for the newest rows.
    """
    since = utcnow() - COMPARED_PERIOD
    params = {"FILTER": {">CALL_START_DATE": since.isoformat()}, "SORT": "CALL_START_DATE", "ORDER": "DESC"}
    try:
        rows = client.call("voximplant.statistic.get", params, Priority.BACKGROUND).result or []
    except (errors.Refused, errors.NeedsAdmin) as error:  # the user of the grant may not see statistics
        _log.info("portal statistics refused", portal=portal_id, reason=str(error))
        return {}
    ours = db.session.execute(
        select(Call.bitrix_call_id, Call.client_number, Call.started_at, Call.direction).where(
            Call.portal_id == portal_id, Call.started_at > since - SAME_CALL_WITHIN
        )
    ).all()
    db.session.rollback()
    our_ids = {call_id for call_id, *_ in ours}
    doubled = Counter(
        name
        for row in rows
        if isinstance(row, dict) and row.get("CALL_ID") not in our_ids and (name := str(row.get("REST_APP_NAME") or ""))
        if any(_is_same_call(row, number, at, direction) for _, number, at, direction in ours)
    )
    return {"rivals": dict(doubled)}


def _is_same_call(row: dict[str, Any], number: str | None, at: datetime, direction: str) -> bool:
    if not number or (str(row.get("CALL_TYPE")) == _OUTGOING) != (direction == "out"):
        return False
    try:
        started_at = datetime.fromisoformat(str(row.get("CALL_START_DATE")))
    except ValueError:
        return False
    return (
        started_at.tzinfo is not None
        and abs(started_at - at) <= SAME_CALL_WITHIN
        and phone.is_same_number(str(row.get("PHONE_NUMBER")), number)
    )


def counts(portal_id: int) -> dict[str, int]:
    """Name -> calls of the day before the last sync that this application registered too."""
    row = db.session.get(Dictionary, portal_id)
    names: dict[str, int] = row.content.get("rivals", {}) if row is not None else {}
    return names
