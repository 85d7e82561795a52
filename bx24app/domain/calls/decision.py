"""The call: what the portal shall be told, given what the PBX told and what the portal answered so far.

`decide` is pure and is asked again after every notification, answer or tick. It compares what should be (contract, section 7)
with the ledger of what was already told, and returns only what is missing. So duplicates, late arrivals, replays and back-fill
need no code of their own: the same facts give the same decision, and a decision already made is in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bx24app.domain.calls import after_finish, call_recordings, cards, client_manager, crm_records, outcome
from bx24app.domain.calls import plan as plans
from bx24app.domain.calls.call_view import Clock, End, Known, View, external_id
from bx24app.domain.calls.commands import AnyCommand, Register
from bx24app.domain.calls.entry import Entry
from bx24app.domain.calls.ledger import Ledger
from bx24app.domain.calls.plan import Plan
from bx24app.domain.calls.policy import Policy
from bx24app.domain.rules.actions import Create


@dataclass(frozen=True, slots=True)
class Decision:
    """`commands` are new, in order. `due`: ask again at that time (our epoch) even if nothing comes. `journal`: column values."""

    commands: tuple[AnyCommand, ...]
    due: float | None
    wants_pick: bool
    tapes: tuple[call_recordings.Tape, ...]
    journal: dict[str, Any]
    plan: Plan | None = None
    """None: the call is none of the portal's business."""


def decide(entry: Entry, policy: Policy, ledger: Ledger, clock: Clock, known: Known) -> Decision:
    """What the portal has still to be told of this call."""
    view = View(entry, policy, ledger, clock, known)
    end = outcome.end_of(view)
    if view.silent:
        return Decision((), None if end.complete else end.due, False, (), _journal(view, end))
    plan = plans.plan_of(view, end)
    # A place is drawn only when the responsible is about to be used: a drawn and unused one would make the turns unfair.
    if policy.wants_pick(view.line) and known.pick is None and (end.complete or plan.needs_turn):
        return Decision((), end.due, True, (), _journal(view, end))
    before = len(ledger)
    _register(view, end, plan)
    client_manager.follow(view, end)
    cards.follow(view, end)
    if crm_records.make(view, end, plan):
        outcome.finish(view, end)
    again = after_finish.settle(view, end, plan)
    reels = call_recordings.plan(view, end)
    commands = tuple(item.command for item in list(ledger)[before:])
    return Decision(commands, again if end.complete else end.due, False, reels, _journal(view, end), plan)


def _register(view: View, end: End, plan: Plan) -> None:
    """When the first person rings; a call that reaches nobody, at its end, without a card."""
    if view.ledger.register() is not None or not (view.reached or end.complete):
        return
    rung = [user for ring in view.entry.rings if (user := view.policy.user_of(ring.employee)) is not None]
    user = rung[0] if rung else view.policy.default_user
    if end.complete and not rung:
        user = end.user
    wanted = cards.wanted(view, end)
    show = bool(wanted)
    if show:
        user = wanted[0]
    view.ledger.add(
        Register(
            key=view.ledger.next_key("register", Register),
            user_id=user,
            number=view.number,
            type={"in": 2, "out": 1, "callback": 4}[view.direction],
            started_at=view.entry.started_at,
            line=view.policy.line_number(view.raw_line),
            external_id=view.external_id,
            create=_creates(view, plan),
            show=show,
            record=view.known.record,
        )
    )


def _creates(view: View, plan: Plan) -> bool:
    """May the portal make the lead itself? Only what `calls.*` asks for: a rule's lead has a title, stage and source of its own."""
    leads = any(isinstance(one.action, Create) and one.action.entity == "lead" for one in plan.actions)
    return leads and plan.rule is None and view.client is not None and view.known.record is None and view.known.makes


def _moment(at: int | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


def _journal(view: View, end: End) -> dict[str, Any]:
    entry, policy = view.entry, view.policy
    talked = [user for talk in entry.talks if (user := policy.user_of(talk.employee)) is not None]
    if end.complete and end.answered and not entry.talks and (named := outcome.named_talker(view)) is not None:
        talked = [named]  # the legs were lost, the summary says who it was
    return {
        "direction": view.direction,
        "line_number": policy.line_number(view.raw_line),
        "client_number": view.client,
        "started_at": _moment(entry.started_at),
        "answered_at": _moment(entry.talk_at),
        "ended_at": _moment(entry.ended_at) if end.complete else None,
        "talk_seconds": entry.talk_seconds,
        "outcome": end.outcome if end.complete else None,
        "reason": entry.reason or None,
        "user_id": end.user if end.complete and entry.direction != "internal" else (talked[-1] if talked else None),
        "users": list(dict.fromkeys(talked)),
        "responsible_id": end.responsible if end.complete and entry.direction != "internal" else None,
        "visible": entry.direction != "internal" or policy.calls.internal_calls == "log",
        "complete": end.complete,
    }


__all__ = ["Clock", "Decision", "Known", "View", "decide", "external_id"]
