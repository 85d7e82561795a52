"""A rule read back in words: one sentence, in Russian or English. Pure; never raises, whatever a draft holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bx24app.domain.crm_dictionaries import CrmDictionaries, DictionaryItem
from bx24app.domain.rules.phrases import ENGLISH, LANGUAGES, Phrases

MAX_TEXT_LENGTH = 60
"""Characters of a template that a sentence shows at the most."""


@dataclass(frozen=True)
class DisplayNames:
    """How things are called that a rule names by an id; what has no name is told by its id."""

    user: Callable[[int], str] = lambda number: f"#{number}"
    line: Callable[[str], str] = str
    pbx: Callable[[str], str] = str
    dictionaries: CrmDictionaries = field(default_factory=CrmDictionaries)


def describe_rule(rule: dict[str, Any], names: DisplayNames, language: str) -> str:
    """The rule's conditions and actions in words; `rule` as in the document."""
    words = LANGUAGES.get(language, ENGLISH)
    when, do = rule.get("when"), rule.get("do")
    clauses = [
        _condition_clause(key, when[key], words, names) for key in words.conditions if isinstance(when, dict) and key in when
    ]
    acts = [describe_action(one, names, language) for one in do if isinstance(one, dict)] if isinstance(do, list | tuple) else []
    head = words.begin.format(", ".join(clauses)) if clauses else words.any_call
    return head + ("; ".join(acts) or words.no_action) + "."


def describe_condition(key: str, value: Any, names: DisplayNames, language: str) -> str:
    """One condition in words."""
    return _condition_clause(key, value, LANGUAGES.get(language, ENGLISH), names)


def translate_fact(key: str, value: Any, names: DisplayNames, language: str) -> Any:
    """What a call showed of a condition, its words in place of those of the document; lists stay lists."""
    if isinstance(value, list | tuple):
        return [translate_fact(key, one, names, language) for one in value]
    _, said = LANGUAGES.get(language, ENGLISH).conditions.get(key, ("", {}))
    named = {"pbx": names.pbx, "line": names.line}.get(key)
    return named(str(value)) if named and value is not None else said.get(str(value), value)


def describe_action(action: dict[str, Any], names: DisplayNames, language: str) -> str:
    """One member of `do` in words."""
    words = LANGUAGES.get(language, ENGLISH)
    for name, parts in action.items():
        held = parts if isinstance(parts, dict) else {}
        return _DESCRIBERS[name](held, words, names) if name in _DESCRIBERS else name
    return words.no_action


def describe_planned_action(told: Mapping[str, Any], names: DisplayNames, language: str, when: Callable[[str], str]) -> str:
    """An action of one call with its values filled in, in words.

    Args:
        told: `action` and its values: `entity`, `category_id`, `stage_id`, `source_id`, `fields`, `user`, `text`, `deadline_at`.
        when: tells a moment (ISO 8601).
    """
    words = LANGUAGES.get(language, ENGLISH)
    kind, text, user = str(told.get("action")), told.get("text"), told.get("user")
    if kind == "todo":
        due = words.until.format(when(told["deadline_at"])) if told.get("deadline_at") else ""
        return _todo_phrase(words, text, due) + words.responsible.format(_user_phrase(user, words, names))
    parts = {
        "create": {**told, "title": text, "responsible": user},
        "comment": {"text": text},
        "notify": {"user": user, "text": text},
    }
    return describe_action({kind: parts.get(kind, {})}, names, language)


def describe_value(key: str, held: Any, names: DisplayNames, language: str) -> str:
    """What a condition expects, or what was seen of a call, in words; empty: nothing."""
    words = LANGUAGES.get(language, ENGLISH)
    return _value_words(key, held, words, names, words.standalone_words.get(key))


def _condition_clause(key: str, held: Any, words: Phrases, names: DisplayNames) -> str:
    frame, _ = words.conditions.get(key, (key + " {}", {}))
    return frame.format(_value_words(key, held, words, names))


