"""The timeline of a call in words, for its page: the steps of `calls.journal.timeline`, the reason of its end, the
verdicts of its rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from flask_babel import gettext

from bx24app import settings
from bx24app.calls import dry_run, notifications
from bx24app.calls.journal import lookup
from bx24app.calls.journal.timeline import StepKind, TimelineStep, build_timeline
from bx24app.domain import rules
from bx24app.domain.rules import sentences
from bx24app.domain.rules.sentences import DisplayNames
from bx24app.domain.settings import Settings
from bx24app.mango import codes
from bx24app.models import Call, Delivery, Recording, db
from bx24app.web.base.i18n import current_language
from bx24app.web.calls import timeline_texts as texts


@dataclass(frozen=True, slots=True)
class WordedStep:
    """A step as the page shows it.

    `state`: came, decided, done, waiting, dead; `detail`: the answer, or what else there is to say.
    """

    at: datetime
    state: str
    text: str
    request: str = ""
    detail: str = ""


def load_steps(call: Call, recordings: Iterable[Recording]) -> list[WordedStep]:
    """All steps of one call in the order of time."""
    came = notifications.load_by_call(db.session(), [call])[call.id]
    steps = build_timeline(call, came, lookup.load_deliveries(call.id), recordings)
    return [_WORDED_BY_KIND[step.kind](step) for step in steps]


def ending_reason(call: Call) -> str:
    """Why the call ended, by the PBX's code; empty where it gave none."""
    return codes.describe_code(call.reason, current_language()) if call.reason else ""


def _worded_notification(step: TimelineStep) -> WordedStep:
    [row] = step.rows
    state = "dead" if step.state == "rejected" else "came"
    detail = texts.describe_rejection(step.reason) or texts.describe_body(row.body)
    return WordedStep(step.time, state, texts.describe_notification(row), detail=detail)


def _worded_decision(step: TimelineStep) -> WordedStep:
    detail = "; ".join(dict.fromkeys(map(texts.describe_command, step.rows)))
    return WordedStep(step.time, "decided", gettext("Decided"), detail=detail)


def _worded_delivery(step: TimelineStep) -> WordedStep:
    [row] = step.rows
    reason = texts.describe_reason(row)
    if step.state == "done":
        detail = _join_parts(texts.describe_answer(row), reason, _describe_effort(row))
    elif step.state == "dead":
        missing = texts.describe_missing_answer(row)
        detail = _join_parts(reason or gettext("refused"), missing, _describe_effort(row))
    else:
        detail = _join_parts(reason or gettext("waiting for delivery"), _describe_effort(row))
    state = step.state if step.state in ("done", "dead") else "waiting"
    return WordedStep(step.time, state, texts.describe_command(row), step.request, detail)


def _describe_effort(row: Delivery) -> str:
    """How many tries it took and how long the answer took."""
    tries = gettext("attempts: %(number)s", number=row.attempts) if row.attempts > 1 else ""
    took = (row.done_at - row.sent_at).total_seconds() if row.done_at and row.sent_at else 0.0
    return _join_parts(tries, gettext("%(seconds)s s", seconds=f"{took:.2f}") if took > 0 else "")


def _join_parts(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _worded_announcement(step: TimelineStep) -> WordedStep:
    [row] = step.rows
    return WordedStep(step.time, "came", gettext("The recording is available"), detail=row.recording_id)


def _worded_recording(step: TimelineStep) -> WordedStep:
    [row] = step.rows
    if step.state == "attached":
        lag = gettext("after %(seconds)s s", seconds=f"{row.lag_seconds:.1f}") if row.lag_seconds is not None else ""
        return WordedStep(step.time, "done", gettext("Recording attached to the call"), step.request, lag)
    is_lost = step.state == "lost"
    text = gettext("Recording not attached") if is_lost else gettext("Recording waiting for the next attempt")
    detail = texts.describe_recording_problem(step.reason or "")
    return WordedStep(step.time, "dead" if is_lost else "waiting", text, step.request, detail)


_WORDED_BY_KIND: dict[StepKind, Callable[[TimelineStep], WordedStep]] = {
    "notification": _worded_notification,
    "decision": _worded_decision,
    "delivery": _worded_delivery,
    "recording_ready": _worded_announcement,
    "recording": _worded_recording,
}


@dataclass(frozen=True, slots=True)
class ConditionVerdict:
    """One condition of a rule in words, and the call's own value. `is_fulfilled` None: it was not known yet."""

    text: str
    actual: str
    is_fulfilled: bool | None


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """One rule. `verdict`: matched, passed (does not fit), undecided, behind (a rule above decides)."""

    rule: str
    verdict: str
    conditions: tuple[ConditionVerdict, ...]


def rule_verdicts(call: Call) -> list[RuleVerdict]:
    """Every rule of the settings that the call began with, judged by what the fold knew when it decided last."""
    if not call.read_facts().rule_facts:
        return []
    document = settings.of_version(call.settings_version_id)
    names = _build_names(document)
    choice = rules.choose_rule(rules.get_parsed_rules(document), dry_run.compute_seen_facts(document, call))
    return [
        RuleVerdict(
            result.rule, result.verdict, tuple(_describe_condition(condition, names) for condition in result.conditions)
        )
        for result in choice.trace
    ]


def _build_names(document: Settings) -> DisplayNames:
    lines = {line.number: line.name or line.number for pbx in document.pbxs for line in pbx.lines}
    return DisplayNames(
        line=lambda number: lines.get(number, number),
        pbx=lambda key: document.by_key[key].name or key if key in document.by_key else key,
    )


def _describe_condition(trace: rules.ConditionTrace, names: DisplayNames) -> ConditionVerdict:
    language = current_language()
    text = sentences.describe_condition(trace.condition, trace.expected, names, language)
    actual = sentences.translate_fact(trace.condition, trace.actual, names, language)
    return ConditionVerdict(text, _plain_text(actual), trace.is_fulfilled)


def _plain_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, float):
        return f"{value:.0f}" if isfinite(value) else "–"
    return "–" if value is None else str(value)
