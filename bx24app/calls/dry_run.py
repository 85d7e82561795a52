"""USE CASE: the dry run tries a draft of the rules on past calls and sets the result beside what really happened.

The rules page and `bx24app rules try` call it; nothing is sent to the portal. Facts, choice and actions come from the
functions that the worker uses (`rules.compute_facts`, `rules.choose_rule`, `rule_case.plan_actions`), fed from what the
worker stored on the call's row. What no rule had asked when the call was made (the client's open records, the previous
call) is filled in from the journal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache, partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bx24app import settings
from bx24app.calls.fold.portal_fold import user_name
from bx24app.calls.fold.titles import titles_for
from bx24app.domain import phone, rules
from bx24app.domain.calls import plan as plans
from bx24app.domain.calls.policy import Policy
from bx24app.domain.calls.rule_case import PlannedAction, RuleCase, default_actions, plan_actions
from bx24app.domain.rules import CallSnapshot, ParsedRule, RuleChoice, RuleFacts, RuleTrace, choose_rule
from bx24app.domain.rules.actions import CreateAction, NothingAction, NotifyAction
from bx24app.domain.settings import LineSettings, PbxSettings, Settings
from bx24app.models import Call, Portal, PortalUser
from bx24app.models.call_facts import CallFacts, StoredCase

MAX_CALLS = 1000
"""Calls of one dry run."""
_CHUNK = 400


@dataclass(frozen=True, slots=True)
class NameLookup:
    """The portal's employees: their names by id, and the dismissed, who get nothing."""

    name_of: Callable[[int], str]
    dismissed_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What a set of rules makes of a call. `rule` None: no rule holds, so `calls.*` do."""

    rule: str | None
    actions: tuple[dict[str, Any], ...]
    """`{action, …}` with the values that would leave: entity, title, user, deadline and so on."""


@dataclass(frozen=True, slots=True)
class DryRunRow:
    """One call of a dry run."""

    call: Call
    actual: RuleResult
    """By the settings with which the call was made."""
    draft: RuleResult
    """By the draft."""
    choice: RuleChoice
    """Of the draft."""

    @property
    def rule_trace(self) -> tuple[RuleTrace, ...]:
        """Every rule of the draft with every condition. Computed at access only: for a thousand calls it takes a
        second."""
        return self.choice.trace

    @property
    def differs(self) -> bool:
        """Would the draft make something else? A rule of another name that makes the same is no difference."""
        return self.actual.actions != self.draft.actions


def load_last_calls(session: Session, portal_id: int, limit: int) -> Sequence[Call]:
    """The newest finished calls that rules apply to, newest first."""
    query = select(Call).where(Call.portal_id == portal_id, Call.visible.is_(True), Call.state != "open")
    query = query.where(Call.direction != "internal", Call.outcome.is_not(None))
    return session.scalars(query.order_by(Call.started_at.desc(), Call.id.desc()).limit(min(limit, MAX_CALLS))).all()


def load_entry_calls(session: Session, portal_id: int, entry_id: str) -> Sequence[Call]:
    """The calls of an entry id. Two PBXs may use the same one."""
    return session.scalars(select(Call).where(Call.portal_id == portal_id, Call.entry_id == entry_id)).all()


def compare_rules(session: Session, portal: Portal, draft: Settings, calls: Iterable[Call]) -> list[DryRunRow]:
    """The draft against these calls, beside what really happened. Calls that the fold never decided are left out."""
    parsed = rules.parse_rules(draft)  # uncached: a draft must not outlive its dry run
    dismissed = select(PortalUser.user_id).where(PortalUser.portal_id == portal.id, PortalUser.active.is_(False))
    names = NameLookup(lru_cache(maxsize=None)(partial(user_name, portal.id)), frozenset(session.scalars(dismissed)))
    decided = [(call, stored) for call in calls if (stored := call.read_facts()).rule_facts]
    previous: dict[int, float] = {}
    if plans.needs_previous_call(parsed):
        previous = _previous_call_times(session, portal.id, [call for call, _ in decided])

    def compare(call: Call, stored: CallFacts) -> DryRunRow:
        own = settings.of_version(call.settings_version_id)
        own_rule = next((rule for rule in rules.get_parsed_rules(own) if rule.name == call.rule), None)
        by_own = _PastCall(call, stored, _make_policy(portal, names, own, call))
        by_draft = _PastCall(call, stored, _make_policy(portal, names, draft, call))
        facts = by_draft.final_facts(previous.get(call.id))
        choice = choose_rule(parsed, facts)
        actual = _rule_result(by_own, by_own.final_facts(None), own_rule)
        return DryRunRow(call, actual, _rule_result(by_draft, facts, choice.rule), choice)

    return [compare(call, stored) for call, stored in decided]


def compute_seen_facts(document: Settings, call: Call) -> RuleFacts:
    """The facts by which the fold decided the call last. `document`: the settings with which the call began."""
    stored = call.read_facts()
    policy = Policy(document, _pbx_settings(document, call), titles_for("en"))
    facts, seen = rules.compute_facts(_PastCall(call, stored, policy).snapshot), stored.rule_facts or {}
    return replace(facts, **{name: seen[name] for name in ("pbx", "line", "hours", "weekday") if name in seen})


@dataclass(frozen=True)
class _PastCall:
    """A call of the journal under one settings document, which `policy` stands for."""

    call: Call
    stored: CallFacts
    policy: Policy

    @cached_property
    def case(self) -> StoredCase:
        return self.stored.rule_case or {}

    @cached_property
    def line(self) -> LineSettings | None:
        return self.policy.find_line(self.case.get("raw_line"))

    @cached_property
    def snapshot(self) -> CallSnapshot:
        """The call as the fold knew it last."""
        return rules.snapshot_from_json(
            self.stored.rule_facts or {},
            started_at=self.call.started_at,
            timezone=self.policy.settings.portal.timezone,
            pbx_key=self.call.pbx_key,
            line=self.line,
            raw_line=self.case.get("raw_line"),
        )

    def final_facts(self, previous_call_at: float | None) -> RuleFacts:
        """The facts now that the call is over. `previous_call_at`: of `_previous_call_times`."""
        snapshot = self.snapshot
        minutes, open_records = snapshot.minutes_since_last, snapshot.open_records
        if minutes is None:
            minutes = rules.minutes_between(previous_call_at, self.call.started_at.timestamp())
        if open_records is None:
            open_records = self._find_open_records()
        return rules.compute_facts(
            replace(snapshot, moment="end", open_records=open_records, minutes_since_last=minutes)
        )

    def _find_open_records(self) -> frozenset[str] | None:
        """What the client had open besides what this call made, as it was read with finish; None: that is not known."""
        client = self.snapshot.client
        if client != "known":
            return frozenset() if client == "new" else None
        record = self.stored.record
        if self.stored.client_deals is None and record is not None and record["entity"] in ("contact", "company"):
            return None  # not asked yet, or refused
        created = {(made["entity"], made["id"]) for made in self.call.crm or () if made["created"]}
        deals = [deal for deal in self.stored.client_deals or () if ("deal", deal["id"]) not in created]
        is_lead = record is not None and record["entity"] == "lead"
        return frozenset((["deal"] if deals else []) + (["lead"] if is_lead else []))


def _make_policy(portal: Portal, names: NameLookup, document: Settings, call: Call) -> Policy:
    return Policy(
        document,
        _pbx_settings(document, call),
        titles_for(portal.lang),
        crm_mode=portal.crm_mode,
        dismissed_users=names.dismissed_ids,
        user_name=names.name_of,
    )


def _pbx_settings(document: Settings, call: Call) -> PbxSettings:
    return document.by_key.get(call.pbx_key) or PbxSettings.model_construct(key=call.pbx_key)


def _rule_result(past: _PastCall, facts: RuleFacts, rule: ParsedRule | None) -> RuleResult:
    actions = rule.actions if rule else default_actions(facts, past.policy) or ()
    planned_actions = plan_actions(_rule_case(past, facts), actions, past.policy)
    if past.call.continues or not _has_crm_number(past):
        planned_actions = tuple(planned for planned in planned_actions if isinstance(planned.action, NotifyAction))
    if rule is None and facts.client != "new":  # calls.* make records for unknown clients only
        planned_actions = tuple(planned for planned in planned_actions if not isinstance(planned.action, CreateAction))
    return RuleResult(rule.name if rule else None, tuple(as_plain(planned) for planned in planned_actions))


def _has_crm_number(past: _PastCall) -> bool:
    """As `CallView.crm_number`: an anonymous caller, a short number and a colleague's mobile get no records."""
    number = phone.normalise(past.call.client_number)
    return number is not None and number not in past.policy.pbx.by_mobile


