"""The deciding half of a drain: new notifications -> calls -> fold -> journal columns, recordings, deliveries. One transaction, no HTTP."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache, partial

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from bx24app import settings
from bx24app.calls.fold.call_facts import words_for
from bx24app.calls.fold.call_fold import Held, Wakes, fold_call
from bx24app.calls.fold.client_history import Past
from bx24app.calls.fold.grouping import AT_ONCE, calls_of, events_of, news, notifications_of
from bx24app.domain import phone
from bx24app.domain.calls.entry import Entry, assemble
from bx24app.domain.calls.policy import Policy
from bx24app.domain.settings import Pbx as PbxSettings
from bx24app.infra import tracing
from bx24app.infra.logs import log
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Delivery, Notification, Portal, PortalUser, Recording, db, utcnow

_log = log(__name__)

# Made once: building a statement costs more than SQLite needs to answer it.
_DUE = select(Call).where(Call.portal_id == bindparam("portal"), Call.due_at <= bindparam("now")).limit(AT_ONCE)
_SOONEST = select(func.min(Call.due_at)).where(Call.portal_id == bindparam("portal"), Call.due_at.is_not(None))
_DELIVERIES = select(Delivery).where(Delivery.call_id.in_(bindparam("calls", expanding=True))).order_by(Delivery.id)
_RECORDINGS = select(Recording).where(Recording.call_id.in_(bindparam("calls", expanding=True))).order_by(Recording.id)
_THESE = select(Call).where(Call.portal_id == bindparam("portal"), Call.id.in_(bindparam("calls", expanding=True)))
_GONE = select(PortalUser.user_id).where(PortalUser.portal_id == bindparam("portal"), PortalUser.active.is_(False))


def decide(session: Session, portal: Portal, touched: Iterable[int] = ()) -> Wakes:
    """Fold every call of this portal that something happened to: news, an answer (`touched`), or its time.

    The caller holds the portal's lock and commits.
    """
    wakes = Wakes()
    fresh = news(session, portal)
    wakes.again = len(fresh) == AT_ONCE
    calls = calls_of(session, portal, fresh)
    _say_taken(portal, fresh)
    missing = set(touched) - calls.keys()
    for row in session.scalars(_DUE, {"portal": portal.id, "now": utcnow()}):
        calls.setdefault(row.id, row)
    if missing - calls.keys():
        for row in _these(session, portal, missing):
            calls.setdefault(row.id, row)
    while calls:
        _fold_all(session, portal, list(calls.values()), wakes)
        session.flush()
        changed, wakes.near = wakes.near, set()
        calls = {row.id: row for row in _these(session, portal, changed)} if changed else {}
    session.flush()
    # Asked of the table, not remembered: an alarm that rings early must set the next one.
    soonest = session.scalar(_SOONEST, {"portal": portal.id})
    if soonest is not None:
        wakes.at.append(soonest)
    if fresh:
        ids = [row.id for row in fresh if row.state == "new"]
        session.execute(update(Notification).where(Notification.id.in_(ids)).values(state="handled"))
    return wakes


def _say_taken(portal: Portal, fresh: Iterable[Notification]) -> None:
    """One line a notification: when it was stored, and how long it waited for a worker."""
    now = utcnow()
    for row in fresh:
        waited = round((now - row.received_at).total_seconds() * 1e3)
        facts = {"pbx": row.pbx_id, "name": row.name, "entry": row.entry_id, "waited_ms": waited}
        _log.info("notification taken", portal=portal.id, notification=row.id, **facts)


def _these(session: Session, portal: Portal, calls: set[int]) -> Iterable[Call]:
    return session.scalars(_THESE, {"portal": portal.id, "calls": sorted(calls)})


def _fold_all(session: Session, portal: Portal, calls: list[Call], wakes: Wakes) -> None:
    by_id = [call.id for call in calls]
    told = notifications_of(session, portal, calls)
    deliveries: dict[int, list[Delivery]] = defaultdict(list)
    for delivery in session.scalars(_DELIVERIES, {"calls": by_id}):
        deliveries[delivery.call_id].append(delivery)
    recordings: dict[int, list[Recording]] = defaultdict(list)
    for recording in session.scalars(_RECORDINGS, {"calls": by_id}):
        recordings[recording.call_id].append(recording)
    dismissed = frozenset(session.scalars(_GONE, {"portal": portal.id}))
    policies = Policies(portal, dismissed)
    entries = {call.id: assemble(events_of(told[call.id]), policies.of(call).employee) for call in calls}
    past = _past(session, portal, entries.values())
    for call in calls:
        held = Held(told[call.id], deliveries[call.id], recordings[call.id])
        with tracing.span("fold call", portal.id, call.entry_id):
            fold_call(session, portal, call, entries[call.id], held, policies.of(call), past, wakes)


def _past(session: Session, portal: Portal, entries: Iterable[Entry | None]) -> Past:
    known = [(number, entry.started_at) for entry in entries if entry and (number := phone.normal(entry.client))]
    since = min((at for _, at in known), default=0)
    return Past(session, portal, (number for number, _ in known), datetime.fromtimestamp(since, UTC))


class Policies:
    """The policies of one pass: calls share their settings version, their PBX and the people's names."""

    def __init__(self, portal: Portal, dismissed: frozenset[int]) -> None:
        self._portal, self._dismissed = portal, dismissed
        self._made: dict[tuple[int | None, str], Policy] = {}
        self._person = cache(partial(person, portal.id))

    def of(self, call: Call) -> Policy:
        """The policy of the settings version with which the call began."""
        key = call.settings_version_id, call.pbx_key
        if key not in self._made:
            self._made[key] = self._make(call)
        return self._made[key]

    def _make(self, call: Call) -> Policy:
        portal, document = self._portal, settings.of_version(call.settings_version_id)
        # A click that found no PBX has the key ""; a PBX that is gone keeps its own: neither is checked again.
        pbx = document.by_key.get(call.pbx_key) or PbxSettings.model_construct(key=call.pbx_key)
        return Policy(
            settings=document,
            pbx=pbx,
            words=words_for(portal.lang),
            crm_mode=portal.crm_mode,
            dismissed=self._dismissed,
            quiet_seconds=runtime().config.quiet_seconds,
            timeman="timeman" in portal.scopes,
            person=self._person,
        )


def person(portal_id: int, user_id: int) -> str:
    """The user's name, as the portal told it last; else the id."""
    row = db.session.get(PortalUser, (portal_id, user_id))
    return row.name if row is not None and row.name else str(user_id)
