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
from bx24app.domain.calls.call_view import CallClock, CallView, FoldContext, Outcome, make_external_id
from bx24app.domain.calls.commands import AnyCommand, Register
from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.ledger import Ledger
from bx24app.domain.calls.plan import CallPlan
from bx24app.domain.calls.policy import Policy
from bx24app.domain.rules.actions import CreateAction


@dataclass(frozen=True, slots=True)
class Decision:
    """`commands` are new, in order. `due`: ask again at that time (our epoch) even if nothing comes. `journal`: column values."""

    commands: tuple[AnyCommand, ...]
    due_at: float | None
    needs_pick: bool
    recordings: tuple[call_recordings.CallRecording, ...]
    journal: dict[str, Any]
    plan: CallPlan | None = None
    """None: the call is none of the portal's business."""


def decide_call(entry: CallEntry, policy: Policy, ledger: Ledger, clock: CallClock, known: FoldContext) -> Decision:
    """What the portal has still to be told of this call."""
    view = CallView(entry, policy, ledger, clock, known)
    end = outcome.determine_outcome(view)
    if view.is_ignored:
        return Decision((), None if end.is_complete else end.due_at, False, (), _journal_values(view, end))
    plan = plans.make_plan(view, end)
    # A place is drawn only when the responsible is about to be used: a drawn and unused one would make the turns unfair.
    if policy.needs_pick(view.line) and known.pick is None and (end.is_complete or plan.needs_pick):
        return Decision((), end.due_at, True, (), _journal_values(view, end))
    before = len(ledger)
    _add_register(view, end, plan)
    client_manager.route_client(view, end)
    cards.update_cards(view, end)
    if crm_records.create_records(view, end, plan):
        outcome.add_finish(view, end)
    again = after_finish.add_follow_ups(view, end, plan)
    reels = call_recordings.plan_recordings(view, end)
    commands = tuple(item.command for item in list(ledger)[before:])
    return Decision(commands, again if end.is_complete else end.due_at, False, reels, _journal_values(view, end), plan)


def _add_register(view: CallView, end: Outcome, plan: CallPlan) -> None:
    """When the first person rings; a call that reaches nobody, at its end, without a card."""
    if view.ledger.register_entry() is not None or not (view.has_rung or end.is_complete):
        return
    rung = [user for ring in view.entry.rings if (user := view.policy.find_user(ring.employee)) is not None]
    user = rung[0] if rung else view.policy.default_user
    if end.is_complete and not rung:
        user = end.user_id
    wanted = cards.users_to_show(view, end)
    show = bool(wanted)
    if show:
        user = wanted[0]
    view.ledger.add_command(
        Register(
            key=view.ledger.next_key("register", Register),
            user_id=user,
            number=view.phone_number,
            type={"in": 2, "out": 1, "callback": 4}[view.direction],
            started_at=view.entry.started_at,
            line=view.policy.line_number(view.raw_line),
            external_id=view.external_id,
            create=_should_create_lead(view, plan),
            show=show,
            record=view.context.callback_record,
        )
    )


def _should_create_lead(view: CallView, plan: CallPlan) -> bool:
    """May the portal make the lead itself? Only what `calls.*` asks for: a rule's lead has a title, stage and source of its own."""
    leads = any(isinstance(one.action, CreateAction) and one.action.entity == "lead" for one in plan.actions)
    return leads and plan.rule is None and view.client_number is not None and view.context.callback_record is None and view.context.may_create_records


def _as_datetime(at: int | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


def _journal_values(view: CallView, end: Outcome) -> dict[str, Any]:
    entry, policy = view.entry, view.policy
    talked = [user for talk in entry.talks if (user := policy.find_user(talk.employee)) is not None]
    if end.is_complete and end.is_answered and not entry.talks and (named := outcome.named_talker(view)) is not None:
        talked = [named]  # the legs were lost, the summary says who it was
    return {
        "direction": view.direction,
        "line_number": policy.line_number(view.raw_line),
        "client_number": view.client_number,
        "started_at": _as_datetime(entry.started_at),
        "answered_at": _as_datetime(entry.talk_at),
        "ended_at": _as_datetime(entry.ended_at) if end.is_complete else None,
        "talk_seconds": entry.talk_seconds,
        "outcome": end.result if end.is_complete else None,
        "reason": entry.end_reason or None,
        "user_id": end.user_id if end.is_complete and entry.direction != "internal" else (talked[-1] if talked else None),
        "users": list(dict.fromkeys(talked)),
        "responsible_id": end.responsible_id if end.is_complete and entry.direction != "internal" else None,
        "visible": entry.direction != "internal" or policy.calls.internal_calls == "log",
        "complete": end.is_complete,
    }


__all__ = ["CallClock", "CallView", "Decision", "FoldContext", "decide_call", "make_external_id"]
