"""Tries for recordings as rows: which worker has which one, under which name it is sent, and which leave together.

An `Attempt` is detached from the database, so that no connection is held while Mango or the portal answers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, select, update

from bx24app.calls.recordings import spool_files
from bx24app.calls.recordings.download import RecordingSource
from bx24app.domain.calls.call_view import make_external_id
from bx24app.infra import spool
from bx24app.infra.leases import worker_name
from bx24app.mango.audio import HEAD_BYTES, MP3, detect_format
from bx24app.models import Call, Pbx, Recording, db, utcnow
from bx24app.models.problem_codes import RecordingProblem, recording_has_problem
from bx24app.portals import lifecycle

CLAIM_LIFETIME = timedelta(minutes=20)
"""A claim that is older than this is nobody's, whether its worker lives or not."""
UPLOAD_SETTLES = timedelta(seconds=8)
"""How long the portal may still be busy with an upload whose worker has died."""
SMALL_BYTES = 1_000_000
"""Largest recording that may leave inside a request: four minutes at 32 kbit/s. Memory then holds it five times."""
BATCH_BYTES, BATCH_FILES = 2_500_000, 12
"""Bytes and recordings of one request at most: well within the 60 s that the cloud gives a request."""
DUE_WITHIN = timedelta(minutes=4)
"""A recording that waits for the budget is due within this time (twice `transfer.MAX_SPREAD_SECONDS`)."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try for one recording. `id`: of the row."""

    id: int
    portal_id: int
    source: RecordingSource
    bitrix_call_id: str
    is_upload_uncertain: bool
    """An upload left and its answer was lost."""
    tries: int
    """Tries of the plan that were spent before this one."""
    file_name: str
    noticed_at: datetime | None
    claimed_at: datetime
    """While the row says the same, it belongs to this try."""
    spool_file: Path
    entry_id: str = ""
    is_unconfirmed: bool = False
    """Mango has not said that the file is there."""

    @property
    def is_small(self) -> bool:
        """May it leave inside a request? Known once its file is there."""
        return not self.is_upload_uncertain and not self.tries and self.spool_file.stat().st_size <= SMALL_BYTES

    def portal_file_name(self) -> str:
        """The file's name in the portal: its ending follows its first bytes."""
        with self.spool_file.open("rb") as file:
            detected = detect_format(file.read(HEAD_BYTES)) or MP3
        return f"{self.file_name.removesuffix('.mp3')}.{detected.ending}"


def claim_recording(recording_id: int) -> Attempt | None:
    """Claim this recording (row id) for a try; None: it is not due, or another worker has it."""
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
        .values(claimed_at=now, owner=worker_name())
        .returning(Recording.call_id)
    )
    if db.session.execute(claim).scalar() is None:
        db.session.rollback()
        return None
    row = db.session.get_one(Recording, recording_id)
    if lifecycle.state_of(row.portal_id) not in ("active", "pending"):
        row.claimed_at = None
        db.session.commit()
        db.session.remove()
        return None
    attempt = _build_attempt(row, now, spool_files.files_of([row.id])[row.id])
    db.session.commit()
    db.session.remove()
    return attempt


def _build_attempt(row: Recording, now: datetime, spool_file: Path) -> Attempt:
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
        spool_file=spool_file,
        entry_id=call.entry_id,
        is_unconfirmed=row.problem_code == RecordingProblem.UNCONFIRMED,
    )


def _make_file_name(call: Call, row: Recording) -> str:
    """Unique in the portal's folder of the month. Lower case, because Bitrix24 compares the ending with case."""
    name = f"{make_external_id(call.pbx_key, call.entry_id)}/{row.recording_id}"
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    client = (call.client_number or "anonymous").lstrip("+")
    return f"{call.started_at:%Y%m%d-%H%M%S}-{call.pbx_key}-{client}-{digest}.mp3"


def next_file_name(file_name: str) -> str:
    """`….mp3` -> `…-2.mp3` -> `…-3.mp3`: a lost upload may have left the file under the old name, without its call."""
    stem, number = re.fullmatch(r"(.+?)(?:-(\d{1,4}))?\.mp3", file_name).groups()  # type: ignore[union-attr]
    return f"{stem}-{int(number or 1) + 1}.mp3"


