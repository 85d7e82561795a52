"""Missing calls: what Mango's statistics know and no notification reported.

Stored as notifications of dialect `statistics`.

They pass through the usual fold, so nothing is duplicated: a known call gets its missing end or recordings; an unknown
call is created here and reaches the portal without a card. Reconciliation and backfill call `store_missing`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from bx24app.calls.fold.grouping import STATISTICS
from bx24app.calls.reconciliation.failed_entries import set_entry_aside
from bx24app.calls.set_aside import SavepointFailed, own_savepoint
from bx24app.domain import phone
from bx24app.domain.bounds import clean_tree
from bx24app.domain.calls.events import CallEnded, Direction, PbxEvent, RecordingEvent
from bx24app.infra import queue
from bx24app.infra.logs import get_logger
from bx24app.infra.row_errors import blames_row
from bx24app.mango import statistics
from bx24app.mango.events_dialect import UUID_PREFIX
from bx24app.mango.notification import MalformedNotification
from bx24app.models import Call, Notification, Pbx, Portal, Recording, utcnow
from bx24app.models.call_facts import CallFacts
from bx24app.models.inserts import insert_or_ignore
from bx24app.models.locking import portal_lock

_log = get_logger(__name__)

ENTRIES_PER_TRANSACTION = 100
"""Entries that one transaction compares, so that the portal's lock is not held for long."""
MAX_FIELD = 65_536
"""Characters of one text of an entry that are stored."""
LATE_AFTER = timedelta(hours=24)
"""A call that ended longer ago creates no to-do and no notice."""
SAME_CALL_WITHIN = timedelta(seconds=60)
"""A call of the events dialect, or a click, that began this close to an entry of the same client is that entry."""
CallOptions = tuple[bool, bool]
"""(may calls older than a day make records, are calls that are made part of a backfill)."""
_END_NOTIFICATIONS = ("events/summary", "call_end")


@dataclass(frozen=True, slots=True)
class StatisticsEntry:
    """One finished entry of the statistics. `client`: E.164, None: anonymous or internal."""

    entry_id: str
    name: str
    body: str
    direction: Direction
    client: str | None
    started_at: datetime
    ended_at: datetime
    recording_ids: frozenset[str]


@dataclass(slots=True)
class MissingCounts:
    """How much was missing: whole calls, ends of calls, and recordings of calls whose end was known."""

    calls: int = 0
    ends: int = 0
    recordings: int = 0

    @property
    def total(self) -> int:
        return self.calls + self.ends + self.recordings

    def add(self, other: MissingCounts) -> None:
        self.calls += other.calls
        self.ends += other.ends
        self.recordings += other.recordings


def read_calls(entries: Iterable[Mapping[str, Any]]) -> list[StatisticsEntry]:
    """Entries of `stats/calls`. An unreadable one is logged and left out; a call in progress is left for later."""
    return _read_entries(statistics.CALLS, entries)


def read_legs(text: str) -> list[StatisticsEntry]:
    """Entries of the CSV of `stats/request`.

    Raises:
        MalformedNotification: the text is no such CSV.
    """
    entries = statistics.csv_to_entries(text)
    return _read_entries(statistics.LEGS, ({"entry_id": entry, "rows": rows} for entry, rows in entries.items()))


def _read_entries(name: str, contents: Iterable[Mapping[str, Any]]) -> list[StatisticsEntry]:
    read: list[StatisticsEntry] = []
    for content in contents:
        body = json.dumps(clean_tree(content, MAX_FIELD), ensure_ascii=False, sort_keys=True)
        try:
            entry = _build_entry(name, body, statistics.parse(name, body))
        except MalformedNotification as error:
            _log.warning("entry of the statistics cannot be read", reason=str(error))
            continue
        if entry is not None:
            read.append(entry)
    return read


def _build_entry(name: str, body: str, events: Sequence[PbxEvent]) -> StatisticsEntry | None:
    end = next((event for event in events if isinstance(event, CallEnded)), None)
    if end is None:
        return None
    client = {"in": end.caller.number, "out": end.callee.number}.get(end.direction)
    return StatisticsEntry(
        entry_id=statistics.identify(name, body).entry_id or "",
        name=name,
        body=body,
        direction=end.direction,
        client=phone.normalise(client),
        started_at=datetime.fromtimestamp(end.started_at, UTC),
        ended_at=datetime.fromtimestamp(end.ended_at, UTC),
        recording_ids=frozenset(event.recording_id for event in events if isinstance(event, RecordingEvent)),
    )


def store_missing(
    portal_id: int,
    pbx_id: int,
    entries: Iterable[StatisticsEntry],
    records: bool = True,
    background: bool = False,
) -> MissingCounts:
    """Store what is missing and wake the portal. Returns how much was missing.

    Args:
        records: may calls older than a day create CRM records? Younger ones always may.
        background: their commands wait until nothing else needs the portal's request budget.
    """
    counts = MissingCounts()
    ordered = sorted(entries, key=lambda entry: entry.started_at)
    for chunk in (ordered[at : at + ENTRIES_PER_TRANSACTION] for at in range(0, len(ordered), ENTRIES_PER_TRANSACTION)):
        try:
            counts.add(_store_chunk(portal_id, pbx_id, chunk, (records, background)))
        except Exception as error:
            if not blames_row(error):
                raise
            counts.add(_store_chunk(portal_id, pbx_id, chunk, (records, background), careful=True))
    if counts.total:
        _log.warning(
            "missing notifications found",
            pbx=pbx_id,
            calls=counts.calls,
            ends=counts.ends,
            recordings=counts.recordings,
        )
        queue.wake_portal(portal_id)
    return counts


