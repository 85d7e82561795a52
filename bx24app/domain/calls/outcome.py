"""How a call ends: is it over, how did it end, whose was it; and the one `Finish`."""

from __future__ import annotations

import itertools
from typing import Literal

from bx24app.domain.calls import record_queries
from bx24app.domain.calls.call_view import SETTLE_SECONDS, End, View
from bx24app.domain.calls.commands import Finish, HideCard, Notify, ReadClient, ReadDeals

_TALK_SLACK = 2
"""By how many seconds a summary and the legs may differ about the beginning and the end of the talk."""


SILENT_SECONDS = 4 * 3600
"""An open call of which nothing was heard for so long is over: its end was lost (the short dialect has no second source to ask). A
sweep asks the fold then; no alarm is set for every call that rings."""


def end_of(view: View) -> End:
    """What can be said of the end now; `user` and `responsible` are the best present knowledge while the call goes on."""
    entry, policy = view.entry, view.policy
    complete, due = _complete(view)
    answered = entry.talk_at is not None
    outcome: Literal["answered", "missed", "failed"] | None = None
    if complete:
        outcome = "answered" if answered else ("missed" if entry.direction == "in" else "failed")
    line_user = policy.line_responsible(view.line, view.known.pick)
    talkers = [user for talk in entry.talks if (user := policy.user_of(talk.employee)) is not None]
    if answered:
        user = (talkers[-1] if talkers else named_talker(view)) or policy.default_user
    elif entry.direction == "in":
        user = line_user or policy.default_user
    else:
        user = _caller(view) or policy.default_user
    transferred_to = view.known.handed_to if view.known.handed_to is not None else _handed_over(view)
    mode = policy.calls.transfer_responsible
    if transferred_to is not None and mode != "never":
        responsible = transferred_to
    elif (holder := _continued_holder(view, talkers)) is not None:
        responsible = holder
    elif line_user is not None:
        responsible = line_user
    else:
        responsible = talkers[0] if mode == "never" and talkers else user
    return End(complete, due, answered, outcome, user, responsible, transferred_to)


def _continued_holder(view: View, talkers: list[int]) -> int | None:
    """Who has the records of a conversation that this entry continues: its talker; else who has them already."""
    before = view.known.continues
    if before is None:
        return None
    talker = talkers[-1] if talkers else named_talker(view)
    if talker is None or view.policy.calls.transfer_responsible == "never":
        return before.responsible
    return talker


def _handed_over(view: View) -> int | None:
    """The mapped user to whom the last completed transfer handed the client; None where nobody handed it over, or only to
    somebody without a user. A client who comes back to the first talker by a second transfer was handed over too; a blind
    transfer that nobody took was not."""
    talks = view.entry.talks
    handed = (
        view.policy.user_of(after.employee)
        for before, after in itertools.pairwise(talks)
        if after.employee != before.employee
    )
    return next((user for user in reversed(list(handed)) if user is not None), None)


def _complete(view: View) -> tuple[bool, float | None]:
    """(is it over, else when to ask again)."""
    entry, clock = view.entry, view.clock
    if entry.ended is not None:
        if _consistent(view):
            return True, None
        until = (clock.heard_end if clock.heard_end is not None else clock.heard) + SETTLE_SECONDS
        return clock.now >= until, until
    if entry.legs and entry.all_ended:
        until = clock.heard + view.policy.quiet_seconds
        return clock.now >= until, until
    return clock.now >= clock.heard + SILENT_SECONDS, None


def _consistent(view: View) -> bool:
    """Has every leg seen ended, is none of its notifications missing, and do they show the talk that the summary names?"""
    entry = view.entry
    if not entry.all_ended or entry.ended is None or any(leg.has_gap for leg in entry.legs):
        return False
    if not entry.ended.talk_at:
        return not entry.talks
    if entry.direction == "internal":
        return bool(entry.legs)
    if entry.legs and max(leg.last.at for leg in entry.legs) < entry.ended.ended_at - _TALK_SLACK:
        return False  # the leg to which the client was handed has not been seen
    if not entry.talks or min(talk.start for talk in entry.talks) > entry.ended.talk_at + _TALK_SLACK:
        return False  # the leg of the first talk has not been seen
    named = _named(view)
    return named is None or any(talk.employee.extension == named for talk in entry.talks)


def _named(view: View) -> str | None:
    """The extension that the summary names as the talker."""
    ended = view.entry.ended
    if ended is None:
        return None
    party = ended.callee if ended.direction == "in" else ended.caller
    found = view.policy.employee(party)
    return found.extension if found else None


def named_talker(view: View) -> int | None:
    """The user whom the summary names as the talker."""
    ended = view.entry.ended
    if ended is None:
        return None
    party = view.policy.employee(ended.callee if ended.direction == "in" else ended.caller)
    return view.policy.user_of(party) if party else None


def _caller(view: View) -> int | None:
    """Who tried to reach the client: the first person rung or dialling, else the summary's."""
    for ring in view.entry.rings:
        user = view.policy.user_of(ring.employee)
        if user is not None:
            return user
    return named_talker(view)


def finish(view: View, end: End) -> None:
    """Once, when the call is over; the caller has asked for what it makes in the CRM. Cards of all others are hidden before it."""
    if not end.complete or view.ledger.finish() is not None or view.ledger.register() is None:
        return
    others = sorted(view.ledger.shown() - {end.user})
    if others:
        view.ledger.add(HideCard(key=view.ledger.next_key("hide", HideCard), users=tuple(others)))
    reason = view.entry.reason
    if end.answered:
        status, words = "200", ""
    else:
        status = "304" if view.entry.direction == "in" else view.policy.words.failed_status(reason)
        words = view.policy.words.reason(reason) if reason else ""
    view.ledger.add(
        Finish(
            key=view.ledger.next_key("finish", Finish),
            user_id=end.user,
            seconds=view.entry.talk_seconds,
            status=status,
            reason=words,
            number=view.number,
        )
    )
    if not end.answered:
        _tell_who_asked(view, end, words)
    client = record_queries.client_record(view)
    if client is not None and view.client is not None:
        view.ledger.add(ReadClient(key="read-client", number=view.client, record=client))
        if client.entity in ("contact", "company"):
            view.ledger.add(ReadDeals(key="read-deals", record=client))


def _tell_who_asked(view: View, end: End, words: str) -> None:
    """A click that reached nobody is told to whoever clicked; a form callback, which nobody watched, to whoever answers for the line."""
    told = {"click": view.known.click_user, "callback": end.responsible if view.known.form_callback and view.known.tells else None}
    for kind, user in told.items():
        if user is not None:
            text = f"{view.policy.words.title(kind, view.number)}: {words}".rstrip(": ")
            view.ledger.add(Notify(key=f"notify-{kind}", user_id=user, text=text))