def _rule_case(past: _PastCall, facts: RuleFacts) -> RuleCase:
    call, case, policy = past.call, past.case, past.policy
    stays = policy.calls.transfer_responsible == "never"
    transferred_to = None if stays else case.get("transferred_to")
    line_user = policy.line_responsible(past.line, case.get("pick"))
    talker = call.user_id or policy.default_user
    first_user = call.users[0] if stays and call.users else talker
    ended = call.ended_at or call.started_at
    return RuleCase(
        facts=facts,
        entry_id=call.entry_id,
        client_number=call.client_number,
        client_name=case.get("client_name") or "",
        line=past.line,
        raw_line=case.get("raw_line"),
        started_at=int(call.started_at.timestamp()),
        answered_at=int(call.answered_at.timestamp()) if call.answered_at else None,
        ended_at=int(ended.timestamp()),
        reason_text=policy.texts.describe_reason(call.reason) if call.reason and call.outcome != "answered" else "",
        extension=case.get("extension") or "",
        talker_id=talker,
        responsible_id=transferred_to or line_user or first_user,
        transferred_to=case.get("transferred_to"),
        manager_id=case.get("owner") or _record_owner(past.stored),
        day_statuses={int(user): str(day) for user, day in (case.get("days") or {}).items()},
        pick=case.get("pick"),
        misses=case.get("misses") or 1,
    )