def _store_chunk(
    portal_id: int, pbx_id: int, chunk: Sequence[StatisticsEntry], how: CallOptions, careful: bool = False
) -> MissingCounts:
    """One transaction. `careful`: each entry in a savepoint of its own; one that raises is set aside."""
    counts = MissingCounts()
    with portal_lock(portal_id) as (session, portal):
        pbx = session.get(Pbx, pbx_id)
        if portal is None or pbx is None or pbx.portal_id != portal.id:
            return counts
        if not careful:
            _store_entries(session, portal, pbx, chunk, how, counts)
            return counts
        for entry in chunk:
            own = MissingCounts()
            try:
                with own_savepoint(session):
                    _store_entries(session, portal, pbx, [entry], how, own)
            except SavepointFailed as failure:
                set_entry_aside(session, pbx, entry.name, entry.entry_id, entry.body, failure.cause)
            else:
                counts.add(own)
    return counts


def _store_entries(
    session: Session,
    portal: Portal,
    pbx: Pbx,
    entries: Sequence[StatisticsEntry],
    how: CallOptions,
    counts: MissingCounts,
) -> None:
    ids = [entry.entry_id for entry in entries]
    mine = (Call.portal_id == portal.id, Call.pbx_id == pbx.id)
    calls = {row.entry_id: row for row in session.scalars(select(Call).where(*mine, Call.entry_id.in_(ids)))}
    for entry in entries:
        if entry.entry_id not in calls:
            known = _find_matching_call(session, mine, entry)
            if known is not None:
                calls[entry.entry_id] = known
    ended = _ended_entry_ids(session, portal.id, pbx.id, [call.entry_id for call in calls.values()])
    recordings = _recording_ids_by_call(session, [call.id for call in calls.values()])
    for entry in entries:
        call = calls.get(entry.entry_id)
        if call is None:
            call = calls[entry.entry_id] = _create_call(session, portal, pbx, entry, how)
            counts.calls += _store_notification(session, call, entry)
        elif call.entry_id not in ended:
            _mark_late(call, entry, how[0])
            counts.ends += _store_notification(session, call, entry)
        elif all(traits.has_legs for traits in pbx.traits) and entry.recording_ids - recordings.get(call.id, set()):
            counts.recordings += _store_notification(session, call, entry)


def _find_matching_call(session: Session, mine: tuple[ColumnElement[bool], ...], entry: StatisticsEntry) -> Call | None:
    """A click whose legs nobody reported, or a call of the events dialect without an entry: same client and time."""
    if entry.client is None:
        return None
    near = Call.started_at.between(entry.started_at - SAME_CALL_WITHIN, entry.started_at + SAME_CALL_WITHIN)
    query = select(Call).where(*mine, Call.client_number == entry.client, near)
    for call in session.scalars(query.order_by(Call.id)):
        clicked = call.entry_id.startswith("click:") and entry.direction == "out"
        if clicked:
            call.entry_id = entry.entry_id
        if clicked or ((call.command_id or "").startswith(UUID_PREFIX) and call.direction == entry.direction):
            return call
    return None


def _ended_entry_ids(session: Session, portal_id: int, pbx_id: int, entries: list[str]) -> set[str]:
    """Entries whose end was reported, by a notification or by earlier statistics."""
    query = select(Notification.entry_id).where(
        Notification.portal_id == portal_id,
        Notification.pbx_id == pbx_id,
        Notification.entry_id.in_(entries),
        Notification.state != "rejected",
        Notification.name.in_((*_END_NOTIFICATIONS, statistics.CALLS, statistics.LEGS)),
    )
    return {entry for entry in session.scalars(query) if entry}


def _recording_ids_by_call(session: Session, calls: list[int]) -> dict[int, set[str]]:
    by_call: dict[int, set[str]] = {}
    query = select(Recording.call_id, Recording.recording_id).where(Recording.call_id.in_(calls))
    for call_id, recording_id in session.execute(query):
        by_call.setdefault(call_id, set()).add(recording_id)
    return by_call


def _create_call(session: Session, portal: Portal, pbx: Pbx, entry: StatisticsEntry, how: CallOptions) -> Call:
    call = Call(
        portal_id=portal.id,
        pbx_id=pbx.id,
        pbx_key=pbx.key,
        entry_id=entry.entry_id,
        settings_version_id=portal.settings_version_id,
        direction=entry.direction,
        started_at=entry.started_at,
        users=[],
        crm=[],
        facts=CallFacts(is_quiet=True, is_background=how[1]).to_json(),
    )
    _mark_late(call, entry, how[0])
    session.add(call)
    session.flush()
    return call


def _mark_late(call: Call, entry: StatisticsEntry, records: bool) -> None:
    if utcnow() - entry.ended_at > LATE_AFTER:
        facts = call.read_facts()
        facts.is_without_notices, facts.is_without_records = True, not records
        call.write_facts(facts)


def _store_notification(session: Session, call: Call, entry: StatisticsEntry) -> int:
    """1 if the entry is new; 0 if the very same text was stored before."""
    is_new = insert_or_ignore(
        session,
        Notification,
        portal_id=call.portal_id,
        pbx_id=call.pbx_id,
        dialect=STATISTICS,
        name=entry.name,
        entry_id=call.entry_id,
        command_id=None,
        dedup_key=statistics.identify(entry.name, entry.body).dedup_key,
        body=entry.body,
        state="new",
        received_at=utcnow(),
    )
    return int(is_new)
