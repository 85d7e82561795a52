"""The deciding half of a drain: new notifications -> calls -> fold -> journal columns, recordings, deliveries. One transaction, no HTTP."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Select, bindparam, func, select, update
from sqlalchemy.orm import Session

from bx24app import clicks, clock, continuing, knowledge, settings, tracing
from bx24app.domain import call as fold
from bx24app.domain import handover
from bx24app.domain.commands import from_json, to_json
from bx24app.domain.events import Ended, Recorded
from bx24app.domain.ledger import Entry as LedgerEntry
from bx24app.domain.ledger import Ledger
from bx24app.domain.legs import assemble
from bx24app.domain.routing import Policy
from bx24app.domain.settings import Pbx as PbxSettings
from bx24app.facts import facts_of, words_for
from bx24app.gathering import AT_ONCE, calls_of, events_of, meaning, news, notifications_of
from bx24app.logs import log
from bx24app.models import Call, Delivery, LineCounter, Notification, Portal, PortalUser, Recording, db, utcnow
from bx24app.parcels import Folded
from bx24app.runtime import runtime
from bx24app.tapes import keep_tapes

_log = log(__name__)

# Made once: building a statement costs more than SQLite needs to answer it.
_DUE = select(Call).where(Call.portal_id == bindparam("portal"), Call.due_at <= bindparam("now")).limit(AT_ONCE)
_SOONEST = select(func.min(Call.due_at)).where(Call.portal_id == bindparam("portal"), Call.due_at.is_not(None))
_DELIVERIES = select(Delivery).where(Delivery.call_id.in_(bindparam("calls", expanding=True))).order_by(Delivery.id)
_RECORDINGS = select(Recording).where(Recording.call_id.in_(bindparam("calls", expanding=True))).order_by(Recording.id)
_GONE = select(PortalUser.user_id).where(PortalUser.portal_id == bindparam("portal"), PortalUser.active.is_(False))


@dataclass(slots=True)
class Wakes:
    """What is to be rung for after the commit."""

    at: list[datetime] = field(default_factory=list)
    recordings: list[tuple[int, datetime]] = field(default_factory=list)
    again: bool = False
    folded: Folded = field(default_factory=dict)
    """What was folded, as it stands in the session: claiming need not read it again."""
    near: set[int] = field(default_factory=set)
    """Calls of the same client to be folded again, since what they are decided by has changed."""


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
        for row in session.scalars(_of(portal, missing)):
            calls.setdefault(row.id, row)
    while calls:
        _fold_all(session, portal, list(calls.values()), wakes)
        session.flush()
        changed, wakes.near = wakes.near, set()
        calls = {row.id: row for row in session.scalars(_of(portal, changed))} if changed else {}
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


def _of(portal: Portal, calls: set[int]) -> Select[Call]:
    return select(Call).where(Call.portal_id == portal.id, Call.id.in_(calls))


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
    for call in calls:
        with tracing.span("fold call", portal.id, call.entry_id):
            _fold(session, portal, call, told[call.id], deliveries[call.id], recordings[call.id], dismissed, wakes)


def policy_for(portal: Portal, call: Call, dismissed: frozenset[int]) -> Policy:
    """The policy of the settings version with which the call began."""
    document = settings.of_version(call.settings_version_id)
    # A click that found no PBX has the key ""; a PBX that is gone keeps its own: neither is checked again.
    pbx = document.by_key.get(call.pbx_key) or PbxSettings.model_construct(key=call.pbx_key)
    return Policy(
        settings=document,
        pbx=pbx,
        words=words_for(portal.lang),
        crm_mode=portal.crm_mode,
        dismissed=dismissed,
        quiet_seconds=runtime().config.quiet_seconds,
        timeman="timeman" in portal.scopes,
        person=partial(person, portal.id),
    )


def person(portal_id: int, user_id: int) -> str:
    """The user's name, as the portal told it last; else the id."""
    row = db.session.get(PortalUser, (portal_id, user_id))
    return row.name if row is not None and row.name else str(user_id)


def ledger_of(rows: Iterable[Delivery]) -> Ledger:
    """The outbox of one call as the fold sees it."""
    return Ledger(
        [
            LedgerEntry(from_json(row.kind, row.command), row.state, row.answer or {}, row.code)  # type: ignore[arg-type]
            for row in rows
        ]
    )


def _standing(session: Session, deliveries: list[Delivery]) -> list[Delivery]:
    """Without what never left behind a record or to-do that was refused: the fold tries that again, before what follows it."""
    refused = max((row.id for row in deliveries if row.kind in ("CreateRecord", "AddTodo") and row.state == "dead"), default=None)
    done_at = next((row.done_at for row in deliveries if row.id == refused), None)
    if refused is None or done_at is None:
        return deliveries
    behind = [
        row
        for row in deliveries
        if row.id > refused and row.state == "waiting" and not row.attempts and not row.uncertain and row.created_at < done_at
    ]
    for row in behind:
        session.delete(row)
    session.flush()
    return [row for row in deliveries if row not in behind]


