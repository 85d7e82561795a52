"""Calls as this process left them in the last step of a drain: most notifications of a call change nothing that the
portal must be sent, and whether one does can be decided without reading the call again.

`drain` calls `defer_step` before each step. If no new notification needs anything to be sent, the notifications
stay new in the table, and a step of at most `DEFER_SECONDS` later folds them together: the journal learns of them then.
Every doubt means a step at once: a call that another process has changed, that is due, or that is over for the portal.
What is remembered is never written, and no command is taken from it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, cast, literal, null, or_, select, union_all
from sqlalchemy.orm import Session

from bx24app.calls.fold.call_fold import DecidedCall, FoldResult, read_clock
from bx24app.calls.fold.grouping import STATISTICS, collect_events
from bx24app.domain.calls.call_view import FoldContext
from bx24app.domain.calls.commands import Finish
from bx24app.domain.calls.decision import decide_call
from bx24app.domain.calls.entry_assembly import assemble_entry
from bx24app.domain.calls.ledger import Ledger, LedgerEntry
from bx24app.domain.calls.policy import Policy
from bx24app.infra import queue
from bx24app.infra.row_errors import blames_row
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Delivery, Notification, Portal, utcnow
from bx24app.models.base import Moment
from bx24app.models.calls import OPEN_DELIVERY
from bx24app.models.connections import open_reader

DEFER_SECONDS = 2.0
"""A notification that changes nothing for the portal is in the journal after so long at the latest."""
MAX_NEW = 20
"""More new notifications than this are folded at once: a fold of many costs little more than looking at them."""
MAX_FOLDED = 8
"""Calls of larger steps are not remembered."""
MAX_CALLS = 1_000
"""Calls that a process remembers, those that were folded last."""

_NEW = select(*Notification.__table__.columns).where(
    Notification.portal_id == bindparam("portal"), Notification.state == "new"
)
# Built once: building a statement costs more than SQLite needs to answer it.
_NEW = _NEW.order_by(Notification.id).limit(MAX_NEW + 1)
_OF_PORTAL = Call.portal_id == bindparam("portal")
_DUE_CALL = select(Call.id).where(_OF_PORTAL, Call.due_at <= bindparam("now")).limit(1).subquery()
_DUE_DELIVERY = select(Delivery.id).where(
    Delivery.portal_id == bindparam("portal"),
    OPEN_DELIVERY,
    Delivery.state == "waiting",
    or_(Delivery.due_at.is_(None), Delivery.due_at <= bindparam("now")),
)
_DUE_DELIVERY_ROW = _DUE_DELIVERY.limit(1).subquery()
_STATE = union_all(
    select(literal("call").label("kind"), Call.id.label("number"), Call.updated_at.label("at")).where(
        _OF_PORTAL, Call.id.in_(bindparam("calls", expanding=True))
    ),
    select(literal("due"), _DUE_CALL.c.id, cast(null(), Moment)),
    select(literal("due"), _DUE_DELIVERY_ROW.c.id, cast(null(), Moment)),
)


@dataclass(frozen=True, slots=True)
class RememberedCall:
    """What the last step knew of a call that is under way."""

    call_id: int
    updated_at: datetime
    """`Call.updated_at` as that step wrote it: with another value somebody else has changed the call since."""
    heard_at: datetime
    notifications: Sequence[Notification]
    """All of them, outside of any session."""
    ledger: tuple[LedgerEntry, ...]
    policy: Policy
    context: FoldContext


_Key = tuple[int, int, str]
"""Row ids of portal and PBX, entry."""


class RememberedCalls:
    """The calls that the process of one application remembers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: OrderedDict[_Key, RememberedCall] = OrderedDict()

    def get(self, key: _Key) -> RememberedCall | None:
        with self._lock:
            return self._calls.get(key)

    def replace(self, known: dict[_Key, RememberedCall | None]) -> None:
        """Take over what a step has left; None: the call is not to be remembered."""
        with self._lock:
            for key, call in known.items():
                self._calls.pop(key, None)
                if call is not None:
                    self._calls[key] = call
            while len(self._calls) > MAX_CALLS:
                self._calls.popitem(last=False)


def take_calls(session: Session, portal: Portal, folded: FoldResult) -> dict[_Key, RememberedCall | None]:
    """What to remember of the calls of a step, at its end: `keep` stores it after the commit. Flushes."""
    if not folded.decided_calls:
        return {}
    session.flush()
    is_small = len(folded.decided_calls) <= MAX_FOLDED and portal.state in ("active", "pending")
    return {
        (portal.id, decided.call.pbx_id, decided.call.entry_id): _take_call(session, decided) if is_small else None
        for decided in folded.decided_calls.values()
    }


