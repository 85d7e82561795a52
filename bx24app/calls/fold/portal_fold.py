"""The fold of a portal: the first half of a drain, in one transaction and without HTTP.

`fold_portal` takes new notifications, finds or creates their calls, and folds these calls and those that are due.
Afterwards the tables hold the new deliveries, which the second half of the drain sends.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from bx24app import settings
from bx24app.calls import giving_way, notifications
from bx24app.calls.fold import pass_size, portal_facts
from bx24app.calls.fold.call_fold import CallRows, FoldResult, fold_call
from bx24app.calls.fold.client_history import ClientHistory
from bx24app.calls.fold.grouping import (
    PASS_LIMIT,
    collect_events,
    find_or_create_calls,
    load_new_notifications,
)
from bx24app.calls.fold.pass_size import PassSizes
from bx24app.calls.fold.portal_facts import PortalFacts
from bx24app.calls.fold.titles import titles_for
from bx24app.calls.outbox.ledger import load_outbox
from bx24app.domain import phone
from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.entry_assembly import assemble_entry
from bx24app.domain.calls.policy import Policy
from bx24app.domain.scopes import parse_scopes
from bx24app.domain.settings import PbxSettings
from bx24app.infra import tracing
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Delivery, Notification, Portal, PortalUser, Recording, db, utcnow
from bx24app.models.base import is_sqlite
from bx24app.portals import crm_dictionaries

_log = get_logger(__name__)

# Built once: building a statement costs more than SQLite needs to answer it.
_OF_PORTAL = Call.portal_id == bindparam("portal")
_DUE_CALLS = select(Call).where(_OF_PORTAL, Call.due_at <= bindparam("now")).limit(bindparam("limit"))
_NEXT_DUE_AT = select(func.min(Call.due_at)).where(_OF_PORTAL, Call.due_at.is_not(None))
_RECORDINGS = select(Recording).where(Recording.call_id.in_(bindparam("calls", expanding=True))).order_by(Recording.id)
_CALLS_BY_ID = select(Call).where(_OF_PORTAL, Call.id.in_(bindparam("calls", expanding=True)))
_HANDLED = (
    update(Notification)
    .where(Notification.id.in_(bindparam("ids", expanding=True)))
    .values(state="handled")
    .execution_options(synchronize_session=False)
)


def fold_portal(session: Session, portal: Portal, touched: Iterable[int] = ()) -> FoldResult:
    """Fold every call of this portal that has new notifications, is due, or is in `touched` (ids of calls with new
    answers).

    The caller holds the portal's lock and commits.
    """
    result, touched = FoldResult(), set(touched)
    began, calls_in_pass = time.perf_counter(), pass_size.choose_calls(portal.id)
    waiting = load_new_notifications(session, portal, pass_size.count_rows(calls_in_pass))
    fresh = pass_size.take_first(waiting, calls_in_pass)
    result.has_more = len(waiting) == pass_size.count_rows(calls_in_pass) or len(fresh) < len(waiting)
    calls = find_or_create_calls(session, portal, fresh)
    _log_notifications(portal, fresh)
    with session.no_autoflush:  # of known calls only `heard_at` has changed: it is written with what the fold changes
        facts = portal_facts.load(session, portal)
        _add_due_and_touched(session, portal, calls, facts, touched)
    for call_id in calls.keys() & touched:
        calls[call_id].updated_at = utcnow()  # other processes that remember the call see that it has changed
    giving_way.declare_size(len(calls), result.has_more)
    folded: dict[int, Call] = {}
    while calls:
        folded |= calls
        fold_calls(session, portal, list(calls.values()), result, facts)
        session.flush()
        changed, result.affected_calls = result.affected_calls, set()
        calls = {row.id: row for row in _load_calls(session, portal, changed)} if changed else {}
    _add_next_wake_time(session, portal, facts, folded, result)
    ids = [row.id for row in fresh if row.state == "new"]
    if ids:
        session.execute(_HANDLED, {"ids": ids})
    runtime().get(PassSizes).note(len(folded), time.perf_counter() - began)
    return result


def _add_next_wake_time(
    session: Session, portal: Portal, facts: PortalFacts, folded: dict[int, Call], result: FoldResult
) -> None:
    soonest, is_certain = facts.next_due_at(folded, (call.due_at for call in folded.values()))
    if not is_certain:
        add_next_wake_time(session, portal, result)
    elif soonest is not None:
        result.wake_times.append(soonest)


def _add_due_and_touched(
    session: Session, portal: Portal, calls: dict[int, Call], facts: PortalFacts, touched: set[int]
) -> None:
    if facts.has_due_call(utcnow()):
        for row in load_due_calls(session, portal):
            calls.setdefault(row.id, row)
    if touched - calls.keys():
        for row in _load_calls(session, portal, touched):
            calls.setdefault(row.id, row)


def load_due_calls(session: Session, portal: Portal, limit: int = PASS_LIMIT) -> Sequence[Call]:
    """Calls that are folded again by themselves now."""
    return session.scalars(_DUE_CALLS, {"portal": portal.id, "now": utcnow(), "limit": limit}).all()


def add_next_wake_time(session: Session, portal: Portal, result: FoldResult) -> None:
    """From the table, not from this pass: a wake-up that comes early must schedule the next one."""
    soonest = session.scalar(_NEXT_DUE_AT, {"portal": portal.id})
    if soonest is not None:
        result.wake_times.append(soonest)


def _log_notifications(portal: Portal, fresh: Iterable[Notification]) -> None:
    """One line for each notification with the time that it waited for a worker."""
    now = utcnow()
    for row in fresh:
        waited = round((now - row.received_at).total_seconds() * 1e3)
        facts = {"pbx": row.pbx_id, "name": row.name, "entry": row.entry_id, "waited_ms": waited}
        _log.info("notification taken", portal=portal.id, notification=row.id, **facts)


def _load_calls(session: Session, portal: Portal, calls: set[int]) -> Iterable[Call]:
    return session.scalars(_CALLS_BY_ID, {"portal": portal.id, "calls": sorted(calls)})


def fold_calls(
    session: Session,
    portal: Portal,
    calls: list[Call],
    result: FoldResult,
    facts: PortalFacts | None = None,
) -> None:
    """Fold these calls once; the caller flushes. `facts`: None: they are read here."""
    with session.no_autoflush:  # what the reads ask for is in the tables; the rest is written once, at the end
        passed = _read_pass(session, portal, calls, facts or portal_facts.load(session, portal))
    result.other_open = passed.other_open
    for call in calls:
        _let_small_pass()
        entry, policy = passed.entries[call.id], passed.policies.for_call(call)
        with tracing.call_span("fold call", portal.id, call.entry_id):
            fold_call(session, portal, call, entry, passed.rows[call.id], policy, passed.history, result)


@dataclass(frozen=True, slots=True)
class _Pass:
    """What `fold_calls` has read of its calls."""

    entries: dict[int, CallEntry | None]
    rows: dict[int, CallRows]
    other_open: list[Delivery] | None
    policies: Policies
    history: ClientHistory


def _read_pass(session: Session, portal: Portal, calls: list[Call], facts: PortalFacts) -> _Pass:
    rows_by_call = notifications.load_by_call(session, calls)
    policies = Policies(portal, facts.dismissed_users)
    entries: dict[int, CallEntry | None] = {}
    for call in calls:
        _let_small_pass()
        find_employee = policies.for_call(call).find_employee
        events = collect_events(rows_by_call[call.id])
        entries[call.id] = assemble_entry(events, find_employee, _clicked_extension(call))
    outbox = load_outbox(session, portal.id, [call.id for call in calls])
    recorded = [call_id for call_id, entry in entries.items() if entry is not None and entry.recordings]
    recordings: dict[int, list[Recording]] = defaultdict(list)
    for recording in session.scalars(_RECORDINGS, {"calls": recorded}) if recorded else ():
        recordings[recording.call_id].append(recording)
    rows = {
        call.id: CallRows(rows_by_call[call.id], outbox.by_call.get(call.id, []), recordings.get(call.id, []))
        for call in calls
    }
    return _Pass(entries, rows, outbox.others, policies, _client_history(session, portal, entries.values()))


def _let_small_pass() -> None:
    """Not on SQLite, where nobody else writes while this transaction lasts."""
    if not is_sqlite():
        giving_way.let_small_pass()


def _clicked_extension(call: Call) -> str | None:
    """The short number that a click of the portal dials; None: any other call."""
    is_click = call.command_id is not None and call.bitrix_call_id is not None
    is_short = phone.read_number(call.client_number).kind is phone.NumberKind.SHORT
    return call.client_number if is_click and is_short else None


def _client_history(session: Session, portal: Portal, entries: Iterable[CallEntry | None]) -> ClientHistory:
    begins = [(number, entry.started_at) for entry in entries if entry and (number := entry.client_number)]
    since = min((at for _, at in begins), default=0)
    return ClientHistory(session, portal, (number for number, _ in begins), datetime.fromtimestamp(since, UTC))


class Policies:
    """The policies of one pass. Calls with the same settings version and PBX share one, and all share the names of
    users."""

    def __init__(self, portal: Portal, dismissed: frozenset[int]) -> None:
        self._portal, self._dismissed_ids = portal, dismissed
        self._policies: dict[tuple[int | None, str], Policy] = {}
        self._user_name = cache(partial(user_name, portal.id))

    def for_call(self, call: Call) -> Policy:
        """The policy of the settings version with which the call began."""
        key = call.settings_version_id, call.pbx_key
        if key not in self._policies:
            self._policies[key] = self._build_policy(call)
        return self._policies[key]

    def _build_policy(self, call: Call) -> Policy:
        portal, document = self._portal, settings.of_version(call.settings_version_id)
        # A call of a deleted PBX goes on without settings of it, and so does a click for which no PBX was found (its
        # key is "").
        pbx = document.by_key.get(call.pbx_key) or PbxSettings.model_construct(key=call.pbx_key)
        return Policy(
            settings=document,
            pbx=pbx,
            texts=titles_for(portal.lang),
            crm_mode=portal.crm_mode,
            dismissed_users=self._dismissed_ids,
            quiet_seconds=runtime().config.quiet_seconds,
            has_timeman="timeman" in parse_scopes(portal.scopes),
            user_name=self._user_name,
            final_stages=self._final_stages,
        )

    def _final_stages(self, entity: str, category: int | None) -> tuple[str, ...]:
        return crm_dictionaries.load(self._portal.id).final_stages(entity, category)


def user_name(portal_id: int, user_id: int) -> str:
    """The user's name as of the last sync with the portal; the id if none is known."""
    row = db.session.get(PortalUser, (portal_id, user_id))
    return row.name if row is not None and row.name else str(user_id)
