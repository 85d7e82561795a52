"""Finished calls with waiting recordings: created in the portal directly, as another program would do it, and in our
tables.
"""

from __future__ import annotations

from itertools import count
from urllib.parse import urlencode

import requests

from benchmarks.rig import Rig
from bx24app.models import Call, Portal, Recording, db, utcnow
from bx24app.models import Pbx as PbxRow

AT_ONCE = 25
"""Calls that one batch makes in the portal."""
TELEPHONY = "telephony.externalCall."
_clients = count(1)


def pbx_of(made: Rig, number: int) -> PbxRow:
    """The PBX of a portal, by the portal's number in the sandbox. Needs the application's context."""
    portal = db.session.query(Portal).filter_by(member_id=made.cloud.ask("member_id", number)).one()
    return db.session.query(PbxRow).filter_by(portal_id=portal.id).one()


def leave(made: Rig, number: int, calls: int, size: int) -> list[int]:
    """Creates finished calls of a portal whose recordings (`size` bytes) are due now, so that the next sweep wakes
    them. Returns the ids of the recordings.
    """
    call_ids = finished(made, number, calls)
    names = [f"left{call}" for call in call_ids]
    made.cloud.ask("stored", names, size)
    now = utcnow()
    rows: list[int] = []
    with made.app.app_context():
        pbx = pbx_of(made, number)
        portal, known = pbx.portal_id, {"pbx_id": pbx.id, "pbx_key": pbx.key}
        for name, call in zip(names, call_ids, strict=True):
            row = Call(portal_id=portal, **known, entry_id=name, started_at=now, state="finished")
            db.session.add(row)
            db.session.flush()
            due = {"bitrix_call_id": call, "due_at": now, "noticed_at": now}
            recording = Recording(portal_id=portal, call_id=row.id, recording_id=name, part=1, **due)
            db.session.add(recording)
            db.session.flush()
            rows.append(recording.id)
        db.session.commit()
        db.session.remove()
    return rows


def finished(made: Rig, number: int, calls: int) -> list[str]:
    """Creates finished calls in the portal and returns their ids there."""
    base, token = made.cloud.ask("grant", number)
    call_ids: list[str] = []
    with requests.Session() as session:
        for first in range(0, calls, AT_ONCE):
            cmd = {}
            for one in range(first, min(first + AT_ONCE, calls)):
                phone = {"USER_ID": 11, "PHONE_NUMBER": f"+7936{next(_clients):07d}", "TYPE": 2, "SHOW": 0}
                done = {"CALL_ID": f"$result[r{one}][CALL_ID]", "USER_ID": 11, "DURATION": 60, "STATUS_CODE": 200}
                cmd[f"r{one}"] = f"{TELEPHONY}register?{urlencode(phone)}"
                cmd[f"f{one}"] = f"{TELEPHONY}finish?{urlencode(done)}"
            answer = session.post(f"{base}batch", json={"cmd": cmd, "auth": token}, timeout=60)
            answer.raise_for_status()
            results = answer.json()["result"]["result"]
            call_ids += [result["CALL_ID"] for key, result in results.items() if key[0] == "r"]
    return call_ids
