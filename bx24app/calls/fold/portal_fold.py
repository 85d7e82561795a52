"""The fold of a portal: the first half of a drain, in one transaction and without HTTP.

`fold_portal` takes new notifications, finds or creates their calls, and folds these calls and those that are due.
Afterwards the tables hold the new deliveries, which the second half of the drain sends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, partial

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from bx24app import settings
from bx24app.calls import giving_way, notifications
from bx24app.calls.fold.call_fold import CallRows, FoldResult, fold_call
from bx24app.calls.fold.client_history import ClientHistory
from bx24app.calls.fold.grouping import (
    PASS_LIMIT,
    collect_events,
    find_or_create_calls,
    load_new_notifications,
)
from bx24app.calls.fold.titles import titles_for
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
_DELIVERIES = select(Delivery).where(Delivery.call_id.in_(bindparam("calls", expanding=True))).order_by(Delivery.id)
_RECORDINGS = select(Recording).where(Recording.call_id.in_(bindparam("calls", expanding=True))).order_by(Recording.id)
_CALLS_BY_ID = select(Call).where(_OF_PORTAL, Call.id.in_(bindparam("calls", expanding=True)))
_DISMISSED_IDS = select(PortalUser.user_id).where(
    PortalUser.portal_id == bindparam("portal"), PortalUser.active.is_(False)
)


def fold_portal(session: Session, portal: Portal, touched: Iterable[int] = ()) -> FoldResult:
    """Fold every call of this portal that has new notifications, is due, or is in `touched` (ids of calls with new
    answers).

    The caller holds the portal's lock and commits.
    """
    result = FoldResult()
    fresh = load_new_notifications(session, portal)
    result.has_more = len(fresh) == PASS_LIMIT
    calls = find_or_create_calls(session, portal, fresh)
    _log_notifications(portal, fresh)
    missing = set(touched) - calls.keys()
    for row in load_due_calls(session, portal):
        calls.setdefault(row.id, row)
    if missing - calls.keys():
        for row in _load_calls(session, portal, missing):
            calls.setdefault(row.id, row)
    giving_way.declare_size(len(calls), result.has_more)
    while calls:
        fold_calls(session, portal, list(calls.values()), result)
        session.flush()
        changed, result.affected_calls = result.affected_calls, set()
        calls = {row.id: row for row in _load_calls(session, portal, changed)} if changed else {}
    session.flush()
    add_next_wake_time(session, portal, result)
    if fresh:
        ids = [row.id for row in fresh if row.state == "new"]
        session.execute(update(Notification).where(Notification.id.in_(ids)).values(state="handled"))
    return result


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


def fold_calls(session: Session, portal: Portal, calls: list[Call], result: FoldResult) -> None:
    """Fold these calls once; the caller flushes."""
    call_ids = [call.id for call in calls]
    rows_by_call = notifications.load_by_call(session, calls)
    deliveries: dict[int, list[Delivery]] = defaultdict(list)
    for delivery in session.scalars(_DELIVERIES, {"calls": call_ids}):
        deliveries[delivery.call_id].append(delivery)
    recordings: dict[int, list[Recording]] = defaultdict(list)
    for recording in session.scalars(_RECORDINGS, {"calls": call_ids}):
        recordings[recording.call_id].append(recording)
    policies = Policies(portal, frozenset(session.scalars(_DISMISSED_IDS, {"portal": portal.id})))
    entries: dict[int, CallEntry | None] = {}
    for call in calls:
        _let_small_pass()
        find_employee = policies.for_call(call).find_employee
        events = collect_events(rows_by_call[call.id])
        entries[call.id] = assemble_entry(events, find_employee, _clicked_extension(call))
    history = _client_history(session, portal, entries.values())
    for call in calls:
        _let_small_pass()
        rows = CallRows(rows_by_call[call.id], deliveries[call.id], recordings[call.id])
        with tracing.call_span("fold call", portal.id, call.entry_id):
            fold_call(session, portal, call, entries[call.id], rows, policies.for_call(call), history, result)


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