def keep(known: dict[_Key, RememberedCall | None]) -> None:
    """Remember these calls; their step is committed."""
    if known:
        runtime().get(RememberedCalls).replace(known)


def _take_call(session: Session, decided: DecidedCall) -> RememberedCall | None:
    call, policy = decided.call, decided.policy
    is_over = any(isinstance(entry.command, Finish) for entry in decided.ledger)
    # The calls of several offices depend on each other, and a click is recognised by its command.
    if is_over or call.command_id is not None or len(policy.settings.pbxs) > 1:
        return None
    if any(row.dialect == STATISTICS for row in decided.notifications):
        return None
    for row in decided.notifications:
        session.expunge(row)
    return RememberedCall(
        call_id=call.id,
        updated_at=call.updated_at,
        heard_at=call.heard_at,
        notifications=decided.notifications,
        ledger=tuple(decided.ledger),
        policy=replace(policy, user_name=_ask_tables, final_stages=_ask_tables),
        context=replace(decided.context, chosen_rule=call.read_facts().chosen_rule),
    )


class _TablesNeeded(Exception):
    """The decision asks for something that is not remembered."""


def _ask_tables(*_: Any) -> Any:
    raise _TablesNeeded


def defer_step(portal_id: int) -> bool:
    """Do the portal's new notifications change nothing for it now? Then a later step is scheduled. False: a step must
    come at once, for them or for something else.
    """
    next_look_at = _find_next_look(portal_id)
    if next_look_at is not None:
        queue.wake_at(portal_id, next_look_at)
    return next_look_at is not None


def _find_next_look(portal_id: int) -> datetime | None:
    with open_reader() as connection:
        rows = [Notification(**row) for row in connection.execute(_NEW, {"portal": portal_id}).mappings()]
        if not rows or len(rows) > MAX_NEW or not _may_wait(rows):
            return None
        groups = _group_by_call(portal_id, rows)
        if groups is None or not _is_unchanged(connection, portal_id, [known for known, _ in groups]):
            return None
    times = [rows[0].received_at + timedelta(seconds=DEFER_SECONDS)]
    try:
        for known, added in groups:
            is_quiet, due_at = _decide_again(known, added)
            if not is_quiet:
                return None
            times += [due_at] if due_at is not None else []
    except _TablesNeeded:
        return None
    except Exception as error:
        if not blames_row(error):
            raise
        return None  # the step meets the row too, and sets it aside
    return min(times)


def _may_wait(rows: Sequence[Notification]) -> bool:
    """Did all of them come just now? By the clock of another machine, one may come from the future: it waits no longer.
    """
    now = utcnow()
    return all(now - timedelta(seconds=DEFER_SECONDS) < row.received_at <= now for row in rows)


def _group_by_call(
    portal_id: int, rows: Sequence[Notification]
) -> list[tuple[RememberedCall, list[Notification]]] | None:
    """Each remembered call with its new notifications; None: one of these belongs to no remembered call."""
    calls, groups = runtime().get(RememberedCalls), defaultdict[_Key, list[Notification]](list)
    for row in rows:
        if row.entry_id is None or row.command_id is not None or row.dialect == STATISTICS:
            return None
        groups[portal_id, row.pbx_id, row.entry_id].append(row)
    known = {key: calls.get(key) for key in groups}
    pairs = [(call, groups[key]) for key, call in known.items() if call is not None]
    return pairs if len(pairs) == len(groups) else None


def _is_unchanged(connection: Connection, portal_id: int, known: Sequence[RememberedCall]) -> bool:
    """Has nobody changed these calls, and is nothing else of the portal due?"""
    expected = {("call", call.call_id, call.updated_at) for call in known}
    values = {"portal": portal_id, "calls": [call.call_id for call in known], "now": utcnow()}
    return {(kind, number, at) for kind, number, at in connection.execute(_STATE, values)} == expected


def _decide_again(known: RememberedCall, added: Sequence[Notification]) -> tuple[bool, datetime | None]:
    """Whether nothing has to be sent because of these notifications, and when to decide again."""
    notifications, policy, context = [*known.notifications, *added], known.policy, known.context
    entry = assemble_entry(collect_events(notifications), policy.find_employee)
    if entry is None or any(row.state == "rejected" for row in added):
        return False, None
    heard_at = max(known.heard_at, *(row.received_at for row in added))
    decision = decide_call(entry, policy, Ledger(list(known.ledger)), read_clock(heard_at, notifications), context)
    plan = decision.plan
    is_choice = plan is not None and plan.is_decided and context.chosen_rule is None  # it is final, so it is stored now
    due_at = datetime.fromtimestamp(decision.due_at, UTC) if decision.due_at else None
    return not (decision.commands or decision.needs_pick or is_choice), due_at
