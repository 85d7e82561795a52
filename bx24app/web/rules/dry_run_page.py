"""The dry run on the rules page: the draft against the last calls, beside what really happened. Nothing is sent to the portal."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask import g
from flask_babel import gettext, ngettext
from werkzeug.exceptions import NotFound

from bx24app import settings
from bx24app.calls import dry_run
from bx24app.calls.dry_run import DryRunRow, RuleResult
from bx24app.domain import document
from bx24app.domain.document import DocumentError
from bx24app.domain.rules import CONDITIONS, NEVER, ConditionTrace, sentences
from bx24app.domain.rules.sentences import DisplayNames
from bx24app.domain.settings import Settings
from bx24app.models import Call, db
from bx24app.portals import crm_dictionaries
from bx24app.web.base import call_counts, directory, i18n, rendering, rule_labels
from bx24app.web.rules import rule_presentation
from bx24app.web.rules.rule_form import RuleItem

CALL_LIMIT = 50


@dataclass(frozen=True)
class CallComparison:
    """One call of the table. `really`, `would`: sentences; rules by their labels, empty: none."""

    call: Call
    actual_rule: str
    actual_sentences: list[str]
    draft_rule: str
    draft_sentences: list[str]
    is_different: bool


@dataclass(frozen=True)
class DryRunTable:
    """`faulty`: the draft cannot be tried."""

    rows: list[CallComparison] = field(default_factory=list)
    has_faults: bool = False

    @property
    def different_count(self) -> int:
        """How many would be decided otherwise than they were."""
        return sum(row.is_different for row in self.rows)


@dataclass(frozen=True)
class DraftCondition:
    """One condition of a trace in words."""

    label: str
    expected: str
    actual: str
    is_fulfilled: bool | None


def try_last_calls(shown: list[RuleItem]) -> DryRunTable:
    """The draft against the last calls."""
    draft = _parse_draft(shown)
    if draft is None:
        return DryRunTable(has_faults=True)
    rows = dry_run.compare_rules(db.session(), g.portal, draft, dry_run.load_last_calls(db.session(), g.portal.id, CALL_LIMIT))
    names = _load_names(rows, draft)
    return DryRunTable([_compare_call(row, names) for row in rows])


def describe_changes(shown: list[RuleItem]) -> str:
    """What saving would change, in sentences: which rules go, and what the draft would decide otherwise (where it has no faults)."""
    said = [_describe_removals(shown), _describe_decisions(shown)]
    return " ".join(one for one in said if one)


def _describe_removals(shown: list[RuleItem]) -> str:
    """Rules that saving takes away, with the calls that they decided in seven days. One that only got another name stays."""
    held = {(str(item.rule.get("name")), _rule_content(item.rule)) for item in shown}
    names, whats = {name for name, _ in held}, {what for _, what in held}
    present: list[dict[str, Any]] = document.dump(rendering.load_settings())["rules"]
    gone = [str(rule["name"]) for rule in present if rule["name"] not in names and _rule_content(rule) not in whats]
    if not gone:
        return ""
    used = call_counts.count_calls_by_rule()
    rules = ngettext("%(num)d rule will be removed", "%(num)d rules will be removed", len(gone))
    calls = ngettext("%(num)d call in 7 days", "%(num)d calls in 7 days", sum(used.get(name, (0, 0))[0] for name in gone))
    return str(gettext("%(rules)s, which decided %(calls)s.", rules=rules, calls=calls))


def _rule_content(rule: dict[str, Any]) -> str:
    return json.dumps([rule.get("when"), rule.get("do")], sort_keys=True, default=str)


def _describe_decisions(shown: list[RuleItem]) -> str:
    found = try_last_calls(shown)
    count, different = len(found.rows), found.different_count
    if not count:
        return ""
    if different:
        said = gettext(
            "These rules would decide %(different)s of the last %(count)s calls otherwise.",
            different=different,
            count=count,
        )
    else:
        said = gettext("These rules would decide all of the last %(count)s calls as they were decided.", count=count)
    return str(said)


def explain_call(shown: list[RuleItem], call_id: int) -> dict[str, Any]:
    """For the trace of one call: every rule of the draft, its conditions, what was seen, what would be made."""
    draft = _parse_draft(shown)
    call = db.session.get(Call, call_id)
    if draft is None or call is None or call.portal_id != g.portal.id:
        raise NotFound
    rows = dry_run.compare_rules(db.session(), g.portal, draft, [call])
    if not rows:
        raise NotFound
    names = _load_names(rows, draft)
    trials = [
        {
            "label": rule_labels.rule_label(one.rule),
            "verdict": one.verdict,
            "conditions": [_draft_condition(seen, names) for seen in one.conditions],
        }
        for one in rows[0].rule_trace
    ]
    return {
        "trials": trials,
        "matched": any(one["verdict"] == "matched" for one in trials),
        "would": _action_sentences(rows[0].draft, names),
    }


def _parse_draft(shown: list[RuleItem]) -> Settings | None:
    """The saved document with the draft's rules; None where it has faults."""
    data = document.dump(rendering.load_settings()) | {"rules": [item.rule for item in shown]}
    try:
        return document.parse(data, settings.current(g.portal), keyed=settings.pbxs_with_keys(g.portal)).settings
    except DocumentError:
        return None


def _load_names(rows: list[DryRunRow], draft: Settings) -> DisplayNames:
    users = {
        action["user"]
        for row in rows
        for said in (row.actual, row.draft)
        for action in said.actions
        if "user" in action
    }
    return rule_presentation.build_names(draft, crm_dictionaries.load(rule_presentation.portal_id()), directory.by_ids(users))


def _compare_call(row: DryRunRow, names: DisplayNames) -> CallComparison:
    return CallComparison(
        call=row.call,
        actual_rule=rule_labels.rule_label(row.actual.rule or ""),
        actual_sentences=_action_sentences(row.actual, names),
        draft_rule=rule_labels.rule_label(row.draft.rule or ""),
        draft_sentences=_action_sentences(row.draft, names),
        is_different=row.differs,
    )


def _action_sentences(said: RuleResult, names: DisplayNames) -> list[str]:
    return [sentences.describe_planned_action(action, names, i18n.current_language(), _format_moment) for action in said.actions]


def _format_moment(iso: str) -> str:
    return i18n.format_moment(datetime.fromisoformat(iso))


def _draft_condition(trace: ConditionTrace, names: DisplayNames) -> DraftCondition:
    language = i18n.current_language()
    return DraftCondition(
        CONDITIONS[trace.condition].label.in_language(language),
        sentences.describe_expected(trace.condition, trace.expected, names, language),
        _describe_actual(trace, names, language),
        trace.is_fulfilled,
    )


def _describe_actual(trace: ConditionTrace, names: DisplayNames, language: str) -> str:
    actual = trace.actual
    if actual is None:
        return str(gettext("unknown"))
    if actual == NEVER:
        return str(gettext("never"))
    if actual in ([], ""):
        return str(gettext("none"))
    return sentences.describe_actual(trace.condition, int(actual) if isinstance(actual, float) else actual, names, language)
