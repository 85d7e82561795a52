"""Rules: one table of conditions and actions. The checks at saving, the choice of a rule and the documentation all read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bx24app.domain import phone, templates
from bx24app.domain.settings import Rule, Settings

Found = Iterator[tuple[str, str]]
"""(path below the value, what is wrong)."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One key of `when`: what it may hold and what it means."""

    check: Callable[[Any, Settings], str | None]
    means: str


@dataclass(frozen=True, slots=True)
class Part:
    """One key of an action."""

    check: Callable[[Any, Settings], str | None]
    means: str
    required: bool = False


def _one_of(*words: str) -> Callable[[Any, Settings], str | None]:
    def check(value: Any, settings: Settings) -> str | None:
        return (
            None if value in words and isinstance(value, str) else f"must be one of {', '.join(words)}, not {value!r}"
        )

    return check


def _number(value: Any, settings: Settings) -> str | None:
    return (
        None
        if isinstance(value, str | int) and not isinstance(value, bool) and phone.digits(str(value))
        else "must be the beginning of a number"
    )


def _seconds(value: Any, settings: Settings) -> str | None:
    return (
        None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0
        else "must be a whole number, 0 or more"
    )


def _positive(value: Any, settings: Settings) -> str | None:
    return (
        None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0
        else "must be a whole number above 0"
    )


def _pbx(value: Any, settings: Settings) -> str | None:
    return None if value in settings.by_key else f"there is no PBX {value!r}"


def _line(value: Any, settings: Settings) -> str | None:
    known = {phone.digits(line.number) or line.number for pbx in settings.pbxs for line in pbx.lines}
    known |= {phone.digits(line.bitrix_number) or line.bitrix_number for pbx in settings.pbxs for line in pbx.lines}
    plain = phone.digits(str(value)) or str(value)
    return None if plain in known else f"there is no line {value!r}"


def _word(value: Any, settings: Settings) -> str | None:
    return None if isinstance(value, str | int) and str(value).strip() else "must be a text"


def _template(value: Any, settings: Settings) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return "must be a text"
    return "; ".join(templates.faults(value)) or None


def _entity(value: Any, settings: Settings) -> str | None:
    spa = str(value).isdigit() and int(value) >= 31
    return (
        None
        if value in ("lead", "deal", "contact") or spa
        else "must be lead, deal, contact, or the entity type id of a smart process"
    )


def _responsible(value: Any, settings: Settings) -> str | None:
    good = value in ("line", "answered", "owner") or (
        isinstance(value, int) and not isinstance(value, bool) and value > 0
    )
    return None if good else "must be line, answered, owner, or a user id"


def _fields(value: Any, settings: Settings) -> str | None:
    if not isinstance(value, dict):
        return "must be a mapping of field names to values"
    for name, item in value.items():
        if not isinstance(name, str):
            return "field names must be texts"
        if isinstance(item, str) and (wrong := "; ".join(templates.faults(item))):
            return f"{name}: {wrong}"
    return None


def _category(value: Any, settings: Settings) -> str | None:
    return None if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else "must be a pipeline's id"


CONDITIONS: dict[str, Condition] = {
    "direction": Condition(_one_of("in", "out"), "the call came in or went out"),
    "outcome": Condition(_one_of("answered", "missed", "failed"), "how it ended"),
    "client": Condition(_one_of("new", "known"), "the client has no record in the CRM, or has one"),
    "hours": Condition(_one_of("working", "off", "any"), "the line's working hours"),
    "pbx": Condition(_pbx, "the PBX, by its key"),
    "line": Condition(_line, "the line, by its number"),
    "number": Condition(_number, "the client's number begins so"),
    "min_seconds": Condition(_seconds, "the talk lasted at least so long"),
    "moment": Condition(_one_of("ring", "answer", "end"), "not earlier than this"),
    "client_has_open": Condition(_one_of("deal", "lead"), "the client has an open one"),
    "repeat_within_minutes": Condition(_positive, "the same client called within so many minutes before"),
    "rang": Condition(_word, "this extension or group rang"),
    "weekday": Condition(_one_of("mon", "tue", "wed", "thu", "fri", "sat", "sun"), "the day of the week on the line"),
}
SINGLE = frozenset({"min_seconds", "moment", "repeat_within_minutes"})
"""Conditions that take one value; the others take a list too."""

