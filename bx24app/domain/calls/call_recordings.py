"""Recordings: which one the call itself carries, and the portal calls of the others.

The call carries the recording of its last talker. Bitrix24 keeps one file a call (a second attach replaces the first), so each
further recording gets a portal call of its own, after the call's finish (contract, section 7).
"""

from __future__ import annotations

from dataclasses import dataclass

from bx24app.domain.calls.call_view import CallView, Outcome
from bx24app.domain.calls.commands import Finish, Record, Register
from bx24app.domain.calls.events import Party
from bx24app.domain.calls.record_queries import find_client_record
from bx24app.domain.calls.recording_facts import RecordingFacts


@dataclass(frozen=True, slots=True)
class CallRecording:
    """One recording with its place."""

    recording_id: str
    part: int | None
    """1: the call's own; 2 …: further ones; None: not known before the call is over, or it will never be fetched."""
    user_id: int
    seconds: int
    should_attach: bool
    """False: nothing to attach (too short, not kept, recording off by the settings)."""
    is_fetchable: bool
    url: str | None


def plan_recordings(view: CallView, end: Outcome) -> tuple[CallRecording, ...]:
    """Every recording of the entry with its place; registers the portal calls of further ones once the call is finished."""
    facts = view.entry.recordings
    if not facts:
        return ()
    own = _own_recording(view, facts)
    parts = dict(view.context.recording_parts)
    finish = view.ledger.finish_entry()
    told = finish is not None and finish.state in ("done", "dead")
    tapes = []
    for fact in facts:
        wanted = not fact.is_unrecoverable and _should_attach(view, fact)
        part = parts.get(fact.id)
        if part is None and finish is not None and wanted and fact.is_fetchable:
            if own is not None and fact.id == own.id and 1 not in parts.values():
                part = 1
            elif told:
                part = max([1, *parts.values()]) + 1
            if part is not None:
                parts[fact.id] = part
        tape = CallRecording(
            fact.id,
            part if wanted else None,
            _recorded_user(view, end, fact),
            _recording_seconds(view, fact),
            wanted,
            fact.is_fetchable,
            fact.url,
        )
        if part is not None and part > 1 and wanted:
            _add_portal_call(view, end, tape)
        tapes.append(tape)
    return tuple(tapes)


def _own_recording(view: CallView, facts: tuple[RecordingFacts, ...]) -> RecordingFacts | None:
    """The recording of the last talker; where no extension was told, the last one."""
    talks = view.entry.talks
    last = talks[-1].employee.extension if talks else None
    if last is None and view.entry.end_event is not None:
        party = view.policy.find_employee(
            view.entry.end_event.callee if view.entry.direction == "in" else view.entry.end_event.caller
        )
        last = party.extension if party else None
    kept = [fact for fact in facts if not fact.is_unrecoverable]
    named = [fact for fact in kept if last is not None and fact.extension == last]
    unnamed = [fact for fact in kept if fact.extension is None or last is None]
    return named[-1] if named else (unnamed[-1] if unnamed else None)


def _should_attach(view: CallView, fact: RecordingFacts) -> bool:
    calls = view.policy.calls
    policy = calls.recordings.attach
    line = view.line
    if line is not None and line.recordings is not None:
        policy = line.recordings
    employee = view.policy.find_mapping(fact.extension)
    if employee is not None and employee.recordings is not None:
        policy = employee.recordings
    return policy == "upload" and view.entry.talk_seconds >= calls.recordings.min_seconds


def _recorded_user(view: CallView, end: Outcome, fact: RecordingFacts) -> int:
    """Whose talk it is. An extension without a user falls to the default, not to the last talker, whose talk it was not."""
    if not fact.extension:
        return end.user_id
    user = view.policy.find_user(Party(extension=fact.extension))
    return user if user is not None else view.policy.default_user


def _recording_seconds(view: CallView, fact: RecordingFacts) -> int:
    """The recording's own seconds: Started to Completed, else its leg's talk, else the call's."""
    if fact.started_at is not None and fact.completed_at is not None:
        return max(0, fact.completed_at - fact.started_at)
    over = [talk for talk in view.entry.talks if talk.end is not None]
    own = [talk for talk in over if talk.leg == fact.leg]
    own = own or [talk for talk in over if fact.extension and talk.employee.extension == fact.extension]
    if own:
        return max(0, (own[0].end or 0) - own[0].start)
    return view.entry.talk_seconds


def _add_portal_call(view: CallView, end: Outcome, tape: CallRecording) -> None:
    """The portal call of a further recording: registered without a card, finished at once."""
    part = tape.part or 0
    if view.ledger.register_entry(part) is None:
        view.ledger.add_command(
            Register(
                key=view.ledger.next_key(f"register-{part}", Register, part),
                part=part,
                user_id=tape.user_id,
                number=view.phone_number,
                type=1 if view.entry.direction == "out" else 3,
                started_at=view.entry.started_at,
                line=view.policy.line_number(view.raw_line),
                external_id=_part_external_id(view.external_id, part),
                record=_bound_record(view),
            )
        )
    if view.ledger.finish_entry(part) is None:
        view.ledger.add_command(
            Finish(
                key=view.ledger.next_key(f"finish-{part}", Finish, part),
                part=part,
                user_id=tape.user_id,
                seconds=tape.seconds,
                status="200",
                number=view.phone_number,
            )
        )


def _part_external_id(external_id: str, part: int) -> str:
    suffix = f"#{part}"
    return external_id[: 64 - len(suffix)] + suffix


def _bound_record(view: CallView) -> Record | None:
    """The first call's CRM record: what finish says it is bound to, else what register found."""
    finish = view.ledger.finish_entry()
    bound = finish.answer.get("record") if finish is not None else None
    if bound:
        return Record(bound["entity"], int(bound["id"]))
    return find_client_record(view)
