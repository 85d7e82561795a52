"""Tries for recordings, detached from the database: who has which one in hand, and who leaves together with whom."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, select, update

from bx24app.calls.recordings import download
from bx24app.calls.recordings.download import RecordingSource
from bx24app.domain.calls.call_view import make_external_id
from bx24app.models import Call, Pbx, Recording, db, utcnow
from bx24app.models.problem_codes import RecordingProblem, recording_has_problem
from bx24app.portals import lifecycle

CLAIM_LIFETIME = timedelta(minutes=20)
"""A try that is older than this has died with its worker."""
SMALL_BYTES = 1_000_000
"""Bytes of a recording that may leave inside a request: four minutes at 32 kbit/s. It is in memory about five times then."""
BATCH_BYTES, BATCH_FILES = 2_500_000, 12
"""Bytes, and recordings, of one request at the most: well within the 60 s that the cloud gives a request."""
DUE_WITHIN = timedelta(minutes=4)
"""Who waits for the budget is due within this time (`recordings.LONGEST_TURN`)."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, detached from the database."""

    id: int
    portal_id: int
    source: RecordingSource
    bitrix_call_id: str
    is_upload_uncertain: bool
    tries: int
    file_name: str
    noticed_at: datetime | None
    claimed_at: datetime
    """A row that says otherwise by now is in other hands: this try was given up."""
    entry_id: str = ""

    @property
    def spool_file(self) -> Path:
        return download.spool_path(self.id)

    @property
    def is_small(self) -> bool:
        """May it leave inside a request? Asked when its file is there."""
        return not self.is_upload_uncertain and not self.tries and self.spool_file.stat().st_size <= SMALL_BYTES


def claim_recording(recording_id: int) -> Attempt | None:
    """This recording (row id), where it is due and in nobody's hands."""
    now = utcnow()
    claim = (
        update(Recording)
        .where(
            Recording.id == recording_id,
            Recording.state == "waiting",
            Recording.bitrix_call_id.is_not(None),
            Recording.due_at <= now + timedelta(seconds=1),
            (Recording.claimed_at.is_(None)) | (Recording.claimed_at < now - CLAIM_LIFETIME),
        )
        .values(claimed_at=now)
        .returning(Recording.call_id)
    )
    taken = db.session.execute(claim).scalar()
    if taken is None:
        db.session.rollback()
        return None
    row = db.session.get_one(Recording, recording_id)
    if lifecycle.state_of(row.portal_id) not in ("active", "pending"):
        row.claimed_at = None
        db.session.commit()
        db.session.remove()
        return None
    errand = _build_attempt(row, now)
    db.session.commit()
    db.session.remove()
    return errand


def _build_attempt(row: Recording, now: datetime) -> Attempt:
    call = db.session.get_one(Call, row.call_id)
    pbx = db.session.get(Pbx, call.pbx_id)
    row.file_name = row.file_name or _make_file_name(call, row)
    return Attempt(
        id=row.id,
        portal_id=row.portal_id,
        source=RecordingSource(
            row.recording_id,
            row.url,
            pbx.api_key if pbx else None,
            pbx.api_salt if pbx else None,
            pbx.id if pbx else None,
        ),
        bitrix_call_id=str(row.bitrix_call_id),
        is_upload_uncertain=row.attempted,
        tries=row.tries,
        file_name=row.file_name,
        noticed_at=row.noticed_at,
        claimed_at=now,
        entry_id=call.entry_id,
    )


def _make_file_name(call: Call, row: Recording) -> str:
    """Unique in the portal's month folder; lower case, since Bitrix24 compares the ending by letters."""
    digest = hashlib.sha256(f"{make_external_id(call.pbx_key, call.entry_id)}/{row.recording_id}".encode()).hexdigest()[:16]
    client = (call.client_number or "anonymous").lstrip("+")
    return f"{call.started_at:%Y%m%d-%H%M%S}-{call.pbx_key}-{client}-{digest}.mp3"


def next_file_name(file_name: str) -> str:
    """`….mp3` -> `…-2.mp3` -> `…-3.mp3`: a lost upload may have left the file under the old name without its call knowing of it."""
    stem, number = re.fullmatch(r"(.+?)(?:-(\d{1,4}))?\.mp3", file_name).groups()  # type: ignore[union-attr]
    return f"{stem}-{int(number or 1) + 1}.mp3"


def batch_with(errand: Attempt) -> tuple[list[Attempt], int | None]:
    """The errand with those whose files are here, claimed; and the next of those that found no room, due now."""
    now, size = utcnow(), errand.spool_file.stat().st_size
    waiting = (
        select(Recording.id)
        .where(
            Recording.portal_id == errand.portal_id,
            Recording.due_at <= now + DUE_WITHIN,
            *_waiting_conditions(),
        )
        .order_by(Recording.due_at)
        .with_for_update(skip_locked=True)  # two companies at once would lock each other out
    )
    chosen: list[int] = []
    left: int | None = None
    for number in db.session.scalars(waiting.limit(BATCH_FILES * 4)).all():
        more = _file_size(number)
        if more is None or more > SMALL_BYTES:
            continue
        if size + more > BATCH_BYTES or len(chosen) + 1 >= BATCH_FILES:
            left = number
            break
        chosen.append(number)
        size += more
    claim = update(Recording).where(Recording.id.in_(chosen), *_waiting_conditions())
    taken = db.session.scalars(claim.values(claimed_at=now).returning(Recording.id)).all()
    rows = db.session.scalars(select(Recording).where(Recording.id.in_(taken)).order_by(Recording.id)).all()
    company = [errand, *(_build_attempt(row, now) for row in rows)]
    if left is not None:
        db.session.execute(update(Recording).where(Recording.id == left, *_waiting_conditions()).values(due_at=now))
    db.session.commit()
    db.session.remove()
    return company, left


def _file_size(number: int) -> int | None:
    """Bytes; None: its file is on another machine, or was attached and removed a moment ago."""
    try:
        return download.spool_path(number).stat().st_size
    except FileNotFoundError:
        return None


def _waiting_conditions() -> tuple[ColumnElement[bool], ...]:
    """Of recordings that were fetched, and wait for nothing but the portal's budget."""
    row = Recording
    return (
        row.state == "waiting",
        row.claimed_at.is_(None),
        recording_has_problem(RecordingProblem.PORTAL_BUDGET),
        row.tries == 0,
        row.attempted.is_(False),
    )


def release_claims(errands: Sequence[Attempt]) -> None:
    """Out of our hands, due in a moment: what was to be done with them failed in a way that nobody foresaw."""
    for one in errands:
        held = update(Recording).where(Recording.id == one.id, Recording.claimed_at == one.claimed_at)
        db.session.execute(held.values(claimed_at=None, due_at=utcnow() + timedelta(seconds=30)))
    db.session.commit()
    db.session.remove()
