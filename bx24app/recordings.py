"""USE CASE: one recording from Mango's cloud to its call in Bitrix24, streaming both ways, by the plan of BX24APP_RECORDING_RETRY.

One try = ask Mango for the file, spool it, ask the portal where to upload it, upload it. The spool keeps a fetched file until it is
attached, since Mango's link is one-shot. After a lost upload the portal is asked whether it has the file before it is sent again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import uniform

from sqlalchemy import func, select, update

from bx24app import circuit, portals, queue, spool, tracing
from bx24app.bitrix24 import errors as portal_errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import Bitrix24
from bx24app.domain.call import external_id
from bx24app.drain import locked
from bx24app.logs import log
from bx24app.models import Call, Pbx, Recording, db, utcnow
from bx24app.runtime import runtime
from bx24app.spool import Hopeless, NotNow, Source

_log = log(__name__)

CLAIM = timedelta(minutes=20)
"""A try that is older than this has died with its worker."""
DISK_FULL = "the portal's disk is full"
"""The problem of a recording that waits for space; by it they are found."""
DISK_SECONDS = 900.0
"""Until such a one tries again."""
LONGEST_TURN = 30.0
"""Seconds by which a wait for the portal's budget is spread at the most."""


@dataclass(frozen=True, slots=True)
class Errand:
    """One try, detached from the database."""

    id: int
    portal_id: int
    source: Source
    bitrix_call_id: str
    attempted: bool
    file_name: str
    noticed_at: datetime | None
    claimed_at: datetime
    """A row that says otherwise by now is in other hands: this try was given up."""
    entry_id: str = ""

    @property
    def file(self) -> Path:
        return spool.path_of(self.id)


def carry(recording_id: int) -> None:
    """One try for one recording (row id); does nothing where it is not due, already attached, or in other hands."""
    errand = _take(recording_id)
    if errand is None:
        return
    try:
        pause = circuit.of_portal(errand.portal_id).state().pause
        if pause > 0:
            raise NotNow("the portal has not answered lately", pause, counts=False)
        client = portals.client_by_id(errand.portal_id)
        file_id = _already_there(client, errand) if errand.attempted else None
        if file_id is None:
            if errand.attempted:
                errand = replace(errand, file_name=next_name(errand.file_name))
            with tracing.span("fetch recording", errand.portal_id, errand.entry_id):
                spool.fetch(errand.source, errand.file)
            with tracing.span("attach recording", errand.portal_id, errand.entry_id):
                file_id = _attach(client, errand)
    except NotNow as error:
        after = _turn(errand, error.after or 0.5) if error.queued else error.after
        _put_off(errand, str(error), after, counts=error.counts)
    except Hopeless as error:
        _give_up(errand, str(error))
    else:
        _attached(errand, file_id)


def _take(recording_id: int) -> Errand | None:
    now = utcnow()
    claim = (
        update(Recording)
        .where(
            Recording.id == recording_id,
            Recording.state == "waiting",
            Recording.bitrix_call_id.is_not(None),
            Recording.due_at <= now + timedelta(seconds=1),
            (Recording.claimed_at.is_(None)) | (Recording.claimed_at < now - CLAIM),
        )
        .values(claimed_at=now)
        .returning(Recording.call_id)
    )
    taken = db.session.execute(claim).scalar()
    if taken is None:
        db.session.rollback()
        return None
    row = db.session.get_one(Recording, recording_id)
    call, portal_state = db.session.get_one(Call, row.call_id), portals.state_of(row.portal_id)
    pbx = db.session.get(Pbx, call.pbx_id)
    if portal_state not in ("active", "pending"):
        row.claimed_at = None
        db.session.commit()
        db.session.remove()
        return None
    row.file_name = row.file_name or _file_name(call, row)
    errand = Errand(
        id=row.id,
        portal_id=row.portal_id,
        source=Source(
            row.recording_id,
            row.url,
            pbx.api_key if pbx else None,
            pbx.api_salt if pbx else None,
            pbx.id if pbx else None,
        ),
        bitrix_call_id=str(row.bitrix_call_id),
        attempted=row.attempted,
        file_name=row.file_name,
        noticed_at=row.noticed_at,
        claimed_at=now,
        entry_id=call.entry_id,
    )
    db.session.commit()
    db.session.remove()
    return errand


def _file_name(call: Call, row: Recording) -> str:
    """Unique in the portal's month folder; lower case, since Bitrix24 compares the ending by letters."""
    digest = hashlib.sha256(f"{external_id(call.pbx_key, call.entry_id)}/{row.recording_id}".encode()).hexdigest()[:16]
    client = (call.client_number or "anonymous").lstrip("+")
    return f"{call.started_at:%Y%m%d-%H%M%S}-{call.pbx_key}-{client}-{digest}.mp3"


def next_name(file_name: str) -> str:
    """`….mp3` -> `…-2.mp3` -> `…-3.mp3`: a lost upload may have left the file under the old name without its call knowing of it."""
    stem, number = re.fullmatch(r"(.+?)(?:-(\d{1,4}))?\.mp3", file_name).groups()  # type: ignore[union-attr]
    return f"{stem}-{int(number or 1) + 1}.mp3"


