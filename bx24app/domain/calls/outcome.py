"""The outcome of a call: whether it is over, how it ended, who talked and who is responsible. Also adds `Finish`, once.

Defined in docs/contract.md, section 7.
"""

from __future__ import annotations

import itertools
from typing import Literal

from bx24app.domain.calls import record_queries
from bx24app.domain.calls.call_view import SETTLE_SECONDS, CallView, Outcome
from bx24app.domain.calls.commands import Finish, HideCard, Notify, ReadClient, ReadDeals

_TALK_TOLERANCE_SECONDS = 2
"""Seconds by which a summary and the legs may differ about the begin and the end of the talk."""

MAX_SILENCE_SECONDS = 4 * 3600
"""An open call without notifications for this long is over: its end was lost, and for the dialect `events` no
statistics would tell it.

A sweep (`calls.sweep.close_silent_calls`) wakes such calls, so that not every call that rings needs a wake-up of its
own.
"""


def determine_outcome(view: CallView) -> Outcome:
    """The outcome as far as it is known now."""
    entry, policy = view.entry, view.policy
    complete, due_at = _check_complete(view)
    answered = entry.talk_at is not None
    outcome: Literal["answered", "missed", "failed"] | None = None
    if complete:
        outcome = "answered" if answered else ("missed" if entry.direction == "in" else "failed")
    line_user = policy.line_responsible(view.line, view.context.pick)
    talkers = [user for talk in entry.talks if (user := policy.find_user(talk.employee)) is not None]
    if answered:
        user = (talkers[-1] if talkers else named_talker(view)) or policy.default_user
    elif entry.direction == "in":
        user = line_user or policy.default_user
    else:
        user = _calling_user(view) or policy.default_user
    transferred_to = view.context.handed_to if view.context.handed_to is not None else _transferred_user(view)
    responsible = _choose_responsible(view, talkers, transferred_to, line_user, user)
    return Outcome(complete, due_at, answered, outcome, user, responsible, transferred_to)


def _choose_responsible(
    view: CallView, talkers: list[int], transferred_to: int | None, line_user: int | None, user: int
) -> int:
    """Who gets the CRM records: the user to whom the client was transferred, else who has the records of the call that
    this one continues, else the line's responsible, else the talker."""
    mode = view.policy.calls.transfer_responsible
    if transferred_to is not None and mode != "never":
        return transferred_to
    if (holder := _continued_responsible(view, talkers)) is not None:
        return holder
    if line_user is not None:
        return line_user
    return talkers[0] if mode == "never" and talkers else user


def _continued_responsible(view: CallView, talkers: list[int]) -> int | None:
    """The responsible of a conversation that this call continues: the talker of this call, else whoever has the records
    already."""
    before = view.context.continued_call
    if before is None:
        return None
    talker = talkers[-1] if talkers else named_talker(view)
    if talker is None or view.policy.calls.transfer_responsible == "never":
        return before.responsible_id
    return talker


def _transferred_user(view: CallView) -> int | None:
    """The mapped user to whom the last completed transfer handed the client; None: no transfer, or none to a mapped
    user.

    A second transfer back to the first talker counts, a blind transfer that nobody answered does not.
    """
    talks = view.entry.talks
    receivers = [
        view.policy.find_user(after.employee)
        for before, after in itertools.pairwise(talks)
        if after.employee != before.employee
    ]
    return next((user for user in reversed(receivers) if user is not None), None)


def _check_complete(view: CallView) -> tuple[bool, float | None]:
    """(the call is over, else when to check again).

    A summary that agrees with the legs ends the call at once. A summary that does not waits for more notifications, up
    to `SETTLE_SECONDS`. Without a summary a call whose legs have all ended is over after `quiet_seconds` without
    notifications.
    """
    entry, clock = view.entry, view.clock
    if entry.end_event is not None:
        if _is_consistent(view):
            return True, None
        since = clock.summary_received_at if clock.summary_received_at is not None else clock.last_received_at
        until = since + SETTLE_SECONDS
        return clock.now >= until, until
    if entry.legs and entry.all_legs_ended:
        until = clock.last_received_at + view.policy.quiet_seconds
        return clock.now >= until, until
    return clock.now >= clock.last_received_at + MAX_SILENCE_SECONDS, None


