"""USE CASE: one recording from Mango's cloud to its call in Bitrix24, streaming both ways, by the plan of BX24APP_RECORDING_RETRY.

One try = ask Mango for the file, spool it, ask the portal where to upload it, upload it. The spool keeps a fetched file until it is
attached, since Mango's link is one-shot. After a lost upload the portal is asked whether it has the file before it is sent again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import select, update

from bx24app import portals, queue
from bx24app.bitrix24 import errors as portal_errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import Bitrix24
from bx24app.domain.call import external_id
from bx24app.drain import locked
from bx24app.logs import log
from bx24app.mango import errors as mango_errors
from bx24app.mango.client import Mango
from bx24app.mango.recording import RecordingDownload
from bx24app.models import Call, Pbx, Recording, db, utcnow
from bx24app.runtime import runtime

_log = log(__name__)

CLAIM = timedelta(minutes=20)
"""A try that is older than this has died with its worker."""
LARGEST = 512 * 1024 * 1024
"""Bytes of one recording at the most: days of talk."""


@dataclass(frozen=True, slots=True)
class Errand:
    """One try, detached from the database."""

    id: int
    portal_id: int
    recording_id: str
    bitrix_call_id: str
    url: str | None
    api_key: str | None
    api_salt: str | None
    attempted: bool
    file_name: str
    noticed_at: datetime | None

    @property
    def spool(self) -> Path:
        return runtime().config.data_dir / "spool" / f"{self.id}.mp3"


class _NotNow(Exception):
    """This try failed; the plan has a next one. `counts` False: it was the portal's state, not a try of the plan."""

    def __init__(self, why: str, after: float | None = None, *, counts: bool = True) -> None:
        super().__init__(why)
        self.after, self.counts = after, counts


class _Hopeless(Exception):
    """No further try can help."""


def carry(recording_id: int) -> None:
    """One try for one recording (row id); does nothing where it is not due, already attached, or in other hands."""
    errand = _take(recording_id)
    if errand is None:
        return
    try:
        client = portals.client_by_id(errand.portal_id)
        file_id = _already_there(client, errand) if errand.attempted else None
        if file_id is None:
            _fetch(errand)
            file_id = _attach(client, errand)
    except _NotNow as error:
        _put_off(errand, str(error), error.after, counts=error.counts)
    except _Hopeless as error:
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
        recording_id=row.recording_id,
        bitrix_call_id=str(row.bitrix_call_id),
        url=row.url,
        api_key=pbx.api_key if pbx else None,
        api_salt=pbx.api_salt if pbx else None,
        attempted=row.attempted,
        file_name=row.file_name,
        noticed_at=row.noticed_at,
    )
    db.session.commit()
    db.session.remove()
    return errand


def _file_name(call: Call, row: Recording) -> str:
    """Unique in the portal's month folder; lower case, since Bitrix24 compares the ending by letters."""
    digest = hashlib.sha256(f"{external_id(call.pbx_key, call.entry_id)}/{row.recording_id}".encode()).hexdigest()[:16]
    client = (call.client_number or "anonymous").lstrip("+")
    return f"{call.started_at:%Y%m%d-%H%M%S}-{call.pbx_key}-{client}-{digest}.mp3"


@contextmanager
def open_stream(
    recording_id: str,
    url: str | None,
    api_key: str | None,
    api_salt: str | None,
    byte_range: str | None = None,
    play: bool = False,
) -> Iterator[RecordingDownload]:
    """A recording's bytes from Mango, for the spool and for our own player.

    Raises:
        bx24app.mango.errors.MangoError
    """
    config = runtime().config
    mango = Mango(config.mango_api_url, api_key or "", api_salt or "", session=runtime().http)
    if url:
        download = mango.fetch_url(url, admit, byte_range=byte_range)
    else:
        download = mango.recording(recording_id, admit, byte_range=byte_range, play=play)
    with download:
        yield download


def admit(url: str) -> None:
    """Recordings come from BX24APP_RECORDING_HOSTS only, redirects included.

    Raises:
        bx24app.mango.errors.Refused, Later (no such host)
    """
    config = runtime().config
    parts = urlsplit(url)
    if (parts.hostname or "").lower() not in {host.lower() for host in config.recording_hosts}:
        raise mango_errors.Refused(f"a recording is not fetched from {parts.hostname}: not in BX24APP_RECORDING_HOSTS")
    try:
        portals.addresses().admit(url)
    except portal_errors.NeedsAdmin as error:
        raise mango_errors.Refused(str(error)) from None
    except portal_errors.Later as error:
        raise mango_errors.Later(str(error)) from None


