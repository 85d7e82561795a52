"""The dry run on the rules page: the draft on the last calls, beside what really happened. Nothing is sent to
Bitrix24."""

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
    """One call of the table. Rules are named by their labels; an empty label: no rule."""

    call: Call
    actual_rule: str
    actual_sentences: list[str]
    draft_rule: str
    draft_sentences: list[str]
    is_different: bool


@dataclass(frozen=True)
class DryRunTable:
    """The calls of a dry run."""

    rows: list[CallComparison] = field(default_factory=list)
    has_faults: bool = False
    """The draft has faults, so it cannot be tried."""

    @property
    def different_count(self) -> int:
        """How many calls the draft would handle differently."""
        return sum(row.is_different for row in self.rows)


@dataclass(frozen=True)
class DraftCondition:
    """One condition of a trace in words."""

    label: str
    expected: str
    actual: str
    is_fulfilled: bool | None


def try_last_calls(items: list[RuleItem]) -> DryRunTable:
    """The draft on the last calls."""
    draft = _parse_draft(items)
    if draft is None:
        return DryRunTable(has_faults=True)
    calls = dry_run.load_last_calls(db.session(), g.portal.id, CALL_LIMIT)
    rows = dry_run.compare_rules(db.session(), g.portal, draft, calls)
    names = _load_names(rows, draft)
    return DryRunTable([_compare_call(row, names) for row in rows])


def describe_changes(items: list[RuleItem]) -> str:
    """What saving would change, in sentences: which rules it removes, and what the draft (if it has no faults) would
    decide otherwise."""
    return " ".join(sentence for sentence in (_describe_removals(items), _describe_decisions(items)) if sentence)


def _describe_removals(items: list[RuleItem]) -> str:
    """The rules that saving removes, with the calls that they decided in seven days. A renamed rule is not removed."""
    draft_names = {str(item.rule.get("name")) for item in items}
    draft_contents = {_rule_content(item.rule) for item in items}
    saved: list[dict[str, Any]] = document.dump(rendering.load_settings())["rules"]
    missing = [rule for rule in saved if rule["name"] not in draft_names and _rule_content(rule) not in draft_contents]
    if not missing:
        return ""
    counts = call_counts.count_calls_by_rule()
    call_count = sum(counts.get(str(rule["name"]), (0, 0))[0] for rule in missing)
    rules = ngettext("%(num)d rule will be removed", "%(num)d rules will be removed", len(missing))
    calls = ngettext("%(num)d call in the last 7 days", "%(num)d calls in the last 7 days", call_count)
    return str(gettext("%(rules)s, which applied to %(calls)s.", rules=rules, calls=calls))


def _rule_content(rule: dict[str, Any]) -> str:
    return json.dumps([rule.get("when"), rule.get("do")], sort_keys=True, default=str)


def _describe_decisions(items: list[RuleItem]) -> str:
    table = try_last_calls(items)
    count, different = len(table.rows), table.different_count
    if not count:
        return ""
    if different:
        sentence = gettext(
            "These rules would handle %(different)s of the last %(count)s calls differently.",
            different=different,
            count=count,
        )
    else:
        sentence = gettext(
            "These rules would handle all of the last %(count)s calls in the same way.",
            count=count,
        )
    return str(sentence)


def explain_call(items: list[RuleItem], call_id: int) -> dict[str, Any]:
    """The trace of one call for its template: every rule of the draft with its conditions, and what the draft would
    make."""
    draft = _parse_draft(items)
    call = db.session.get(Call, call_id)
    if draft is None or call is None or call.portal_id != g.portal.id:
        raise NotFound
    rows = dry_run.compare_rules(db.session(), g.portal, draft, [call])
    if not rows:
        raise NotFound
    names = _load_names(rows, draft)
    rules = [
        {
            "label": rule_labels.rule_label(trace.rule),
            "verdict": trace.verdict,
            "conditions": [_draft_condition(condition, names) for condition in trace.conditions],
        }
        for trace in rows[0].rule_trace
    ]
    return {
        "rules": rules,
        "matched": any(rule["verdict"] == "matched" for rule in rules),
        "actions": _action_sentences(rows[0].draft, names),
    }


def _parse_draft(items: list[RuleItem]) -> Settings | None:
    """The saved document with the draft's rules. None: it has faults."""
    data = document.dump(rendering.load_settings()) | {"rules": [item.rule for item in items]}
    try:
        return document.parse(data, settings.current(g.portal), keyed=settings.pbxs_with_keys(g.portal)).settings
    except DocumentError:
        return None


def _load_names(rows: list[DryRunRow], draft: Settings) -> DisplayNames:
    results = [result for row in rows for result in (row.actual, row.draft)]
    users = {action["user"] for result in results for action in result.actions if "user" in action}
    dictionaries = crm_dictionaries.load(rule_presentation.portal_id())
    return rule_presentation.build_names(draft, dictionaries, directory.by_ids(users))


def _compare_call(row: DryRunRow, names: DisplayNames) -> CallComparison:
    return CallComparison(
        call=row.call,
        actual_rule=rule_labels.rule_label(row.actual.rule or ""),
        actual_sentences=_action_sentences(row.actual, names),
        draft_rule=rule_labels.rule_label(row.draft.rule or ""),
        draft_sentences=_action_sentences(row.draft, names),
        is_different=row.differs,
    )


def _action_sentences(result: RuleResult, names: DisplayNames) -> list[str]:
    language = i18n.current_language()
    return [sentences.describe_planned_action(action, names, language, _format_moment) for action in result.actions]


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
    value = int(actual) if isinstance(actual, float) else actual
    return sentences.describe_actual(trace.condition, value, names, language)