def _record_owner(stored: CallFacts) -> int | None:
    records = stored.client_records or ()
    return next((record["responsible"] for record in records if record.get("responsible")), None)


def as_plain(planned: PlannedAction) -> dict[str, Any]:
    """One filled action as plain data, for pages and the command line."""
    action = planned.action
    values: dict[str, Any] = {"action": action.kind}
    if isinstance(action, CreateAction):
        values |= {"entity": str(action.entity), "category_id": action.category_id, "stage_id": action.stage_id}
        values |= {"source_id": action.source_id, "fields": dict(planned.fields)}
    if planned.deadline_at is not None:
        values["deadline_at"] = datetime.fromtimestamp(planned.deadline_at, UTC).isoformat()
    if not isinstance(action, NothingAction):
        values |= {"user": planned.user_id, "text": planned.text}
    return {name: value for name, value in values.items() if value not in (None, "", {})}


def _previous_call_times(session: Session, portal_id: int, calls: list[Call]) -> dict[int, float]:
    """Call id -> when the same client's previous call began (epoch seconds; minus infinity: there was none).

    The number of queries grows with hundreds of clients, not with each call.
    """
    numbers = sorted({call.client_number for call in calls if call.client_number})
    times: dict[str, list[float]] = defaultdict(list)
    for start in range(0, len(numbers), _CHUNK):
        query = select(Call.client_number, Call.started_at).where(
            Call.portal_id == portal_id, Call.client_number.in_(numbers[start : start + _CHUNK])
        )
        for number, at in session.execute(query):
            times[str(number)].append(at.timestamp())
    previous: dict[int, float] = {}
    for call in calls:
        started = call.started_at.timestamp()
        previous[call.id] = max((at for at in times[call.client_number or ""] if at < started), default=float("-inf"))
    return previous
