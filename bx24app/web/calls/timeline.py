"""The time line of a call in words: what came, what was decided, what was asked, what was answered, what became of its recordings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

from flask_babel import gettext
from sqlalchemy import or_, select

from bx24app import settings
from bx24app.domain import rules
from bx24app.domain.rules import sentences
from bx24app.domain.rules.sentences import DisplayNames
from bx24app.domain.settings import Settings
from bx24app.mango import codes
from bx24app.models import Call, Delivery, Notification, Recording, db
from bx24app.web.base.i18n import current_language
from bx24app.web.calls import timeline_texts as words
from bx24app.web.calls.timeline_texts import describe_command, describe_notification, describe_reason

__all__ = ["TimelineStep", "describe_command", "describe_notification", "describe_reason", "ending_reason", "load_steps", "rule_verdicts"]
DECISION_WINDOW = timedelta(milliseconds=250)
"""Deliveries that were written down within this time come from one decision."""


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """`state`: came, decided, done, waiting, dead. `request`: the method with the few values that tell one from another like it.

    `detail`: the answer, with its reason in words.
    """

    at: datetime
    state: str
    text: str
    request: str = ""
    detail: str = ""


def load_steps(call: Call, tapes: Iterable[Recording]) -> list[TimelineStep]:
    """Everything of one call in the order of time."""
    rows = list(db.session.scalars(select(Delivery).where(Delivery.call_id == call.id).order_by(Delivery.id)))
    found = [
        *_notification_steps(call),
        *_decision_steps(rows),
        *map(_delivery_step, rows),
        *(step for tape in tapes for step in _recording_steps(call, tape)),
    ]
    return sorted(found, key=lambda step: step.at)


def ending_reason(call: Call) -> str:
    """Why the call ended as it did, in the words of the PBX's code; empty where it was told none."""
    return codes.describe_code(call.reason, current_language()) if call.reason else ""


def _notification_steps(call: Call) -> list[TimelineStep]:
    joined = [Notification.entry_id == call.entry_id]
    if call.command_id:
        joined.append(Notification.command_id == call.command_id)
    senders = (call.pbx_id, 0) if call.command_id else (call.pbx_id,)
    query = select(Notification).where(
        Notification.portal_id == call.portal_id, Notification.pbx_id.in_(senders), or_(*joined)
    )
    return [
        TimelineStep(
            row.received_at,
            "dead" if row.state == "rejected" else "came",
            describe_notification(row),
            detail=words.describe_rejection(row.reason) or words.describe_body(row.body),
        )
        for row in db.session.scalars(query.limit(500))
    ]


def _decision_steps(rows: list[Delivery]) -> list[TimelineStep]:
    """One step for all that was decided at once."""
    groups: list[list[Delivery]] = []
    for row in sorted(rows, key=lambda row: (row.created_at, row.id)):
        if groups and row.created_at - groups[-1][-1].created_at < DECISION_WINDOW:
            groups[-1].append(row)
        else:
            groups.append([row])
    return [
        TimelineStep(group[-1].created_at, "decided", gettext("Decided"), detail="; ".join(dict.fromkeys(map(describe_command, group))))
        for group in groups
    ]


def _delivery_step(row: Delivery) -> TimelineStep:
    at = row.done_at or row.sent_at or row.created_at
    if row.state == "done":
        return TimelineStep(at, "done", describe_command(row), words.command_method(row), _join_parts(words.describe_answer(row), describe_reason(row), _describe_effort(row)))
    if row.state == "dead":
        return TimelineStep(at, "dead", describe_command(row), words.command_method(row), _join_parts(describe_reason(row) or gettext("refused"), _describe_effort(row)))
    # What waits stands behind the decision that it comes from.
    return TimelineStep(
        row.created_at + DECISION_WINDOW,
        "waiting",
        describe_command(row),
        words.command_method(row),
        _join_parts(describe_reason(row) or gettext("waits to be delivered"), _describe_effort(row)),
    )


def _describe_effort(row: Delivery) -> str:
    """How many tries it took and how long the answer took, where that says something."""
    tries = gettext("took %(number)s tries", number=row.attempts) if row.attempts > 1 else ""
    took = (row.done_at - row.sent_at).total_seconds() if row.done_at and row.sent_at else 0.0
    return _join_parts(tries, gettext("%(seconds)s s", seconds=f"{took:.2f}") if took > 0 else "")


def _join_parts(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _recording_steps(call: Call, tape: Recording) -> list[TimelineStep]:
    found = []
    if tape.noticed_at is not None:
        found.append(TimelineStep(tape.noticed_at, "came", gettext("The recording can be fetched"), detail=tape.recording_id))
    if tape.state == "attached" and tape.attached_at is not None:
        lag = gettext("after %(seconds)s s", seconds=f"{tape.lag_seconds:.1f}") if tape.lag_seconds is not None else ""
        found.append(TimelineStep(tape.attached_at, "done", gettext("Recording attached to the call"), words.ATTACH_METHOD, lag))
    elif tape.problem:
        at = (tape.noticed_at or call.ended_at or call.started_at) + DECISION_WINDOW
        state = "dead" if tape.state == "lost" else "waiting"
        told_words = (
            gettext("Recording not attached") if tape.state == "lost" else gettext("Recording waits for another try")
        )
        found.append(TimelineStep(at, state, told_words, words.ATTACH_METHOD, words.describe_recording_problem(tape.problem)))
    return found


@dataclass(frozen=True, slots=True)
class ConditionVerdict:
    """One condition of a rule in words, and what was seen of the call. `ok` None: it was not known yet."""

    text: str
    actual: str
    is_met: bool | None


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """One rule of the trace. `verdict`: matched, passed (over), undecided, behind (a rule above decides)."""

    rule: str
    verdict: str
    conditions: tuple[ConditionVerdict, ...]


def rule_verdicts(call: Call) -> list[RuleVerdict]:
    """Every rule of the settings that the call began with, held against what the fold had seen when it decided last."""
    stored = call.read_facts().rule_facts
    if not stored:
        return []
    names = _build_names(settings.of_version(call.settings_version_id))
    try:
        facts = rules.facts_from_json(stored)
    except TypeError:  # written by a version that kept other facts
        return []
    choice = rules.choose_rule(settings.rules_of(call.settings_version_id), facts)
    return [
        RuleVerdict(trial.rule, trial.verdict, tuple(_describe_condition(one, names) for one in trial.conditions))
        for trial in choice.trace
    ]


def _build_names(document: Settings) -> DisplayNames:
    lines = {line.number: line.name or line.number for pbx in document.pbxs for line in pbx.lines}
    return DisplayNames(
        line=lambda number: lines.get(number, number),
        pbx=lambda key: document.by_key[key].name or key if key in document.by_key else key,
    )


def _describe_condition(one: rules.ConditionTrace, names: DisplayNames) -> ConditionVerdict:
    said = sentences.describe_condition(one.condition, one.expected, names, current_language())
    return ConditionVerdict(said, _plain_text(sentences.translate_fact(one.condition, one.actual, names, current_language())), one.is_fulfilled)


def _plain_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, float):
        return f"{value:.0f}" if isfinite(value) else "–"
    return "–" if value is None else str(value)
