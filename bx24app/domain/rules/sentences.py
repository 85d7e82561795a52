"""A rule in words: one sentence, in Russian or English, whatever a draft holds. Nothing here raises.

The rules page shows the sentence of each rule, the dry run shows conditions and actions by themselves, docs/rules.md
quotes both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bx24app.domain.crm_dictionaries import CrmDictionaries, DictionaryItem
from bx24app.domain.rules.conditions import CONDITIONS
from bx24app.domain.rules.phrases import ENGLISH, LANGUAGES, Phrases

MAX_TEXT_LENGTH = 60
"""Characters of a template that a sentence shows at most."""


@dataclass(frozen=True)
class DisplayNames:
    """Names for the things that a rule names by an id. A thing without a name is shown by its id."""

    user: Callable[[int], str] = lambda number: f"#{number}"
    line: Callable[[str], str] = str
    pbx: Callable[[str], str] = str
    dictionaries: CrmDictionaries = field(default_factory=CrmDictionaries)


def describe_rule(rule: dict[str, Any], names: DisplayNames, language: str) -> str:
    """The rule's conditions and actions in words; `rule` as in the document."""
    words = LANGUAGES.get(language, ENGLISH)
    when, do = rule.get("when"), rule.get("do")
    clauses = [
        describe_condition(key, when[key], names, language)
        for key in CONDITIONS
        if isinstance(when, dict) and key in when
    ]
    actions = do if isinstance(do, list | tuple) else []
    parts = [describe_action(action, names, language) for action in actions if isinstance(action, dict)]
    head = words.begin.format(", ".join(clauses)) if clauses else words.any_call
    return head + ("; ".join(parts) or words.no_action) + "."


# --- conditions ------------------------------------------------------------------------------------------------------


def describe_condition(key: str, value: Any, names: DisplayNames, language: str) -> str:
    """One condition in words."""
    condition = CONDITIONS.get(key)
    frame = condition.phrase.in_language(language) if condition is not None else key + " {}"
    words = LANGUAGES.get(language, ENGLISH)
    return frame.format(_join_values(value, words, lambda item: _phrase_word(key, item, names, language)))


def describe_expected(key: str, value: Any, names: DisplayNames, language: str) -> str:
    """What a condition expects, by itself."""
    return _join_values(value, LANGUAGES.get(language, ENGLISH), lambda item: _word_alone(key, item, names, language))


def describe_actual(key: str, value: Any, names: DisplayNames, language: str) -> str:
    """The fact that a condition looked at, by itself. Where it is a list, all of it holds."""
    values = value if isinstance(value, list | tuple | frozenset) else [value]
    return ", ".join(_word_alone(key, item, names, language) for item in values)


def translate_fact(key: str, value: Any, names: DisplayNames, language: str) -> Any:
    """A fact with the words of sentences in place of the document's values; lists stay lists, other values stay as
    they are."""
    if isinstance(value, list | tuple):
        return [translate_fact(key, item, names, language) for item in value]
    condition = CONDITIONS.get(key)
    if condition is None or value is None:
        return value
    if condition.named_by:
        return _thing_name(condition.named_by, value, names)
    known = condition.values.get(str(value))
    return known.phrase.in_language(language) if known else value


def _join_values(value: Any, words: Phrases, describe: Callable[[Any], str]) -> str:
    values = value if isinstance(value, list | tuple | frozenset) else [value]
    return words.separator.join(map(describe, values))


def _phrase_word(key: str, value: Any, names: DisplayNames, language: str) -> str:
    known = CONDITIONS[key].values.get(str(value)) if key in CONDITIONS else None
    return known.phrase.in_language(language) if known else _quoted_name(key, value, names, language)


def _word_alone(key: str, value: Any, names: DisplayNames, language: str) -> str:
    known = CONDITIONS[key].values.get(str(value)) if key in CONDITIONS else None
    return known.alone(language) if known else _quoted_name(key, value, names, language)


def _quoted_name(key: str, value: Any, names: DisplayNames, language: str) -> str:
    kind = CONDITIONS[key].named_by if key in CONDITIONS else None
    return LANGUAGES.get(language, ENGLISH).quote.format(_thing_name(kind, value, names)) if kind else str(value)