def _is_consistent(view: CallView) -> bool:
    """Whether the legs agree with the summary: all have ended, no notification is missing, and they show the talk that
    it names."""
    entry = view.entry
    if not entry.all_legs_ended or entry.end_event is None or any(leg.has_gap for leg in entry.legs):
        return False
    if not entry.end_event.talk_at:
        return not entry.talks
    if entry.direction == "internal":
        return bool(entry.legs)
    if entry.legs and max(leg.last_step.at for leg in entry.legs) < entry.end_event.ended_at - _TALK_TOLERANCE_SECONDS:
        return False  # the leg to which the client was transferred is missing
    if not entry.talks or min(talk.start for talk in entry.talks) > entry.end_event.talk_at + _TALK_TOLERANCE_SECONDS:
        return False  # the leg of the first talk is missing
    named = _named_extension(view)
    return named is None or any(talk.employee.extension == named for talk in entry.talks)


def _named_extension(view: CallView) -> str | None:
    """The extension that the summary names as the talker."""
    ended = view.entry.end_event
    if ended is None:
        return None
    party = ended.callee if ended.direction == "in" else ended.caller
    employee = view.policy.find_employee(party)
    return employee.extension if employee else None


def named_talker(view: CallView) -> int | None:
    """The user whom the summary names as the talker."""
    ended = view.entry.end_event
    if ended is None:
        return None
    party = view.policy.find_employee(ended.callee if ended.direction == "in" else ended.caller)
    return view.policy.find_user(party) if party else None


def _calling_user(view: CallView) -> int | None:
    """Who tried to reach the client: the first mapped user whose phone rang or dialled, else the one that the summary
    names."""
    for ring in view.entry.rings:
        user = view.policy.find_user(ring.employee)
        if user is not None:
            return user
    return named_talker(view)


def add_finish(view: CallView, end: Outcome) -> None:
    """Add Finish once the call is over, and HideCard before it for everybody but the talker.

    `crm_records.create_records` runs first: the call must not be finished before its records exist.
    """
    if not end.is_complete or view.ledger.finish_entry() is not None or view.ledger.register_entry() is None:
        return
    others = sorted(view.ledger.shown_users() - {end.user_id})
    if others:
        view.ledger.add_command(HideCard(key=view.ledger.next_key("hide", HideCard), users=tuple(others)))
    reason = view.entry.end_reason
    if end.is_answered:
        status, words = "200", ""
    else:
        status = "304" if view.entry.direction == "in" else view.policy.texts.failed_status(reason)
        words = view.policy.texts.describe_reason(reason) if reason else ""
    view.ledger.add_command(
        Finish(
            key=view.ledger.next_key("finish", Finish),
            user_id=end.user_id,
            seconds=view.entry.talk_seconds,
            status=status,
            reason=words,
            number=view.phone_number,
        )
    )
    if not end.is_answered:
        _notify_requester(view, end, words)
    client = record_queries.find_client_record(view)
    if client is not None and view.crm_number is not None:
        view.ledger.add_command(ReadClient(key="read-client", number=view.crm_number, record=client))
        if client.entity in ("contact", "company"):
            view.ledger.add_command(ReadDeals(key="read-deals", record=client))


def _notify_requester(view: CallView, end: Outcome, words: str) -> None:
    """Tell the user who clicked that the call failed. A failed form callback is told to the responsible: nobody watched
    it."""
    callback_user = end.responsible_id if view.context.is_form_callback and view.context.may_notify else None
    for kind, user in (("click", view.context.click_user_id), ("callback", callback_user)):
        if user is not None:
            text = f"{view.policy.texts.make_title(kind, view.phone_number)}: {words}".rstrip(": ")
            view.ledger.add_command(Notify(key=f"notify-{kind}", user_id=user, text=text))
