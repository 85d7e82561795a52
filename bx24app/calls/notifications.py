"""Which notifications belong to a call: one answer for the fold, the journal, the pages and the erasure of a person.

A notification belongs to a call if both have the same PBX and entry. It also belongs to the call if the call's command
joins them: Mango's answer to that command, a notification of the events dialect that knows only its `uuid:…`, or the
click in the portal, which is stored under `pbx_id` 0. However many calls are given, each PBX costs two queries for
every 500 of them.

    by_call = notifications.load_by_call(session, calls)
    for row in by_call[call.id]: ...
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from bx24app.models import Call, Notification

CALLS_PER_STATEMENT = 500

# Made once: building a statement costs more than SQLite needs to answer it.
_OF_PORTAL = Notification.portal_id == bindparam("portal")
_BY_ENTRY = (
    _OF_PORTAL,
    Notification.pbx_id == bindparam("pbx"),
    Notification.entry_id.in_(bindparam("names", expanding=True)),
)
# Without the PBX, since SQLite might then take the index of the PBX and read all that the PBX ever sent. The caller
# compares the PBX.
_BY_COMMAND = (_OF_PORTAL, Notification.command_id.in_(bindparam("names", expanding=True)))
_ROWS_BY_ENTRY, _ROWS_BY_COMMAND = select(Notification).where(*_BY_ENTRY), select(Notification).where(*_BY_COMMAND)
_IDS_BY_ENTRY = select(Notification.id).where(*_BY_ENTRY)
_IDS_BY_COMMAND = select(Notification.id, Notification.pbx_id).where(*_BY_COMMAND)


def load_by_call(session: Session, calls: Iterable[Call]) -> dict[int, list[Notification]]:
    """Call id -> all notifications of that call, in the order in which they were stored; an empty list for a call that
    has none.

    Rejected notifications and those of the portal are among them.
    """
    by_call: dict[int, list[Notification]] = defaultdict(list)
    for portal_id, pbx_id, group in _group_by_pbx(calls):
        entries = {call.entry_id: call.id for call in group}
        commands = {call.command_id: call.id for call in group if call.command_id}
        params = {"portal": portal_id, "pbx": pbx_id, "names": list(entries)}
        rows = {row.id: row for row in session.scalars(_ROWS_BY_ENTRY, params)}
        if commands:
            joined = session.scalars(_ROWS_BY_COMMAND, {"portal": portal_id, "names": list(commands)})
            rows.update({row.id: row for row in joined if row.pbx_id in (pbx_id, 0)})
        for row in sorted(rows.values(), key=lambda row: row.id):
            by_entry = entries.get(row.entry_id or "") if row.pbx_id == pbx_id else None
            call_id = by_entry or commands.get(row.command_id or "")
            if call_id is not None:
                by_call[call_id].append(row)
    return by_call


def load_ids(session: Session, calls: Iterable[Call]) -> set[int]:
    """Row ids of the notifications that `load_by_call` would load, without reading their bodies."""
    ids: set[int] = set()
    for portal_id, pbx_id, group in _group_by_pbx(calls):
        params = {"portal": portal_id, "pbx": pbx_id, "names": [call.entry_id for call in group]}
        ids.update(session.scalars(_IDS_BY_ENTRY, params))
        commands = [call.command_id for call in group if call.command_id]
        if commands:
            joined = session.execute(_IDS_BY_COMMAND, {"portal": portal_id, "names": commands})
            ids.update(row.id for row in joined if row.pbx_id in (pbx_id, 0))
    return ids


def belongs_to(row: Notification, call: Call) -> bool:
    """Whether this notification is one of the call's; both are of the same portal."""
    if row.entry_id is not None and (row.pbx_id, row.entry_id) == (call.pbx_id, call.entry_id):
        return True
    return row.command_id is not None and row.command_id == call.command_id and row.pbx_id in (call.pbx_id, 0)


def _group_by_pbx(calls: Iterable[Call]) -> Iterator[tuple[int, int, Sequence[Call]]]:
    """(portal id, PBX id, at most `CALLS_PER_STATEMENT` of its calls)."""
    by_pbx: dict[tuple[int, int], list[Call]] = defaultdict(list)
    for call in calls:
        by_pbx[call.portal_id, call.pbx_id].append(call)
    for (portal_id, pbx_id), group in by_pbx.items():
        for start in range(0, len(group), CALLS_PER_STATEMENT):
            yield portal_id, pbx_id, group[start : start + CALLS_PER_STATEMENT]