@contextmanager
def _waiting(errand: Errand) -> Iterator[None]:
    """What the portal's refusal means for this recording, whichever request met it. Its budget and its own state spend no try."""
    try:
        yield
    except portal_errors.Refused as error:
        raise NotNow(f"the portal refused the recording: {error}") from None
    except portal_errors.NeedsAdmin as error:
        if error.code == "disk":  # cards and calls need no disk: only recordings wait
            raise NotNow(DISK_FULL, DISK_SECONDS, counts=False) from None
        portals.trouble(errand.portal_id, error)
        raise NotNow(str(error), 60, counts=False) from None
    except portal_errors.Gone as error:
        portals.trouble(errand.portal_id, error)
        raise NotNow(str(error), 3600, counts=False) from None
    except portal_errors.Later as error:
        raise NotNow(str(error), error.after, counts=not error.budget, queued=error.budget) from None


def _attach(client: Bitrix24, errand: Errand) -> int:
    """FILENAME -> uploadUrl -> multipart, streamed from the spool."""
    with _waiting(errand):
        where = client.call(
            "telephony.externalCall.attachRecord",
            {"CALL_ID": errand.bitrix_call_id, "FILENAME": errand.file_name},
            Priority.RECORD,
        ).result
        _mark_attempted(errand)
        try:
            said = client.upload(where["uploadUrl"], errand.file, errand.file_name, field=where.get("fieldName", "file"))
            return int(said["FILE_ID"])
        except (KeyError, TypeError, ValueError) as error:
            raise NotNow(f"the portal's answer to an attachment has an unknown shape: {error}") from None


def _already_there(client: Bitrix24, errand: Errand) -> int | None:
    """After a lost upload: does the portal have the file?"""
    with _waiting(errand):
        rows = client.call(
            "voximplant.statistic.get", {"FILTER": {"CALL_ID": errand.bitrix_call_id}}, Priority.RECORD
        ).result
    for row in rows or []:
        if str(row.get("CALL_ID")) == errand.bitrix_call_id and row.get("RECORD_FILE_ID"):
            return int(row["RECORD_FILE_ID"])
    return None


def _mark_attempted(errand: Errand) -> None:
    known = {"attempted": True, "file_name": errand.file_name}
    db.session.execute(update(Recording).where(Recording.id == errand.id).values(**known))
    db.session.commit()
    db.session.remove()


def _attached(errand: Errand, file_id: int) -> None:
    now = utcnow()
    with locked(errand.portal_id) as (session, _):
        row = session.get_one(Recording, errand.id)
        row.state, row.file_id, row.attached_at, row.due_at, row.claimed_at = "attached", file_id, now, None, None
        row.problem, row.attempted = None, False
        row.lag_seconds = round((now - row.noticed_at).total_seconds(), 3) if row.noticed_at else None
    errand.file.unlink(missing_ok=True)
    _log.info("recording attached", recording=errand.id, portal=errand.portal_id)


def _turn(errand: Errand, after: float) -> float:
    """Seconds until this one asks for the portal's budget again: all that wait spread over the time that the budget needs for them,
    or hundreds would ask at every drop of it."""
    rate = portals.budget_of(errand.portal_id).rate or 1.0
    soon = utcnow() + timedelta(minutes=1)
    waiting = select(func.count()).where(
        Recording.portal_id == errand.portal_id,
        Recording.state == "waiting",
        Recording.bitrix_call_id.is_not(None),
        Recording.due_at <= soon,
    )
    others: int = db.session.scalar(waiting) or 0
    db.session.remove()
    return after + uniform(0, min(others / rate, LONGEST_TURN))  # noqa: S311 - jitter, not a secret


def _put_off(errand: Errand, why: str, after: float | None, *, counts: bool) -> None:
    plan = runtime().config.recording_retry
    with locked(errand.portal_id) as (session, _):
        row = session.get_one(Recording, errand.id)
        if row.claimed_at != errand.claimed_at:
            return
        row.claimed_at, row.problem = None, why[:500]
        row.tries += 1 if counts else 0
        if row.tries >= len(plan):
            row.state, row.due_at = "lost", None
        else:
            row.due_at = utcnow() + timedelta(seconds=max(after or 0.5, plan[row.tries] if counts else 0))
        due, state = row.due_at, row.state
    if state == "lost":
        errand.file.unlink(missing_ok=True)
        _log.warning("recording lost", recording=errand.id, portal=errand.portal_id, why=why)
    if due is not None:
        queue.wake_recording(errand.id, due)


def _give_up(errand: Errand, why: str) -> None:
    with locked(errand.portal_id) as (session, _):
        row = session.get_one(Recording, errand.id)
        if row.claimed_at != errand.claimed_at:
            return
        row.state, row.due_at, row.claimed_at, row.problem = "lost", None, None, why[:500]
    errand.file.unlink(missing_ok=True)
    _log.warning("recording lost", recording=errand.id, portal=errand.portal_id, why=why)


def try_again(portal_id: int, recording_id: int) -> bool:
    """A person asks for another try of a lost recording; False where it is not one of this portal's."""
    with locked(portal_id) as (session, _):
        row = session.scalars(
            select(Recording).where(Recording.portal_id == portal_id, Recording.id == recording_id)
        ).first()
        if row is None or row.state not in ("lost", "waiting") or row.bitrix_call_id is None:
            return False
        row.state, row.due_at, row.tries, row.claimed_at = (
            "waiting",
            utcnow(),
            len(runtime().config.recording_retry) - 1,
            None,
        )
    queue.wake_recording(recording_id)
    return True
