"""Rules: the one table of conditions and actions. The checks at saving, the choice of a rule and the documentation all read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bx24app.domain import phone
from bx24app.domain.rules import checks as check
from bx24app.domain.rules.checks import ValueCheck
from bx24app.domain.settings import Settings

MOMENTS = ("ring", "answer", "end")
"""How far a call can be, in their order."""


@dataclass(frozen=True, slots=True)
class ConditionSpec:
    """One key of `when`: what it may hold, what it means, which fact it looks at and how.

    Without `holds`, the fact must be one of the expected values. `holds(expected, seen)` answers None for "not yet": what is so far seen
    does not fulfil it, but may grow (who rang) or come (the moment).
    """

    check: ValueCheck
    description: str
    fact: str
    """Field of `rules.Facts`."""
    accepts_list: bool = True
    """Takes a list too: one of them is enough."""
    prepare: Callable[[Any, Settings], Any] = lambda value, settings: value
    """One value of the document -> what the fact is compared with."""
    holds: Callable[[Any, Any], bool | None] | None = None


@dataclass(frozen=True, slots=True)
class ActionPart:
    """One key of an action."""

    check: ValueCheck
    description: str
    is_required: bool = False


def _has_prefix(expected: Any, seen: Any) -> bool:
    return bool(seen) and str(seen).startswith(tuple(expected))


def _is_reached(expected: Any, seen: Any) -> bool | None:
    return MOMENTS.index(seen) >= MOMENTS.index(expected) or None


def _has_overlap(expected: Any, seen: Any) -> bool:
    return not expected.isdisjoint(seen)


CONDITIONS: dict[str, ConditionSpec] = {
    "direction": ConditionSpec(check.one_of("in", "out"), "the call came in or went out", "direction"),
    "outcome": ConditionSpec(check.one_of("answered", "missed", "failed"), "how it ended", "outcome"),
    "client": ConditionSpec(check.one_of("new", "known"), "the client has no record in the CRM, or has one", "client"),
    "hours": ConditionSpec(check.one_of("working", "off", "any"), "the line's working hours at the call's beginning", "hours"),
    "pbx": ConditionSpec(check.pbx_key, "the PBX, by its key", "pbx"),
    "line": ConditionSpec(
        check.line_number, "the line, by its number", "line", prepare=lambda value, settings: check.line_digits(str(value), settings)
    ),
    "number": ConditionSpec(
        check.number_prefix, "the client's number begins so", "number",
        prepare=lambda value, settings: "+" + phone.digits_only(str(value)), holds=_has_prefix,
    ),
    "min_seconds": ConditionSpec(
        check.not_negative, "the talk lasted at least so long", "talk_seconds", accepts_list=False,
        holds=lambda expected, seen: seen >= expected,
    ),
    "moment": ConditionSpec(check.one_of(*MOMENTS), "not earlier than this", "moment", accepts_list=False, holds=_is_reached),
    "client_has_open": ConditionSpec(
        check.one_of("deal", "lead"), "the client has an open one", "open_records", holds=_has_overlap
    ),
    "repeat_within_minutes": ConditionSpec(
        check.positive_number, "the same client called within so many minutes before", "minutes_since_last", accepts_list=False,
        holds=lambda expected, seen: seen <= expected,
    ),
    "rang": ConditionSpec(
        check.non_empty_text, "this extension or group rang", "rang", prepare=lambda value, settings: str(value).strip(),
        holds=lambda expected, seen: _has_overlap(expected, seen) or None,
    ),
    "weekday": ConditionSpec(
        check.one_of("mon", "tue", "wed", "thu", "fri", "sat", "sun"), "the day of the week on the line", "weekday"
    ),
}  # fmt: skip
WILDCARD_VALUES = {"hours": "any"}
"""Values that fulfil their condition whatever is seen."""

ACTIONS: dict[str, dict[str, ActionPart]] = {
    "create": {
        "entity": ActionPart(
            check.entity_type, "what is made: lead, deal, contact, or a smart process by its entity type id", is_required=True
        ),
        "category_id": ActionPart(check.not_negative, "the pipeline"),
        "stage_id": ActionPart(check.non_empty_text, "the stage"),
        "title": ActionPart(check.template_text, "title, or a contact's name"),
        "responsible": ActionPart(check.user_or_role, "who gets it; default: as the call's own records"),
        "source_id": ActionPart(check.non_empty_text, "the source"),
        "fields": ActionPart(check.field_values, "further fields, their texts are templates"),
        "duplicate": ActionPart(check.one_of("skip", "allow"), "whether the client may get a second open one; default: skip"),
        "if_absent": ActionPart(check.one_of("keep", "next"), "when the responsible's working day is closed; default: keep"),
    },
    "todo": {
        "deadline_minutes": ActionPart(check.positive_number, "minutes until the deadline; default: 30"),
        "working": ActionPart(check.true_or_false, "count working minutes of the line; default: false"),
        "responsible": ActionPart(check.user_or_role, "who has to do it; default: as the call's own records"),
        "title": ActionPart(check.template_text, "what is to be done"),
        "if_absent": ActionPart(check.one_of("keep", "next"), "when the responsible's working day is closed; default: keep"),
    },
    "comment": {"text": ActionPart(check.template_text, "the text in the client's timeline", is_required=True)},
    "notify": {
        "user": ActionPart(check.user_or_role, "who is told", is_required=True),
        "text": ActionPart(check.template_text, "the text", is_required=True),
    },
    "nothing": {},
}
