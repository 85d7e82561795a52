"""Joins two calls of the journal that turn out to be one: a later notification gives one call the name of the other.

`grouping` calls `join_calls` in the transaction of a fold. All notifications get the entry, so that from then on they
are found together, in whatever order they came. The call that the portal knows survives with its card; if the portal
knows both, the one that was registered first. The other one stays as a hidden row until it is closed in the portal:
`close_joined` hides its card at once and finishes it without a talk when the conversation is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session

from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import AnyCommand, Finish, HideCard, Register
from bx24app.domain.calls.ledger import Ledger
from bx24app.infra.logs import get_logger
from bx24app.models import Call, Delivery, Notification, Recording, utcnow

_log = get_logger(__name__)

LOOK_AGAIN = timedelta(seconds=30)
"""How often a hidden call looks whether the conversation is over."""


def join_calls(session: Session, known: Call, other: Call, entry_id: str) -> Call:
    """Make one call of both and return it; `entry_id` is its entry. Flushes; the caller commits.

    Args:
        known: the call that has the entry already.
        other: the call that was found under another name.
    """
    session.flush()
    survivor, dropped = _choose(session, known, other)
    names = {known.entry_id, other.entry_id}
    commands = {known.command_id, other.command_id} - {None}
    mine = (Notification.portal_id == survivor.portal_id, Notification.pbx_id == survivor.pbx_id)
    by_command = Notification.command_id.in_(commands) & Notification.entry_id.is_not(None)
    named = or_(Notification.entry_id.in_(names), by_command)
    session.execute(update(Notification).where(*mine, named).values(entry_id=entry_id))
    started_at, heard_at = min(known.started_at, other.started_at), max(known.heard_at, other.heard_at)
    command_id = survivor.command_id or dropped.command_id
    _take_recordings(session, survivor, dropped)
    if _is_sent(session, dropped):
        _hide(session, survivor, dropped)
    else:
        session.delete(dropped)
    session.flush()  # the entry is free before it is given
    survivor.entry_id, survivor.command_id = entry_id, command_id
    survivor.started_at, survivor.heard_at = started_at, heard_at
    session.flush()
    _log.info("calls joined", portal=survivor.portal_id, call=survivor.id, joined=dropped.id, entry=entry_id)
    return survivor


def _choose(session: Session, known: Call, other: Call) -> tuple[Call, Call]:
    """(the call that survives, the other one)."""
    first = select(Delivery.call_id).where(
        Delivery.call_id.in_((known.id, other.id)), Delivery.kind == "Register", _sent_condition()
    )
    registered = session.scalars(first.order_by(Delivery.id).limit(1)).first()
    if registered is None:
        registered = known.id if _is_sent(session, known) or not _is_sent(session, other) else other.id
    return (known, other) if registered == known.id else (other, known)


def _sent_condition() -> ColumnElement[bool]:
    return Delivery.state.in_(("sent", "done")) | Delivery.uncertain.is_(True)


def _is_sent(session: Session, call: Call) -> bool:
    """Does the portal, or Mango, know of this call, or may it?"""
    sent = select(Delivery.id).where(Delivery.call_id == call.id, _sent_condition())
    return session.scalars(sent.limit(1)).first() is not None


def _take_recordings(session: Session, survivor: Call, dropped: Call) -> None:
    """A recording that is on its way, or in the portal, stays what it is; none is attached twice."""
    own = select(Recording.recording_id).where(Recording.call_id == survivor.id)
    theirs = (Recording.call_id == dropped.id, Recording.recording_id.not_in(own))
    started = Recording.bitrix_call_id.is_not(None)
    session.execute(
        update(Recording).where(*theirs, started).values(call_id=survivor.id),
        execution_options={"synchronize_session": False},
    )
    session.execute(
        delete(Recording).where(Recording.call_id == dropped.id, ~started),
        execution_options={"synchronize_session": False},
    )


def _hide(session: Session, survivor: Call, dropped: Call) -> None:
    unsent = delete(Delivery).where(Delivery.call_id == dropped.id, Delivery.state == "waiting", ~Delivery.uncertain)
    session.execute(unsent, execution_options={"synchronize_session": False})
    facts = dropped.read_facts()
    facts.joined_call_id = survivor.id
    dropped.write_facts(facts)
    dropped.entry_id, dropped.command_id = f"joined:{dropped.id}", None
    dropped.visible, dropped.state, dropped.due_at = False, "open", utcnow()
    dropped.ended_at = dropped.ended_at or utcnow()


def close_joined(session: Session, call: Call, joined_call_id: int, ledger: Ledger) -> None:
    """Close in the portal a call that was joined to another one: no card at once, then the end without a talk."""
    call.due_at = None
    register, finish = ledger.register_entry(), ledger.finish_entry()
    if finish is not None or register is None or register.state == "dead":
        call.state = "open" if finish is not None and finish.state in ("waiting", "sent") else "finished"
        return
    if register.state != "done" or not isinstance(register.command, Register):
        return  # its answer brings the call here again
    shown = sorted(ledger.shown_users())
    if shown:
        _add(session, call, ledger, HideCard(key=ledger.next_key("hide", HideCard), users=tuple(shown)))
    survivor = session.get(Call, joined_call_id)
    if survivor is not None and survivor.state == "open" and survivor.ended_at is None:
        call.due_at = utcnow() + LOOK_AGAIN
        return
    is_answered = survivor is not None and survivor.answered_at is not None
    _add(
        session, call, ledger,
        Finish(
            key=ledger.next_key("finish", Finish),
            user_id=register.command.user_id,
            seconds=0,
            status="200" if is_answered else "304",
            number=register.command.number,
        ),
    )  # fmt: skip


def _add(session: Session, call: Call, ledger: Ledger, command: AnyCommand) -> None:
    ledger.add_command(command)
    kind = type(command).__name__
    session.add(
        Delivery(portal_id=call.portal_id, call_id=call.id, key=command.key, kind=kind, command=to_json(command))
    )


def entry_of_alias(session: Session, portal_id: int, pbx_id: int, command_id: str, alias: str) -> str | None:
    """The entry that earlier notifications with this command named; None: they named none but the alias."""
    query = select(Notification.entry_id).where(
        Notification.portal_id == portal_id,
        Notification.command_id == command_id,
        Notification.pbx_id == pbx_id,
        Notification.entry_id != alias,
        Notification.state != "rejected",
    )
    return session.scalars(query.order_by(Notification.id).limit(1)).first()


def set_entry(rows: Iterable[Notification], entry_id: str) -> None:
    """Notifications that name a call by its alias belong to its entry from now on."""
    for row in rows:
        row.entry_id = entry_id
