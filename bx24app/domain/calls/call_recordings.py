"""The recordings of a call: which one is attached to the call itself, and the portal calls that carry the others.

The call carries the recording of its last talker. Bitrix24 stores one file for a call, and a second attachment replaces
the first. So each further recording gets a portal call of its own, after the call is finished (docs/contract.md,
section 7).
"""

from __future__ import annotations

from dataclasses import dataclass

from bx24app.domain.bounds import within_a_day
from bx24app.domain.calls.call_view import CallView, Outcome
from bx24app.domain.calls.commands import Finish, Record, Register
from bx24app.domain.calls.events import Party
from bx24app.domain.calls.record_queries import find_client_record
from bx24app.domain.calls.recording_facts import RecordingFacts


@dataclass(frozen=True, slots=True)
class CallRecording:
    """One recording, and what to do with it."""

    recording_id: str
    part: int | None
    """1: attached to the call itself; 2 and more: to a portal call of its own; None: not known before the call is over,
    or never attached."""
    user_id: int
    seconds: int
    should_attach: bool
    """False: too short, not stored by the PBX, or switched off by the settings."""
    is_fetchable: bool
    url: str | None
    """Where the dialect `events` says the file is; None: ask Mango's API."""
    unconfirmed_since: int | None
    """The PBX has only said that the recording ended, at this epoch second, and not yet that the file is there."""


def plan_recordings(view: CallView, end: Outcome) -> tuple[CallRecording, ...]:
    """Every recording of the entry with its part. Adds the portal calls of further recordings once the call is
    finished."""
    facts = view.entry.recordings
    if not facts:
        return ()
    own = _own_recording(view, facts)
    parts = dict(view.context.recording_parts)
    finish = view.ledger.finish_entry()
    is_finished = finish is not None and finish.state in ("done", "dead")
    recordings = []
    for fact in facts:
        wanted = not fact.is_unrecoverable and _should_attach(view, fact)
        part = parts.get(fact.id)
        if part is None and finish is not None and wanted and fact.is_fetchable:
            if own is not None and fact.id == own.id and 1 not in parts.values():
                part = 1
            elif is_finished:
                part = max([1, *parts.values()]) + 1
            if part is not None:
                parts[fact.id] = part
        recording = CallRecording(
            fact.id,
            part if wanted else None,
            _recorded_user(view, end, fact),
            _recording_seconds(view, fact),
            wanted,
            fact.is_fetchable,
            fact.url,
            None if fact.is_added else fact.completed_at,
        )
        if part is not None and part > 1 and wanted:
            _add_portal_call(view, recording)
        recordings.append(recording)
    return tuple(recordings)


def _own_recording(view: CallView, facts: tuple[RecordingFacts, ...]) -> RecordingFacts | None:
    """The recording of the last talker; the last recording if no extension is known."""
    talks = view.entry.talks
    last = talks[-1].employee.extension if talks else None
    if last is None and view.entry.end_event is not None:
        party = view.policy.find_employee(
            view.entry.end_event.callee if view.entry.direction == "in" else view.entry.end_event.caller
        )
        last = party.extension if party else None
    stored = [fact for fact in facts if not fact.is_unrecoverable]
    named = [fact for fact in stored if last is not None and fact.extension == last]
    unnamed = [fact for fact in stored if fact.extension is None or last is None]
    return named[-1] if named else (unnamed[-1] if unnamed else None)


def _should_attach(view: CallView, fact: RecordingFacts) -> bool:
    """By the settings: the employee's row goes before the line, the line before `calls.recordings`."""
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
    """Whose talk was recorded. An extension without a user gets the default responsible: the last talker did not talk
    in it."""
    if not fact.extension:
        return end.user_id
    user = view.policy.find_user(Party(extension=fact.extension))
    return user if user is not None else view.policy.default_user


def _recording_seconds(view: CallView, fact: RecordingFacts) -> int:
    """How long the recording is: from its start to its completion, else the talk of its leg, else the talk of the call.
    """
    if fact.started_at is not None and fact.completed_at is not None:
        return within_a_day(fact.completed_at - fact.started_at)
    ended = [talk for talk in view.entry.talks if talk.end is not None]
    own = [talk for talk in ended if talk.leg == fact.leg]
    own = own or [talk for talk in ended if fact.extension and talk.employee.extension == fact.extension]
    if own:
        return within_a_day((own[0].end or 0) - own[0].start)
    return view.entry.talk_seconds


def _add_portal_call(view: CallView, recording: CallRecording) -> None:
    """The portal call of a further recording: registered without a card, and finished at once."""
    part = recording.part or 0
    if view.ledger.register_entry(part) is None:
        view.ledger.add_command(
            Register(
                key=view.ledger.next_key(f"register-{part}", Register, part),
                part=part,
                user_id=recording.user_id,
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
                user_id=recording.user_id,
                seconds=recording.seconds,
                status="200",
                number=view.phone_number,
            )
        )


def _part_external_id(external_id: str, part: int) -> str:
    suffix = f"#{part}"
    return external_id[: 64 - len(suffix)] + suffix


def _bound_record(view: CallView) -> Record | None:
    """The CRM record of the call itself: by the answer to Finish, else by the answer to Register."""
    finish = view.ledger.finish_entry()
    bound = finish.answer.get("record") if finish is not None else None
    if bound:
        return Record(bound["entity"], int(bound["id"]))
    return find_client_record(view)
