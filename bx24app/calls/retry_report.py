"""What became of the last "retry all" of a portal: what was queued, what got through, what failed again and why.

`replay` notes what it has queued, the page of undelivered commands reads it. The note lies in Redis for an hour:
without it only this report is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import redis
from sqlalchemy import select

from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Delivery, Recording, db, utcnow

_log = get_logger(__name__)

KEEP_SECONDS = 3600
MAX_IDS = 5000
"""Calls, and recordings, that are followed at most."""
_IDS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class RetryNote:
    """What one retry queued.

    `is_pending`: its job has not run yet. `still_dead`: commands that must not be repeated.
    """

    at: float
    is_pending: bool = False
    calls: tuple[int, ...] = ()
    recordings: tuple[int, ...] = ()
    set_aside: int = 0
    still_dead: int = 0


@dataclass(slots=True)
class Progress:
    """How many calls, or recordings, were queued, and where they are now."""

    queued: int = 0
    waiting: int = 0
    failed: int = 0
    rows: list[Delivery | Recording] = field(default_factory=list)
    """Those that wait after an error, or failed again, with the reason."""

    @property
    def done(self) -> int:
        return self.queued - self.waiting - self.failed


@dataclass(frozen=True, slots=True)
class RetryReport:
    """The note, and what has become of it by now."""

    note: RetryNote
    calls: Progress
    recordings: Progress

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.note.at, UTC)

    @property
    def is_open(self) -> bool:
        """May the numbers still change?"""
        return self.note.is_pending or bool(self.calls.waiting or self.recordings.waiting)


def store_note(
    portal_id: int,
    *,
    is_pending: bool = False,
    calls: Iterable[int] = (),
    recordings: Iterable[int] = (),
    set_aside: int = 0,
    still_dead: int = 0,
) -> None:
    """Note what a retry has queued, in place of the last note."""
    some_calls, some_recordings = tuple(sorted(calls)[:MAX_IDS]), tuple(sorted(recordings)[:MAX_IDS])
    note = RetryNote(utcnow().timestamp(), is_pending, some_calls, some_recordings, set_aside, still_dead)
    try:
        runtime().redis.set(_key(portal_id), json.dumps(asdict(note)), ex=KEEP_SECONDS)
    except redis.RedisError as error:
        _log.warning("retry not noted, its report is missing", portal=portal_id, error=type(error).__name__)


def load_report(portal_id: int) -> RetryReport | None:
    """The report about the last retry; None: there was none within the last hour, or Redis does not answer."""
    try:
        stored: Any = runtime().redis.get(_key(portal_id))
    except redis.RedisError:
        return None
    if stored is None:
        return None
    document = json.loads(stored)
    lists = {name: tuple(document[name]) for name in ("calls", "recordings")}
    note = RetryNote(**{**document, **lists})
    return RetryReport(note, _follow_calls(portal_id, note), _follow_recordings(portal_id, note))


def _key(portal_id: int) -> str:
    return f"retry-note:{portal_id}"


def _follow_calls(portal_id: int, note: RetryNote) -> Progress:
    progress, since = Progress(len(note.calls)), datetime.fromtimestamp(note.at, UTC)
    waiting, failed = set[int](), set[int]()
    for ids in _in_parts(note.calls):
        states = Delivery.state.in_(("waiting", "sent", "dead"))
        query = select(Delivery).where(Delivery.portal_id == portal_id, Delivery.call_id.in_(ids), states)
        for row in db.session.scalars(query):
            if row.state != "dead":
                waiting.add(row.call_id)
            elif row.done_at is not None and row.done_at >= since:
                failed.add(row.call_id)
            else:
                continue
            if row.reason:
                progress.rows.append(row)
    progress.waiting, progress.failed = len(waiting - failed), len(failed)
    return progress


def _follow_recordings(portal_id: int, note: RetryNote) -> Progress:
    progress = Progress(len(note.recordings))
    for ids in _in_parts(note.recordings):
        query = select(Recording).where(Recording.portal_id == portal_id, Recording.id.in_(ids))
        for row in db.session.scalars(query):
            progress.waiting += row.state == "waiting"
            progress.failed += row.state in ("lost", "none")
            if row.state != "attached" and row.problem:
                progress.rows.append(row)
    return progress


def _in_parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(ids), _IDS_PER_QUERY):
        yield ids[first : first + _IDS_PER_QUERY]
