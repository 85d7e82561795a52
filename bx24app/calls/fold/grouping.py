"""Notifications of a portal -> the calls that they belong to, and what each of them means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from bx24app.calls import click_to_call
from bx24app.domain.calls.events import CallEnded, LegEvent, PbxEvent, RecordingEvent
from bx24app.mango import events_dialect, statistics, vpbx
from bx24app.mango.notification import MalformedNotification
from bx24app.models import Call, Notification, Pbx, Portal

STATISTICS = "statistics"
"""Dialect of what was never notified (`lost`)."""
PASS_LIMIT = 500
"""Notifications taken by one pass; the next pass takes the rest."""

# Made once: building a statement costs more than SQLite needs to answer it.
_NEW_NOTIFICATIONS = select(Notification).where(Notification.portal_id == bindparam("portal"), Notification.state == "new")
_NEW_NOTIFICATIONS = _NEW_NOTIFICATIONS.order_by(Notification.id).limit(PASS_LIMIT)
_PBXS = select(Pbx.id, Pbx.key, Pbx.portal_id).where(Pbx.portal_id == bindparam("portal"))
_CALLS = select(Call).where(Call.pbx_id == bindparam("pbx"), Call.entry_id.in_(bindparam("entries", expanding=True)))


class PbxIdentity(NamedTuple):
    """A PBX without its secrets: opening them would cost more than the rest of the row."""

    id: int
    key: str
    portal_id: int


def load_new_notifications(session: Session, portal: Portal) -> Sequence[Notification]:
    """What was said since the last pass, oldest first."""
    return session.scalars(_NEW_NOTIFICATIONS, {"portal": portal.id}).all()


def find_or_create_calls(session: Session, portal: Portal, news: Sequence[Notification]) -> dict[int, Call]:
    """The calls that these notifications belong to, made where there are none yet."""
    pbxs = {row.id: PbxIdentity(*row) for row in session.execute(_PBXS, {"portal": portal.id})} if news else {}
    groups: dict[tuple[int, str | None, str | None], list[Notification]] = defaultdict(list)
    for row in news:
        groups[row.pbx_id, row.entry_id, row.command_id].append(row)
    known = _load_existing_calls(session, groups)
    calls: list[Call] = []
    for (pbx_id, entry_id, command_id), rows in groups.items():
        if pbx_id == 0:
            calls += click_to_call.start_calls(session, portal, rows)
            continue
        call = _resolve_call(session, portal, pbxs[pbx_id], entry_id, command_id, rows, known)
        if call is not None:
            call.heard_at = max(call.heard_at, *(row.received_at for row in rows))
            calls.append(call)
    session.flush()  # new ones get their ids, all in one statement
    return {call.id: call for call in calls}


CallsByEntry = dict[tuple[int, str], Call]
"""Calls by PBX and entry."""


def _load_existing_calls(session: Session, groups: Iterable[tuple[int, str | None, str | None]]) -> CallsByEntry:
    """The calls that were there before, in one query a PBX."""
    entries: dict[int, set[str]] = defaultdict(set)
    for pbx_id, entry_id, _ in groups:
        if pbx_id and entry_id is not None:
            entries[pbx_id].add(entry_id)
    found: CallsByEntry = {}
    for pbx_id, names in entries.items():
        for call in session.scalars(_CALLS, {"pbx": pbx_id, "entries": sorted(names)}):
            found[pbx_id, call.entry_id] = call
    return found


def _resolve_call(
    session: Session,
    portal: Portal,
    pbx: PbxIdentity,
    entry_id: str | None,
    command_id: str | None,
    rows: list[Notification],
    known: CallsByEntry,
) -> Call | None:
    if command_id is not None:
        call = session.scalars(_calls_of_pbx(pbx).where(Call.command_id == command_id)).first()
        if call is not None and entry_id and command_id == f"uuid:{call.entry_id}":
            call.entry_id = entry_id  # the short dialect named its entry only now
            known[pbx.id, entry_id] = call
        if call is not None or entry_id is None:
            return call
    entry_id = str(entry_id)
    call = known.get((pbx.id, entry_id))
    if call is not None:
        return call
    ours = {
        event.command_id for row in rows for event in parse_notification(row) if isinstance(event, LegEvent) and event.command_id
    }
    if ours:
        clicked = session.scalars(_calls_of_pbx(pbx).where(Call.command_id.in_(ours), Call.entry_id.like("click:%"))).first()
        if clicked is not None:
            clicked.entry_id = entry_id
            known[pbx.id, entry_id] = clicked
            return clicked
    call = Call(
        portal_id=portal.id,
        pbx_id=pbx.id,
        pbx_key=pbx.key,
        entry_id=entry_id,
        command_id=command_id,
        settings_version_id=portal.settings_version_id,
        started_at=rows[0].received_at,
        heard_at=rows[0].received_at,
        users=[],
        crm=[],
        facts={},
    )
    session.add(call)
    known[pbx.id, entry_id] = call
    return call


def _calls_of_pbx(pbx: PbxIdentity) -> Select[Call]:
    return select(Call).where(Call.portal_id == pbx.portal_id, Call.pbx_id == pbx.id)


@lru_cache(maxsize=2_000)
def _parse_body(dialect: str, name: str, body: str, received: int) -> tuple[PbxEvent, ...]:
    """Rows never change, so what they mean is worth remembering while the call lives."""
    if dialect == "vpbx":
        return tuple(vpbx.parse(name, body, received))
    if dialect == "events":
        return tuple(events_dialect.parse(name, body, received))
    return tuple(statistics.parse(name, body, received))


def parse_notification(row: Notification) -> tuple[PbxEvent, ...]:
    if row.state == "rejected" or row.pbx_id == 0:  # what the portal said began the call, it tells nothing of legs
        return ()
    if row.parsed_events is not None:
        return row.parsed_events
    try:
        row.parsed_events = _parse_body(row.dialect, row.name, row.body, int(row.received_at.timestamp()))
    except MalformedNotification as error:  # stored by an older version that took it
        row.state, row.reason = "rejected", str(error)
        return ()
    return row.parsed_events


def collect_events(told: Sequence[Notification]) -> list[PbxEvent]:
    """All that was told of one call.

    Legs of the older statistics have no ids, and the short dialect's one leg is none of Mango's: where legs were heard of already,
    such statistics tell nothing but the end, and recordings where they have the same names.
    """
    heard = [event for row in told if row.dialect != STATISTICS for event in parse_notification(row)]
    legs = any(isinstance(event, LegEvent) for event in heard)
    short_told = any(row.dialect == "events" for row in told)
    newer = any(row.name == statistics.CALLS for row in told)
    events: list[PbxEvent] = heard
    for row in told:
        if row.dialect != STATISTICS or (row.name == statistics.LEGS and newer):
            continue
        said = parse_notification(row)
        if legs and (short_told or row.name == statistics.LEGS):
            said = tuple(_without_legs(said, short_told))
        events = [*events, *said]
    return events


def _without_legs(events: Sequence[PbxEvent], short_told: bool) -> Iterator[PbxEvent]:
    for event in events:
        if isinstance(event, CallEnded):
            yield event
        elif isinstance(event, RecordingEvent) and not short_told:
            yield replace(event, leg=None)
