"""Rules: the one table of conditions and actions. The checks at saving, the choice of a rule and the documentation all read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bx24app.domain import phone
from bx24app.domain.rules import checks as check
from bx24app.domain.rules.checks import Check
from bx24app.domain.settings import Settings

MOMENTS = ("ring", "answer", "end")
"""How far a call can be, in their order."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One key of `when`: what it may hold, what it means, which fact it looks at and how.

    Without `holds`, the fact must be one of the expected values. `holds(expected, seen)` answers None for "not yet": what is so far seen
    does not fulfil it, but may grow (who rang) or come (the moment).
    """

    check: Check
    means: str
    fact: str
    """Field of `rules.Facts`."""
    many: bool = True
    """Takes a list too: one of them is enough."""
    prepare: Callable[[Any, Settings], Any] = lambda value, settings: value
    """One value of the document -> what the fact is compared with."""
    holds: Callable[[Any, Any], bool | None] | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One key of an action."""

    check: Check
    means: str
    required: bool = False


def _begins(expected: Any, seen: Any) -> bool:
    return bool(seen) and str(seen).startswith(tuple(expected))


def _reached(expected: Any, seen: Any) -> bool | None:
    return MOMENTS.index(seen) >= MOMENTS.index(expected) or None


def _overlaps(expected: Any, seen: Any) -> bool:
    return not expected.isdisjoint(seen)


CONDITIONS: dict[str, Condition] = {
    "direction": Condition(check.one_of("in", "out"), "the call came in or went out", "direction"),
    "outcome": Condition(check.one_of("answered", "missed", "failed"), "how it ended", "outcome"),
    "client": Condition(check.one_of("new", "known"), "the client has no record in the CRM, or has one", "client"),
    "hours": Condition(check.one_of("working", "off", "any"), "the line's working hours at the call's beginning", "hours"),
    "pbx": Condition(check.pbx, "the PBX, by its key", "pbx"),
    "line": Condition(
        check.line, "the line, by its number", "line", prepare=lambda value, settings: check.line_of(str(value), settings)
    ),
    "number": Condition(
        check.beginning, "the client's number begins so", "number",
        prepare=lambda value, settings: "+" + phone.digits(str(value)), holds=_begins,
    ),
    "min_seconds": Condition(
        check.not_negative, "the talk lasted at least so long", "talk_seconds", many=False,
        holds=lambda expected, seen: seen >= expected,
    ),
    "moment": Condition(check.one_of(*MOMENTS), "not earlier than this", "moment", many=False, holds=_reached),
    "client_has_open": Condition(
        check.one_of("deal", "lead"), "the client has an open one", "open_records", holds=_overlaps
    ),
    "repeat_within_minutes": Condition(
        check.positive, "the same client called within so many minutes before", "minutes_since_last", many=False,
        holds=lambda expected, seen: seen <= expected,
    ),
    "rang": Condition(
        check.word, "this extension or group rang", "rang", prepare=lambda value, settings: str(value).strip(),
        holds=lambda expected, seen: _overlaps(expected, seen) or None,
    ),
    "weekday": Condition(
        check.one_of("mon", "tue", "wed", "thu", "fri", "sat", "sun"), "the day of the week on the line", "weekday"
    ),
}  # fmt: skip
ANYTHING = {"hours": "any"}
"""Values that fulfil their condition whatever is seen."""

ACTIONS: dict[str, dict[str, Part]] = {
    "create": {
        "entity": Part(
            check.entity, "what is made: lead, deal, contact, or a smart process by its entity type id", required=True
        ),
        "category_id": Part(check.not_negative, "the pipeline"),
        "stage_id": Part(check.word, "the stage"),
        "title": Part(check.template, "title, or a contact's name"),
        "responsible": Part(check.who, "who gets it; default: as the call's own records"),
        "source_id": Part(check.word, "the source"),
        "fields": Part(check.fields, "further fields, their texts are templates"),
        "duplicate": Part(check.one_of("skip", "allow"), "whether the client may get a second open one; default: skip"),
        "if_absent": Part(check.one_of("keep", "next"), "when the responsible's working day is closed; default: keep"),
    },
    "todo": {
        "deadline_minutes": Part(check.positive, "minutes until the deadline; default: 30"),
        "working": Part(check.flag, "count working minutes of the line; default: false"),
        "responsible": Part(check.who, "who has to do it; default: as the call's own records"),
        "title": Part(check.template, "what is to be done"),
        "if_absent": Part(check.one_of("keep", "next"), "when the responsible's working day is closed; default: keep"),
    },
    "comment": {"text": Part(check.template, "the text in the client's timeline", required=True)},
    "notify": {
        "user": Part(check.who, "who is told", required=True),
        "text": Part(check.template, "the text", required=True),
    },
    "nothing": {},
}