def _fetch(errand: Errand) -> None:
    """The file in the spool; a file that is already there is whole."""
    spool = errand.spool
    if spool.exists():
        return
    spool.parent.mkdir(parents=True, exist_ok=True)
    partial = spool.with_suffix(".part")
    try:
        with open_stream(errand.recording_id, errand.url, errand.api_key, errand.api_salt) as download:
            size = 0
            with partial.open("wb") as file:
                for chunk in download.chunks(256 * 1024):
                    size += len(chunk)
                    if size > LARGEST:
                        raise _Hopeless(f"the recording is larger than {LARGEST} bytes")
                    file.write(chunk)
        if size == 0:
            raise _NotNow("Mango gave an empty file")
        partial.rename(spool)
    except mango_errors.Refused as error:
        raise _Hopeless(str(error)) from None
    except mango_errors.MangoError as error:
        raise _NotNow(str(error), getattr(error, "retry_after", None)) from None
    except OSError as error:
        raise _NotNow(f"the spool cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


def _attach(client: Bitrix24, errand: Errand) -> int:
    """FILENAME -> uploadUrl -> multipart, streamed from the spool."""
    try:
        where = client.call(
            "telephony.externalCall.attachRecord",
            {"CALL_ID": errand.bitrix_call_id, "FILENAME": errand.file_name},
            Priority.RECORD,
        ).result
        _mark_attempted(errand)
        said = client.upload(where["uploadUrl"], errand.spool, errand.file_name, field=where.get("fieldName", "file"))
        return int(said["FILE_ID"])
    except portal_errors.Refused as error:
        raise _NotNow(f"the portal refused the recording: {error}") from None
    except portal_errors.NeedsAdmin as error:
        portals.trouble(errand.portal_id, error)
        raise _NotNow(str(error), 60, counts=False) from None
    except portal_errors.Gone as error:
        portals.trouble(errand.portal_id, error)
        raise _NotNow(str(error), 3600, counts=False) from None
    except portal_errors.Later as error:
        raise _NotNow(str(error), error.after, counts=not getattr(error, "budget", False)) from None
    except (KeyError, TypeError, ValueError) as error:
        raise _NotNow(f"the portal's answer to an attachment has an unknown shape: {error}") from None


def _already_there(client: Bitrix24, errand: Errand) -> int | None:
    """After a lost upload: does the portal have the file?"""
    try:
        rows = client.call(
            "voximplant.statistic.get", {"FILTER": {"CALL_ID": errand.bitrix_call_id}}, Priority.RECORD
        ).result
    except (portal_errors.Later, portal_errors.Refused, portal_errors.NeedsAdmin, portal_errors.Gone) as error:
        raise _NotNow(str(error)) from None
    for row in rows or []:
        if str(row.get("CALL_ID")) == errand.bitrix_call_id and row.get("RECORD_FILE_ID"):
            return int(row["RECORD_FILE_ID"])
    return None


def _mark_attempted(errand: Errand) -> None:
    db.session.execute(update(Recording).where(Recording.id == errand.id).values(attempted=True))
    db.session.commit()
    db.session.remove()


def _attached(errand: Errand, file_id: int) -> None:
    now = utcnow()
    with locked(errand.portal_id) as (session, _):
        row = session.get_one(Recording, errand.id)
        row.state, row.file_id, row.attached_at, row.due_at, row.claimed_at = "attached", file_id, now, None, None
        row.problem, row.attempted = None, False
        row.lag_seconds = round((now - row.noticed_at).total_seconds(), 3) if row.noticed_at else None
    errand.spool.unlink(missing_ok=True)
    _log.info("recording attached", recording=errand.id, portal=errand.portal_id)


def _put_off(errand: Errand, why: str, after: float | None, *, counts: bool) -> None:
    plan = runtime().config.recording_retry
    with locked(errand.portal_id) as (session, _):
        row = session.get_one(Recording, errand.id)
        row.claimed_at, row.problem = None, why[:500]
        row.tries += 1 if counts else 0
        if row.tries >= len(plan):
            row.state, row.due_at = "lost", None
        else:
            row.due_at = utcnow() + timedelta(seconds=max(after or 0.5, plan[row.tries] if counts else 0))
        due, state = row.due_at, row.state
    if state == "lost":
        errand.spool.unlink(missing_ok=True)
        _log.warning("recording lost", recording=errand.id, portal=errand.portal_id, why=why)
    if due is not None:
        queue.wake_recording(errand.id, due)


def _give_up(errand: Errand, why: str) -> None:
    with locked(errand.portal_id) as (session, _):
        row = session.get_one(Recording, errand.id)
        row.state, row.due_at, row.claimed_at, row.problem = "lost", None, None, why[:500]
    errand.spool.unlink(missing_ok=True)
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