def _fold(
    session: Session,
    portal: Portal,
    call: Call,
    told: list[Notification],
    deliveries: list[Delivery],
    recordings: list[Recording],
    dismissed: frozenset[int],
    wakes: Wakes,
) -> None:
    events = events_of(told)
    policy = policy_for(portal, call, dismissed)
    entry = assemble(events, policy.employee)
    standing = _standing(session, deliveries)
    ledger = ledger_of(standing)
    wakes.folded.pop(call.id, None)
    if entry is None:
        clicks.follow(session, portal, call, told, ledger, policy)
        return
    at = _clock(call, told)
    before = continuing.stretch(call)
    near = continuing.look(session, portal, call, entry, policy)
    while True:
        known = knowledge.known_of(session, portal, call, entry, policy, recordings, near)
        decision = fold.decide(entry, policy, ledger, at, known)
        if not decision.wants_pick:
            break
        call.facts = {**call.facts, "pick": _pick(session, portal, call, policy.line_number(entry.line) or "")}
    made = [
        Delivery(
            portal_id=portal.id, call_id=call.id, key=command.key, kind=type(command).__name__, command=to_json(command)
        )
        for command in decision.commands
    ]
    session.add_all(made)
    wakes.folded[call.id] = (call, [*standing, *made])
    if decision.commands:
        kinds = [type(command).__name__ for command in decision.commands]
        _log.info("call decided", portal=portal.id, call=call.id, entry=call.entry_id, commands=kinds)
    _write(call, decision, ledger, deliveries)
    call.facts = facts_of(call, entry, policy, ledger)
    knowledge.keep(session, portal, call, decision, ledger)
    continuing.keep(call, near, ledger)
    wakes.near |= handover.touched(before, continuing.stretch(call), near.others)
    call.due_at = datetime.fromtimestamp(decision.due, UTC) if decision.due else None
    noticed = _noticed(told)
    wakes.recordings += keep_tapes(session, call, decision.tapes, ledger, recordings, noticed)


def _clock(call: Call, told: list[Notification]) -> fold.Clock:
    heard_end = next((row for row in told if any(isinstance(event, Ended) for event in meaning(row))), None)
    return fold.Clock(
        now=utcnow().timestamp() - clock.leap(),
        heard=call.heard_at.timestamp(),
        heard_end=heard_end.received_at.timestamp() if heard_end else None,
    )


def _noticed(told: list[Notification]) -> dict[str, datetime]:
    """recording_id -> when the notice came that made it fetchable."""
    noticed: dict[str, datetime] = {}
    for row in told:
        for event in meaning(row):
            if isinstance(event, Recorded) and (event.state == "added" or event.code == 1000):
                noticed.setdefault(event.recording_id, row.received_at)
    return noticed


def _pick(session: Session, portal: Portal, call: Call, line: str) -> int:
    """One place in the round robin, drawn by one atomic increment."""
    name = f"{call.pbx_key}:{line}"
    where = (LineCounter.portal_id == portal.id, LineCounter.line == name)
    drawn = session.execute(
        update(LineCounter).where(*where).values(picks=LineCounter.picks + 1).returning(LineCounter.picks)
    )
    picks = drawn.scalar()
    if picks is None:
        session.add(LineCounter(portal_id=portal.id, line=name, picks=1))
        session.flush()
        return 0
    return picks - 1


def _write(call: Call, decision: fold.Decision, ledger: Ledger, deliveries: list[Delivery]) -> None:
    """The journal's columns."""
    journal: dict[str, Any] = dict(decision.journal)
    complete = journal.pop("complete")
    for name, value in journal.items():
        if getattr(call, name) != value:
            setattr(call, name, value)
    register, finish = ledger.register(), ledger.finish()
    if register is not None and register.state == "done":
        call.bitrix_call_id = register.answer.get("call_id")
    if finish is not None and finish.state == "done":
        call.activity_id = finish.answer.get("activity_id")
    dead = next((row for row in deliveries if row.state == "dead" and row.kind in ("Register", "Finish")), None)
    lost = [entry for entry in (register, finish) if entry is not None and entry.state == "dead"]
    if lost:
        call.state = "dead"
        call.problem = dead.reason if dead else None
    elif (finish is not None and finish.state == "done") or (complete and register is None and not decision.commands):
        call.state = "finished"
    else:
        call.state = "open"
