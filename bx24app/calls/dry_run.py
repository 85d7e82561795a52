"""USE CASE: the dry run: a draft of the rules against the last calls, beside what really happened. Nothing is sent to the portal.

Rules are chosen and filled by the functions that the worker uses (`domain.rules.choose`, `domain.case.plan`), from the facts that the
worker kept of each call. What no rule had asked about when the call was made (what the client had open) counts as it was read at the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
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
from bx24app.domain.rules import NEVER, ParsedRule, RuleChoice, RuleFacts, RuleTrace, choose_rule
from bx24app.domain.rules.actions import CreateAction, NotifyAction
from bx24app.domain.settings import PbxSettings, Settings
from bx24app.domain.working_hours import is_open, weekday_name
from bx24app.models import Call, Portal, PortalUser
from bx24app.models.call_facts import StoredCase

MAX_CALLS = 1000
"""Calls of one dry run."""
_CHUNK = 400


@dataclass(frozen=True, slots=True)
class NameLookup:
    """The portal's employees: `of` names one by the id, `dismissed` get nothing."""

    name_of: Callable[[int], str]
    dismissed_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What a set of rules says of a call. `rule` None: none matches, `calls.*` hold."""

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
        """Every rule of the draft with every condition, expected and seen. Made when somebody looks: a thousand calls are a second."""
        return self.choice.trace

    @property
    def differs(self) -> bool:
        """Would the draft make something else? A rule of another name that makes the same is no difference."""
        return self.actual.actions != self.draft.actions


def load_last_calls(session: Session, portal_id: int, last: int) -> Sequence[Call]:
    """The newest finished calls that rules had a say in, newest first."""
    query = select(Call).where(Call.portal_id == portal_id, Call.visible.is_(True), Call.state != "open")
    query = query.where(Call.direction != "internal", Call.outcome.is_not(None))
    return session.scalars(query.order_by(Call.started_at.desc(), Call.id.desc()).limit(min(last, MAX_CALLS))).all()


def load_entry_calls(session: Session, portal_id: int, entry_id: str) -> Sequence[Call]:
    """The calls of an entry id (it may repeat over PBXs)."""
    return session.scalars(select(Call).where(Call.portal_id == portal_id, Call.entry_id == entry_id)).all()


def compare_rules(session: Session, portal: Portal, draft: Settings, calls: Iterable[Call]) -> list[DryRunRow]:
    """The draft against these calls, side by side with what really happened. Calls that never were decided about are left out."""
    parsed = rules.parse_rules(draft)  # not `plans.rules_of`: a draft must not outlive its dry run in a cache
    gone = select(PortalUser.user_id).where(PortalUser.portal_id == portal.id, PortalUser.active.is_(False))
    named = NameLookup(lru_cache(maxsize=None)(partial(user_name, portal.id)), frozenset(session.scalars(gone)))
    chosen = [call for call in calls if call.read_facts().rule_facts]
    before = _previous_call_times(session, portal.id, chosen) if plans.needs_previous_call(parsed) else {}
    return [_compare_call(portal, named, draft, parsed, call, before.get(call.id)) for call in chosen]


def _compare_call(
    portal: Portal,
    named: NameLookup,
    draft: Settings,
    parsed: tuple[ParsedRule, ...],
    call: Call,
    previous: float | None,
) -> DryRunRow:
    own = settings.of_version(call.settings_version_id)
    really_chosen = next((rule for rule in plans.get_parsed_rules(own) if rule.name == call.rule), None)
    really = _rule_result(portal, named, own, call, _rule_facts(own, call, None), really_chosen)
    facts = _rule_facts(draft, call, previous)
    choice = choose_rule(parsed, facts)
    return DryRunRow(call, really, _rule_result(portal, named, draft, call, facts, choice.rule), choice)


def _rule_facts(document: Settings, call: Call, previous: float | None) -> RuleFacts:
    """The call as the conditions of a document see it: what the document itself says (hours) is asked of the document."""
    stored = call.read_facts()
    facts = rules.facts_from_json(stored.rule_facts or {})
    pbx, raw = _pbx_settings(document, call), (stored.rule_case or {}).get("raw_line")
    line = Policy(document, pbx, titles_for("en")).find_line(raw)
    at, here = call.started_at, document.portal.timezone
    own = line.working_hours[0].timezone if line and line.working_hours else None
    since = facts.minutes_since_last
    if since is None and previous is not None:
        since = NEVER if previous == float("-inf") else (at.timestamp() - previous) / 60
    return replace(
        facts,
        moment="end",
        line=(phone.digits_only(line.number) or line.number) if line else (phone.digits_only(raw) or raw) if raw else None,
        hours="working" if line is None or is_open(line.working_hours, at, here) else "off",
        weekday=weekday_name(at, own or here),
        open_records=facts.open_records if facts.open_records is not None else _open_records(call, facts),
        minutes_since_last=since,
    )


def _open_records(call: Call, facts: RuleFacts) -> frozenset[str] | None:
    """What the client had open besides what this call made; as read with finish."""
    if facts.client != "known":
        return frozenset() if facts.client == "new" else None
    made = {(one["entity"], one["id"]) for one in call.crm or () if one["created"]}
    stored = call.read_facts()
    deals = [one for one in stored.client_deals or () if ("deal", one["id"]) not in made]
    lead = stored.record is not None and stored.record["entity"] == "lead"
    return frozenset((["deal"] if deals else []) + (["lead"] if lead else []))


def _pbx_settings(document: Settings, call: Call) -> PbxSettings:
    return document.by_key.get(call.pbx_key) or PbxSettings.model_construct(key=call.pbx_key)


def _rule_result(
    portal: Portal,
    named: NameLookup,
    document: Settings,
    call: Call,
    facts: RuleFacts,
    rule: ParsedRule | None,
) -> RuleResult:
    policy = Policy(
        document, _pbx_settings(document, call), titles_for(portal.lang), crm_mode=portal.crm_mode, dismissed_users=named.dismissed_ids, user_name=named.name_of
    )
    case = _rule_case(call, facts, policy)
    actions = rule.actions if rule else default_actions(facts, policy) or ()
    planned = plan_actions(case, actions, policy)
    if call.continues:
        planned = tuple(one for one in planned if isinstance(one.action, NotifyAction))
    if rule is None and facts.client != "new":  # calls.* makes records for unknown clients alone
        planned = tuple(one for one in planned if not isinstance(one.action, CreateAction))
    return RuleResult(rule.name if rule else None, tuple(as_plain(one) for one in planned))


def _rule_case(call: Call, facts: RuleFacts, policy: Policy) -> RuleCase:
    kept: StoredCase = call.read_facts().rule_case or {}
    line = policy.find_line(kept.get("raw_line"))
    never = policy.calls.transfer_responsible == "never"
    moved = None if never else kept.get("transferred_to")
    line_user = policy.line_responsible(line, kept.get("pick"))
    talker = call.user_id or policy.default_user
    first = call.users[0] if never and call.users else talker
    ended = call.ended_at or call.started_at
    return RuleCase(
        facts=facts,
        entry_id=call.entry_id,
        client_number=call.client_number,
        client_name=kept.get("client_name") or "",
        line=line,
        raw_line=kept.get("raw_line"),
        started_at=int(call.started_at.timestamp()),
        answered_at=int(call.answered_at.timestamp()) if call.answered_at else None,
        ended_at=int(ended.timestamp()),
        reason_text=policy.texts.describe_reason(call.reason) if call.reason and call.outcome != "answered" else "",
        extension=kept.get("extension") or "",
        talker_id=talker,
        responsible_id=moved or line_user or first,
        transferred_to=kept.get("transferred_to"),
        manager_id=kept.get("owner") or _record_owner(call),
        day_statuses={int(user): str(day) for user, day in (kept.get("days") or {}).items()},
        pick=kept.get("pick"),
        misses=kept.get("misses") or 1,
    )


def _record_owner(call: Call) -> int | None:
    return next((one["responsible"] for one in call.read_facts().client_records or () if one.get("responsible")), None)


def as_plain(one: PlannedAction) -> dict[str, Any]:
    """One filled action as plain data, for pages and the command line."""
    action = one.action
    values: dict[str, Any] = {"action": type(action).__name__.removesuffix("Action").lower()}
    if isinstance(action, CreateAction):
        values |= {"entity": str(action.entity), "category_id": action.category_id, "stage_id": action.stage_id}
        values |= {"source_id": action.source_id, "fields": dict(one.fields)}
    if one.deadline_at is not None:
        values["deadline_at"] = datetime.fromtimestamp(one.deadline_at, UTC).isoformat()
    if values["action"] != "nothing":
        values |= {"user": one.user_id, "text": one.text}
    return {name: value for name, value in values.items() if value not in (None, "", {})}


def _previous_call_times(session: Session, portal_id: int, calls: list[Call]) -> dict[int, float]:
    """Call id -> when the same client's call before it began; a few queries, however many calls."""
    numbers = sorted({call.client_number for call in calls if call.client_number})
    times: dict[str, list[float]] = defaultdict(list)
    for start in range(0, len(numbers), _CHUNK):
        query = select(Call.client_number, Call.started_at).where(
            Call.portal_id == portal_id, Call.client_number.in_(numbers[start : start + _CHUNK])
        )
        for number, at in session.execute(query):
            times[str(number)].append(at.timestamp())
    found: dict[int, float] = {}
    for call in calls:
        began = call.started_at.timestamp()
        found[call.id] = max((at for at in times[call.client_number or ""] if at < began), default=float("-inf"))
    return found
