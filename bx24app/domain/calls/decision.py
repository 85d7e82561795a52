"""The decision about one call: which commands are still to be sent, given its events and what the portal answered so
far.

`decide_call` is pure. The fold calls it again after every notification, after every answer, and when `due_at` passes.
It compares what should have been sent (docs/contract.md, section 7) with the ledger and adds only what is missing. So
repeated and late notifications, replays and backfills need no code of their own: the same events give the same
decision, and what was decided before is in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bx24app.domain.calls import after_finish, call_recordings, cards, client_manager, crm_records, outcome
from bx24app.domain.calls import plan as plans
from bx24app.domain.calls.call_view import CallClock, CallView, FoldContext, Outcome
from bx24app.domain.calls.commands import AnyCommand, Register
from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.ledger import Ledger
from bx24app.domain.calls.plan import CallPlan
from bx24app.domain.calls.policy import Policy
from bx24app.domain.rules.actions import CreateAction


@dataclass(frozen=True, slots=True)
class Decision:
    """What one call of `decide_call` found."""

    commands: tuple[AnyCommand, ...]
    """New commands in the order of their sending; the ledger holds them already."""
    due_at: float | None
    """Epoch seconds of our clock: decide again at that time, even if nothing arrives. None: no need."""
    needs_pick: bool
    """The decision is not made: draw the call's turn in the round robin, then decide again."""
    recordings: tuple[call_recordings.CallRecording, ...]
    journal: dict[str, Any]
    """Values of the journal columns, and `complete`."""
    plan: CallPlan | None = None
    """None: nothing of the call is sent to the portal, or the decision is not made."""


def decide_call(entry: CallEntry, policy: Policy, ledger: Ledger, clock: CallClock, context: FoldContext) -> Decision:
    """Decide about one call, and add the new commands to `ledger`."""
    view = CallView(entry, policy, ledger, clock, context)
    end = outcome.determine_outcome(view)
    if view.is_ignored:
        return Decision((), None if end.is_complete else end.due_at, False, (), _journal_values(view, end))
    plan = plans.make_plan(view, end)
    # A turn is drawn only when the responsible is about to be used: a turn that nobody uses would make the round robin
    # unfair.
    if policy.needs_pick(view.line) and context.pick is None and (end.is_complete or plan.needs_pick):
        return Decision((), end.due_at, True, (), _journal_values(view, end))
    old_length = len(ledger)
    _add_register(view, end, plan)
    client_manager.route_client(view, end)
    cards.update_cards(view, end)
    if crm_records.create_records(view, end, plan):
        outcome.add_finish(view, end)
    next_look_at = after_finish.add_follow_ups(view, end, plan)
    recordings = call_recordings.plan_recordings(view, end)
    commands = tuple(item.command for item in list(ledger)[old_length:])
    due_at = next_look_at if end.is_complete else end.due_at
    return Decision(commands, due_at, False, recordings, _journal_values(view, end), plan)


def _add_register(view: CallView, end: Outcome, plan: CallPlan) -> None:
    """Register the call when the first phone rings; a call that rings nowhere is registered at its end, without a card.
    """
    if view.ledger.register_entry() is not None or not (view.has_rung or end.is_complete):
        return
    rung = [user for ring in view.entry.rings if (user := view.policy.find_user(ring.employee)) is not None]
    card_users = cards.users_to_show(view, end)
    if card_users:
        user = card_users[0]
    elif rung:
        user = rung[0]
    else:
        user = end.user_id if end.is_complete else view.policy.default_user
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
            show=bool(card_users),
            record=view.context.callback_record,
        )
    )


def _should_create_lead(view: CallView, plan: CallPlan) -> bool:
    """Whether Register asks the portal to create the lead (CRM_CREATE). A lead of a rule has its own title, stage and
    source, so the app creates it."""
    leads = any(isinstance(one.action, CreateAction) and one.action.entity == "lead" for one in plan.actions)
    if not leads or plan.rule is not None or view.crm_number is None:
        return False
    return view.context.callback_record is None and view.context.may_create_records


def _as_datetime(at: int | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


def _journal_values(view: CallView, end: Outcome) -> dict[str, Any]:
    entry, policy = view.entry, view.policy
    talked = [user for talk in entry.talks if (user := policy.find_user(talk.employee)) is not None]
    if end.is_complete and end.is_answered and not entry.talks and (named := outcome.named_talker(view)) is not None:
        talked = [named]  # the notifications of the talk are lost, but the summary names the talker
    has_outcome = end.is_complete and entry.direction != "internal"
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
        "user_id": end.user_id if has_outcome else (talked[-1] if talked else None),
        "users": list(dict.fromkeys(talked)),
        "responsible_id": end.responsible_id if has_outcome else None,
        "visible": entry.direction != "internal" or policy.calls.internal_calls == "log",
        "complete": end.is_complete,
    }