def batch_with(attempt: Attempt) -> tuple[list[Attempt], int | None]:
    """This try with those of other recordings that are in the spool and wait for the portal's budget, all claimed.

    Returns them, and the next recording (row id) for which there was no room; it is due now.
    """
    now = utcnow()
    waiting = (
        select(Recording.id)
        .where(
            Recording.portal_id == attempt.portal_id,
            Recording.due_at <= now + DUE_WITHIN,
            *_waiting_conditions(),
        )
        .order_by(Recording.due_at)
        .with_for_update(skip_locked=True)  # two batches at once would lock each other out
    )
    candidates = db.session.scalars(waiting.limit(BATCH_FILES * 4)).all()
    files = spool_files.files_of(candidates)
    chosen, next_id = _choose_by_size(candidates, files, attempt.spool_file.stat().st_size)
    claim = update(Recording).where(Recording.id.in_(chosen), *_waiting_conditions())
    claimed = db.session.scalars(claim.values(claimed_at=now, owner=worker_name()).returning(Recording.id)).all()
    rows = db.session.scalars(select(Recording).where(Recording.id.in_(claimed)).order_by(Recording.id)).all()
    batch = [attempt, *(_build_attempt(row, now, files[row.id]) for row in rows)]
    if next_id is not None:
        db.session.execute(update(Recording).where(Recording.id == next_id, *_waiting_conditions()).values(due_at=now))
    db.session.commit()
    db.session.remove()
    return batch, next_id


def _choose_by_size(
    candidates: Sequence[int], files: Mapping[int, Path], total_bytes: int
) -> tuple[list[int], int | None]:
    """Recordings that fit into a request beside `total_bytes`, and the first one that does not."""
    chosen: list[int] = []
    for recording_id in candidates:
        size = spool.size_of(files[recording_id]) if recording_id in files else None
        if size is None or size > SMALL_BYTES:
            continue
        if total_bytes + size > BATCH_BYTES or len(chosen) + 1 >= BATCH_FILES:
            return chosen, recording_id
        chosen.append(recording_id)
        total_bytes += size
    return chosen, None


def _waiting_conditions() -> tuple[ColumnElement[bool], ...]:
    """The conditions of recordings that were fetched and wait for nothing but the portal's budget."""
    row = Recording
    return (
        row.state == "waiting",
        row.claimed_at.is_(None),
        recording_has_problem(RecordingProblem.PORTAL_BUDGET),
        row.tries == 0,
        row.attempted.is_(False),
    )


def mark_attempted(attempts: Sequence[Attempt], *, attempted: bool) -> None:
    """Write on disk, before anything leaves, that the portal may have these files from now on; or that nothing has left
    after all.
    """
    for attempt in attempts:
        values = {"attempted": attempted, "file_name": attempt.file_name}
        db.session.execute(update(Recording).where(Recording.id == attempt.id).values(**values))
    db.session.commit()
    db.session.remove()


def release_claims(attempts: Sequence[Attempt]) -> None:
    """Give these recordings back, due in a moment: something failed that nobody foresaw."""
    for attempt in attempts:
        mine = update(Recording).where(Recording.id == attempt.id, Recording.claimed_at == attempt.claimed_at)
        db.session.execute(mine.values(claimed_at=None, due_at=utcnow() + timedelta(seconds=30)))
    db.session.commit()
    db.session.remove()


def free_recordings_of(owner: str) -> list[tuple[int, datetime]]:
    """Give back the recordings of a dead worker; returns the portal (row id) of each and when it is due. The caller
    commits.

    An upload that may have left gets some seconds to arrive before the portal is asked for it.
    """
    now = utcnow()
    mine = (Recording.due_at.is_not(None), Recording.state == "waiting", Recording.owner == owner)
    rows: list[tuple[int, datetime]] = []
    for attempted, due_at in ((True, now + UPLOAD_SETTLES), (False, now)):
        free = update(Recording).where(*mine, Recording.claimed_at.is_not(None), Recording.attempted.is_(attempted))
        values = {"claimed_at": None, "owner": None, "due_at": due_at}
        rows += [(row, due_at) for row in db.session.scalars(free.values(**values).returning(Recording.portal_id))]
    return rows
