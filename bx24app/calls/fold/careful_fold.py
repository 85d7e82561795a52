"""The fold of a portal, one call at a time: for a pass in which something raised an error.

`drain` first folds a pass as a whole (`portal_fold`), which costs less. If a row of it raises, the transaction is
rolled back and the same work is done here: each call in a savepoint of its own. What raises again is set aside with its
reason, and all other calls go on in the same drain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy.orm import Session

from bx24app.calls import click_to_call, set_aside_rows
from bx24app.calls.fold import portal_fold
from bx24app.calls.fold.call_fold import FoldResult
from bx24app.calls.fold.grouping import find_or_create_calls, load_new_notifications
from bx24app.calls.set_aside import SavepointFailed, own_savepoint, set_aside
from bx24app.models import Call, Notification, Portal

CAREFUL_LIMIT = 50
"""Notifications, and calls that are due, of one careful pass: the portal's lock is held meanwhile."""


def fold_one_by_one(session: Session, portal: Portal, touched: Iterable[int] = ()) -> FoldResult:
    """As `portal_fold.fold_portal`, but a call that raises is set aside. The caller holds the lock and commits."""
    result = FoldResult()
    fresh = load_new_notifications(session, portal)
    result.has_more = len(fresh) > CAREFUL_LIMIT
    folded: set[int] = set()
    for rows in _group(fresh[:CAREFUL_LIMIT]):
        folded |= _take_notifications(session, portal, rows, result)
    due = portal_fold.load_due_calls(session, portal, CAREFUL_LIMIT)
    waiting = [*(call.id for call in due), *touched]
    seen = set(folded)
    while waiting:
        for call_id in dict.fromkeys(waiting):
            if call_id not in folded:
                _fold_call(session, portal, call_id, result)
        affected, result.affected_calls = result.affected_calls, set()
        waiting, folded = sorted(affected - seen), set()
        seen |= affected
    portal_fold.add_next_wake_time(session, portal, result)
    return result


def _group(rows: Sequence[Notification]) -> list[list[Notification]]:
    groups: dict[tuple[int, str | None, str | None], list[Notification]] = defaultdict(list)
    for row in rows:
        # Events of the portal (PBX 0) name no call yet: each stands for itself.
        key = (0, str(row.id), None) if row.pbx_id == 0 else (row.pbx_id, row.entry_id, row.command_id)
        groups[key].append(row)
    return list(groups.values())


def _take_notifications(session: Session, portal: Portal, rows: list[Notification], result: FoldResult) -> set[int]:
    """Fold the call of these notifications. If it raises, each of them alone, since the others may be good."""
    try:
        return _try_notifications(session, portal, rows, result)
    except SavepointFailed as failure:
        if len(rows) == 1:
            _reject(session, portal, rows[0], failure.cause)
            return set()
    folded: set[int] = set()
    for row in rows:
        with session.no_autoflush:
            for other in rows:
                if other.id > row.id:
                    other.state = "rejected"  # for this savepoint only: the call is folded without it
        try:
            folded |= _try_alone(session, portal, rows, row, result)
        except SavepointFailed as failure:
            _reject(session, portal, row, failure.cause)
    return folded


def _try_alone(
    session: Session, portal: Portal, rows: list[Notification], row: Notification, result: FoldResult
) -> set[int]:
    try:
        return _try_notifications(session, portal, [row], result)
    finally:
        for other in rows:
            if other.id > row.id:
                other.state = "new"


def _try_notifications(session: Session, portal: Portal, rows: list[Notification], result: FoldResult) -> set[int]:
    own = FoldResult()
    with own_savepoint(session):
        calls = find_or_create_calls(session, portal, rows)
        if calls:
            portal_fold.fold_calls(session, portal, list(calls.values()), own)
        for row in rows:
            if row.state == "new":
                row.state = "handled"
    result.add(own)
    return set(calls)


def _reject(session: Session, portal: Portal, row: Notification, error: Exception) -> None:
    reason = set_aside(
        session, portal.id, "notification", row.id, error, entry_id=row.entry_id, by_itself=row.pbx_id != 0
    )
    set_aside_rows.mark_notification(row, reason)
    if row.pbx_id == 0:
        try:
            with own_savepoint(session):
                click_to_call.report_failure(session, portal, row)
        except SavepointFailed:
            pass  # the row is listed, and administrators are told


def _fold_call(session: Session, portal: Portal, call_id: int, result: FoldResult) -> None:
    call = session.get(Call, call_id)
    if call is None or call.portal_id != portal.id:
        return
    own = FoldResult()
    try:
        with own_savepoint(session):
            portal_fold.fold_calls(session, portal, [call], own)
    except SavepointFailed as failure:
        reason = set_aside(session, portal.id, "call", call_id, failure.cause, call.entry_id, call_id)
        set_aside_rows.mark_call(call, reason)
    else:
        result.add(own)