def _thing_name(kind: Literal["pbx", "line"], value: Any, names: DisplayNames) -> str:
    return (names.pbx if kind == "pbx" else names.line)(str(value))


# --- actions ---------------------------------------------------------------------------------------------------------


def describe_action(action: dict[str, Any], names: DisplayNames, language: str) -> str:
    """One member of `do` in words."""
    words = LANGUAGES.get(language, ENGLISH)
    for name, parts in action.items():
        values = parts if isinstance(parts, dict) else {}
        return _DESCRIBERS[name](values, words, names) if name in _DESCRIBERS else name
    return words.no_action


def describe_planned_action(
    action: Mapping[str, Any], names: DisplayNames, language: str, format_moment: Callable[[str], str]
) -> str:
    """An action of one call with its values filled in, in words.

    Args:
        action: its kind (`action`) and its values: `entity`, `category_id`, `stage_id`, `source_id`, `fields`, `user`,
            `text`,
            `deadline_at`.
        format_moment: a moment (ISO 8601) in words.
    """
    words = LANGUAGES.get(language, ENGLISH)
    kind, text, user = str(action.get("action")), action.get("text"), action.get("user")
    if kind == "todo":
        due = words.until.format(format_moment(action["deadline_at"])) if action.get("deadline_at") else ""
        return _todo_phrase(words, text, due) + words.responsible.format(_user_phrase(user, words, names))
    parts = {
        "create": {**action, "title": text, "responsible": user},
        "comment": {"text": text},
        "notify": {"user": user, "text": text},
    }
    return describe_action({kind: parts.get(kind, {})}, names, language)


def _describe_create(parts: dict[str, Any], words: Phrases, names: DisplayNames) -> str:
    entity = parts.get("entity", "")
    known = words.create.get(str(entity))
    if known is None:
        known = words.create_other.format(words.quote.format(_item_name(names.dictionaries.smart_processes, entity)))
    return known + "".join(_create_phrases(parts, words, names)) + _responsible_phrase(parts, words, names)


def _create_phrases(parts: dict[str, Any], words: Phrases, names: DisplayNames) -> Iterator[str]:
    entity, category = parts.get("entity", ""), parts.get("category_id")
    pipeline = category if isinstance(category, int) else None
    shown = {
        "category_id": lambda value: _item_name(names.dictionaries.pipelines_of(_entity_key(entity)), value),
        "stage_id": lambda value: _item_name(names.dictionaries.stages_of(_entity_key(entity), pipeline), value),
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
    todo = _todo_phrase(words, parts.get("title"), words.within.format(within))
    return todo + _responsible_phrase(parts, words, names)


def _todo_phrase(words: Phrases, title: Any, due: str) -> str:
    return words.todo_titled.format(words.quote.format(_shorten_text(title)), due) if title else words.todo.format(due)


def _responsible_phrase(parts: dict[str, Any], words: Phrases, names: DisplayNames) -> str:
    user = parts.get("responsible")
    text = words.responsible.format(_user_phrase(user, words, names)) if user not in (None, "") else ""
    return text + (words.if_absent if parts.get("if_absent") == "next" else "")


def _user_phrase(value: Any, words: Phrases, names: DisplayNames) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return names.user(value)
    return words.role_names.get(str(value), str(value))


def _describe_comment(parts: dict[str, Any], words: Phrases, names: DisplayNames) -> str:
    return words.comment.format(words.quote.format(_shorten_text(parts.get("text"))))


def _describe_notify(parts: dict[str, Any], words: Phrases, names: DisplayNames) -> str:
    user = _user_phrase(parts.get("user", ""), words, names)
    return words.notify.format(user, words.quote.format(_shorten_text(parts.get("text"))))


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
    return next((item.name for item in offered or () if item.id == str(value)), str(value))


def _shorten_text(value: Any) -> str:
    text = " ".join(str(value or "").split())
    return text if len(text) <= MAX_TEXT_LENGTH else text[: MAX_TEXT_LENGTH - 1] + "…"
