"""From a portal's new notifications to the calls that they belong to, and from a call's notifications to its events.

`portal_fold` calls this in the transaction of a drain. A call that does not exist yet is created here; a click that
waits for its first leg is recognised by its command.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from sqlalchemy import Select, bindparam, inspect, select
from sqlalchemy.orm import Session

from bx24app.calls import click_to_call
from bx24app.calls.fold import joining
from bx24app.domain.calls.events import CallEnded, LegEvent, PbxEvent, RecordingEvent
from bx24app.domain.dialects import traits_of
from bx24app.mango import dialects, events_dialect, statistics
from bx24app.mango.notification import MalformedNotification
from bx24app.models import Call, Notification, Pbx, Portal

STATISTICS = statistics.DIALECT
PASS_LIMIT = 500
"""Notifications that one pass takes at most; the next pass takes the rest."""

# Made once: building a statement costs more than SQLite needs to answer it.
_NEW_NOTIFICATIONS = select(Notification).where(
    Notification.portal_id == bindparam("portal"), Notification.state == "new"
)
_NEW_NOTIFICATIONS = _NEW_NOTIFICATIONS.order_by(Notification.id).limit(bindparam("limit"))
_PBX_KEY = select(Pbx.key).where(Pbx.portal_id == bindparam("portal"), Pbx.id == bindparam("pbx"))
"""Without the secrets of a PBX, which would take longer to decrypt than the rest of the row takes to load."""
_CALLS = select(Call).where(Call.pbx_id == bindparam("pbx"), Call.entry_id.in_(bindparam("entries", expanding=True)))


def load_new_notifications(session: Session, portal: Portal, limit: int = PASS_LIMIT) -> Sequence[Notification]:
    """Notifications that no pass has taken yet, oldest first."""
    return session.scalars(_NEW_NOTIFICATIONS, {"portal": portal.id, "limit": limit}).all()


def find_or_create_calls(session: Session, portal: Portal, rows: Sequence[Notification]) -> dict[int, Call]:
    """Call id -> call, for the calls that these new notifications belong to. Missing calls are created."""
    groups: dict[tuple[int, str | None, str | None], list[Notification]] = defaultdict(list)
    for row in rows:
        groups[row.pbx_id, row.entry_id, row.command_id].append(row)
    by_entry = _load_existing_calls(session, groups)
    calls: list[Call] = []
    for (pbx_id, entry_id, command_id), group in groups.items():
        if pbx_id == 0:
            calls += click_to_call.start_calls(session, portal, group)
            continue
        call = _resolve_call(session, portal, pbx_id, entry_id, command_id, group, by_entry)
        if call is not None:
            call.heard_at = max(call.heard_at, *(row.received_at for row in group))
            calls.append(call)
    if session.new or session.deleted or not all(isinstance(row, Call) for row in session.dirty):
        session.flush()  # new calls get their ids, all in one statement; known calls are written after their fold
    return {call.id: call for call in calls if not inspect(call).deleted}  # one that was joined to another may be


CallsByEntry = dict[tuple[int, str], Call]
"""Calls by PBX and entry."""


def _load_existing_calls(session: Session, groups: Iterable[tuple[int, str | None, str | None]]) -> CallsByEntry:
    """The calls that exist already, in one query for each PBX."""
    entries: dict[int, set[str]] = defaultdict(set)
    for pbx_id, entry_id, _ in groups:
        if pbx_id and entry_id is not None:
            entries[pbx_id].add(entry_id)
    by_entry: CallsByEntry = {}
    for pbx_id, names in entries.items():
        for call in session.scalars(_CALLS, {"pbx": pbx_id, "entries": sorted(names)}):
            by_entry[pbx_id, call.entry_id] = call
    return by_entry


def _resolve_call(
    session: Session,
    portal: Portal,
    pbx_id: int,
    entry_id: str | None,
    command_id: str | None,
    rows: list[Notification],
    by_entry: CallsByEntry,
) -> Call | None:
    """The call of notifications that have this entry and command, created if need be; None: only a command that no call
    knows."""
    if command_id is not None:
        call = session.scalars(_calls_of_pbx(portal, pbx_id).where(Call.command_id == command_id)).first()
        if call is None and entry_id is not None and command_id == events_dialect.UUID_PREFIX + entry_id:
            named = joining.entry_of_alias(session, portal.id, pbx_id, command_id, entry_id)
            if named is not None:  # an earlier notification with this uuid named the entry, under another call's uuid
                joining.set_entry(rows, named)
                entry_id = named
                by_entry |= _load_existing_calls(session, [(pbx_id, named, None)])
        if call is not None and entry_id and command_id == events_dialect.UUID_PREFIX + call.entry_id:
            # the first notifications had only the uuid, this one has the entry
            call = _name_call(session, pbx_id, call, entry_id, by_entry)
        if call is not None:
            return call
    if entry_id is None:
        return None
    call = by_entry.get((pbx_id, entry_id))
    clicked = _find_clicked_call(session, portal, pbx_id, rows, call)
    if clicked is not None:
        return _name_call(session, pbx_id, clicked, entry_id, by_entry)
    if call is None:
        call = _create_call(session, portal, pbx_id, entry_id, command_id, rows[0].received_at)
        session.add(call)
    by_entry[pbx_id, entry_id] = call
    return call


def _name_call(session: Session, pbx_id: int, call: Call, entry_id: str, by_entry: CallsByEntry) -> Call:
    """Give this call the entry; if another call has it, the two are one."""
    known = by_entry.get((pbx_id, entry_id))
    if known is None or known is call:
        call.entry_id = entry_id
    else:
        survivor = joining.join_calls(session, known, call, entry_id)
        by_entry |= {name: survivor for name, row in by_entry.items() if row in (known, call)}
        call = survivor
    by_entry[pbx_id, entry_id] = call
    return call


def _find_clicked_call(
    session: Session, portal: Portal, pbx_id: int, rows: list[Notification], known: Call | None
) -> Call | None:
    """A click-to-call that had no leg so far and whose command one of these legs carries.

    Args:
        known: the call that has the entry already, because an earlier leg came without the command.
    """
    events = (event for row in rows for event in parse_notification(row))
    command_ids = {event.command_id for event in events if isinstance(event, LegEvent) and event.command_id}
    if known is not None:
        ours = click_to_call.COMMAND_ID_PREFIX
        command_ids = {name for name in command_ids if name.startswith(ours) and name != known.command_id}
    if not command_ids:
        return None
    query = _calls_of_pbx(portal, pbx_id).where(Call.command_id.in_(command_ids), Call.entry_id.like("click:%"))
    return session.scalars(query).first()


def _create_call(
    session: Session, portal: Portal, pbx_id: int, entry_id: str, command_id: str | None, received_at: datetime
) -> Call:
    return Call(
        portal_id=portal.id,
        pbx_id=pbx_id,
        pbx_key=session.execute(_PBX_KEY, {"portal": portal.id, "pbx": pbx_id}).scalar_one(),
        entry_id=entry_id,
        command_id=command_id,
        settings_version_id=portal.settings_version_id,
        started_at=received_at,
        heard_at=received_at,
        users=[],
        crm=[],
        facts={},
    )


def _calls_of_pbx(portal: Portal, pbx_id: int) -> Select[Call]:
    return select(Call).where(Call.portal_id == portal.id, Call.pbx_id == pbx_id)


_parse_body = lru_cache(maxsize=2_000)(dialects.parse)
"""Rows never change, so what they mean is cached while the call lives."""


def parse_notification(row: Notification) -> tuple[PbxEvent, ...]:
    """What a notification means; nothing if it was rejected or came from the portal (a click starts a call, but tells
    of no leg)."""
    if row.state == "rejected" or row.pbx_id == 0:
        return ()
    if row.parsed_events is None:
        try:
            row.parsed_events = _parse_body(row.dialect, row.name, row.body, int(row.received_at.timestamp()))
        except MalformedNotification as error:  # stored by an older version that accepted it
            row.state, row.reason = "rejected", str(error)
            return ()
    return row.parsed_events


def collect_events(rows: Sequence[Notification]) -> list[PbxEvent]:
    """All events of one call.

    Legs of the older statistics have no ids, and the one leg of a dialect without legs is not one of Mango's. If
    notifications told of legs already, such statistics add only the end of the call, and recordings if both name them
    alike.
    """
    notified = [row for row in rows if row.dialect != STATISTICS]
    events = [event for row in notified for event in parse_notification(row)]
    has_legs = any(isinstance(event, LegEvent) for event in events)
    has_own_ids = any(not traits.has_legs for traits in traits_of(row.dialect for row in notified))
    has_newer_statistics = any(row.name == statistics.CALLS for row in rows)
    for row in rows:
        if row.dialect != STATISTICS or (row.name == statistics.LEGS and has_newer_statistics):
            continue
        from_statistics = parse_notification(row)
        if has_legs and (has_own_ids or row.name == statistics.LEGS):
            from_statistics = tuple(_without_legs(from_statistics, has_own_ids))
        events += from_statistics
    return events


def _without_legs(events: Sequence[PbxEvent], has_own_ids: bool) -> Iterator[PbxEvent]:
    for event in events:
        if isinstance(event, CallEnded):
            yield event
        elif isinstance(event, RecordingEvent) and not has_own_ids:
            yield replace(event, leg=None)