def _value_words(key: str, held: Any, words: Phrases, names: DisplayNames, alone: dict[str, str] | None = None) -> str:
    said = alone or words.conditions.get(key, ("", {}))[1]
    values = held if isinstance(held, list | tuple | frozenset) else [held]
    named = {"pbx": names.pbx, "line": names.line}.get(key)
    return words.separator.join(
        words.quote.format(named(str(one))) if named else said.get(str(one), str(one)) for one in values
    )


# --- actions ---------------------------------------------------------------------------------------------------------


def _describe_create(parts: dict[str, Any], words: Phrases, names: DisplayNames) -> str:
    entity = parts.get("entity", "")
    known = words.create.get(str(entity))
    if known is None:
        known = words.create_other.format(words.quote.format(_item_name(names.dictionaries.smart_processes, entity)))
    return known + "".join(_create_phrases(parts, words, names)) + _responsible_phrase(parts, words, names)


def _create_phrases(parts: dict[str, Any], words: Phrases, names: DisplayNames) -> Iterator[str]:
    entity, category = parts.get("entity", ""), parts.get("category_id")
    place = category if isinstance(category, int) else None
    shown = {
        "category_id": lambda value: _item_name(names.dictionaries.pipelines_of(_entity_key(entity)), value),
        "stage_id": lambda value: _item_name(names.dictionaries.stages_of(_entity_key(entity), place), value),
        "source_id": lambda value: _item_name(names.dictionaries.sources, value),
        "title": _shorten_text,
    }
    for key, phrase in words.create_parts.items():
        value = parts.get(key)
        if key in shown and value not in (None, ""):
            yield phrase.format(words.quote.format(shown[key](value)))
        elif key == "fields" and isinstance(value, dict) and value:
            yield phrase.format(", ".join(map(str, value)))
        elif key == "duplicate" and value == "allow":
            yield phrase


def _entity_key(value: Any) -> str | int:
    return value if isinstance(value, str | int) else ""


def _describe_todo(parts: dict[str, Any], words: Phrases, names: DisplayNames) -> str:
    within = (words.working_minutes if parts.get("working") is True else words.minutes).format(
        parts.get("deadline_minutes", 30)
    )
    return _todo_phrase(words, parts.get("title"), words.within.format(within)) + _responsible_phrase(parts, words, names)


def _todo_phrase(words: Phrases, title: Any, due: str) -> str:
    return words.todo_titled.format(words.quote.format(_shorten_text(title)), due) if title else words.todo.format(due)


def _responsible_phrase(parts: dict[str, Any], words: Phrases, names: DisplayNames) -> str:
    who = parts.get("responsible")
    text = words.responsible.format(_user_phrase(who, words, names)) if who not in (None, "") else ""
    return text + (words.if_absent if parts.get("if_absent") == "next" else "")


def _user_phrase(value: Any, words: Phrases, names: DisplayNames) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return names.user(value)
    return words.role_names.get(str(value), str(value))


def _describe_comment(parts: dict[str, Any], words: Phrases, names: DisplayNames) -> str:
    return words.comment.format(words.quote.format(_shorten_text(parts.get("text"))))


def _describe_notify(parts: dict[str, Any], words: Phrases, names: DisplayNames) -> str:
    return words.notify.format(_user_phrase(parts.get("user", ""), words, names), words.quote.format(_shorten_text(parts.get("text"))))


def _describe_nothing(parts: dict[str, Any], words: Phrases, names: DisplayNames) -> str:
    return words.nothing


_DESCRIBERS: dict[str, Callable[[dict[str, Any], Phrases, DisplayNames], str]] = {
    "create": _describe_create,
    "todo": _describe_todo,
    "comment": _describe_comment,
    "notify": _describe_notify,
    "nothing": _describe_nothing,
}


def _item_name(offered: tuple[DictionaryItem, ...] | None, value: Any) -> str:
    return next((one.name for one in offered or () if one.id == str(value)), str(value))


def _shorten_text(value: Any) -> str:
    text = " ".join(str(value or "").split())
    return text if len(text) <= MAX_TEXT_LENGTH else text[: MAX_TEXT_LENGTH - 1] + "…"