ACTIONS: dict[str, dict[str, Part]] = {
    "create": {
        "entity": Part(_entity, "what is made", required=True),
        "category_id": Part(_category, "the pipeline"),
        "stage_id": Part(_word, "the stage"),
        "title": Part(_template, "title, or a contact's name"),
        "responsible": Part(_responsible, "who gets it"),
        "source_id": Part(_word, "the source"),
        "fields": Part(_fields, "further fields"),
        "duplicate": Part(_one_of("skip", "allow"), "whether a second open one may be made"),
        "if_absent": Part(_one_of("keep", "next"), "what to do when the working day of the responsible is closed"),
    },
    "todo": {
        "deadline_minutes": Part(_positive, "minutes until the deadline"),
        "working": Part(
            lambda value, _: None if isinstance(value, bool) else "must be true or false",
            "count working minutes of the line",
        ),
        "responsible": Part(_responsible, "who has to do it"),
        "title": Part(_template, "what is to be done"),
    },
    "comment": {"text": Part(_template, "the text", required=True)},
    "notify": {
        "user": Part(_responsible, "who is told", required=True),
        "text": Part(_template, "the text", required=True),
    },
    "nothing": {},
}


def faults(settings: Settings) -> Found:
    """What is wrong with the rules of a document, with full paths."""
    for index, rule in enumerate(settings.rules):
        for path, message in _rule(rule, settings):
            yield f"rules[{index}].{path}", message


def _rule(rule: Rule, settings: Settings) -> Found:
    for key, value in rule.when.items():
        condition = CONDITIONS.get(key)
        if condition is None:
            yield f"when.{key}", f"is not a known condition; known are {', '.join(CONDITIONS)}"
            continue
        values = value if isinstance(value, list) and key not in SINGLE else [value]
        if not values:
            yield f"when.{key}", "must not be an empty list"
        for item in values:
            wrong = condition.check(item, settings)
            if wrong:
                yield f"when.{key}", wrong
    if not rule.do:
        yield "do", "must name at least one action"
    for index, action in enumerate(rule.do):
        yield from _action(f"do[{index}]", action, settings)


def _action(path: str, action: dict[str, Any], settings: Settings) -> Found:
    if len(action) != 1:
        yield path, "must be one action, such as `todo: {…}`"
        return
    [(name, parts)] = action.items()
    table = ACTIONS.get(name)
    if table is None:
        yield f"{path}.{name}", f"is not a known action; known are {', '.join(ACTIONS)}"
        return
    parts = {} if parts is None else parts
    if not isinstance(parts, dict):
        yield f"{path}.{name}", "must be a mapping"
        return
    for key, value in parts.items():
        part = table.get(key)
        wrong = (
            f"is not known here; known are {', '.join(table) or 'none'}"
            if part is None
            else part.check(value, settings)
        )
        if wrong:
            yield f"{path}.{name}.{key}", wrong
    for key, part in table.items():
        if part.required and key not in parts:
            yield f"{path}.{name}.{key}", "is missing"


def users(settings: Settings) -> Iterator[tuple[str, int]]:
    """(path, user id) of everybody whom the rules name."""
    for index, rule in enumerate(settings.rules):
        for place, action in enumerate(rule.do):
            for name, parts in action.items():
                for key in ("responsible", "user"):
                    value = parts.get(key) if isinstance(parts, dict) else None
                    if isinstance(value, int) and not isinstance(value, bool):
                        yield f"rules[{index}].do[{place}].{name}.{key}", value
