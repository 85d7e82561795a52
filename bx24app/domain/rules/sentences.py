"""A rule read back in words: one sentence, in Russian or English. Pure; never raises, whatever a draft holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bx24app.domain.crm_dictionaries import Choice, Dictionaries
from bx24app.domain.rules.phrases import ENGLISH, LANGUAGES, Phrases

LONGEST = 60
"""Characters of a template that a sentence shows at the most."""


@dataclass(frozen=True)
class Names:
    """How things are called that a rule names by an id; what has no name is told by its id."""

    user: Callable[[int], str] = lambda number: f"#{number}"
    line: Callable[[str], str] = str
    pbx: Callable[[str], str] = str
    offered: Dictionaries = field(default_factory=Dictionaries)


def sentence(rule: dict[str, Any], names: Names, language: str) -> str:
    """The rule's conditions and actions in words; `rule` as in the document."""
    words = LANGUAGES.get(language, ENGLISH)
    when, do = rule.get("when"), rule.get("do")
    clauses = [
        _clause(key, when[key], words, names) for key in words.conditions if isinstance(when, dict) and key in when
    ]
    acts = [act(one, names, language) for one in do if isinstance(one, dict)] if isinstance(do, list | tuple) else []
    head = words.begin.format(", ".join(clauses)) if clauses else words.any_call
    return head + ("; ".join(acts) or words.no_action) + "."


def condition(key: str, value: Any, names: Names, language: str) -> str:
    """One condition in words."""
    return _clause(key, value, LANGUAGES.get(language, ENGLISH), names)


def seen(key: str, value: Any, names: Names, language: str) -> Any:
    """What a call showed of a condition, its words in place of those of the document; lists stay lists."""
    if isinstance(value, list | tuple):
        return [seen(key, one, names, language) for one in value]
    _, said = LANGUAGES.get(language, ENGLISH).conditions.get(key, ("", {}))
    named = {"pbx": names.pbx, "line": names.line}.get(key)
    return named(str(value)) if named and value is not None else said.get(str(value), value)


def act(action: dict[str, Any], names: Names, language: str) -> str:
    """One member of `do` in words."""
    words = LANGUAGES.get(language, ENGLISH)
    for name, parts in action.items():
        held = parts if isinstance(parts, dict) else {}
        return _ACTS[name](held, words, names) if name in _ACTS else name
    return words.no_action


def filled(told: Mapping[str, Any], names: Names, language: str, when: Callable[[str], str]) -> str:
    """An action of one call with its values filled in, in words.

    Args:
        told: `action` and its values: `entity`, `category_id`, `stage_id`, `source_id`, `fields`, `user`, `text`, `deadline_at`.
        when: tells a moment (ISO 8601).
    """
    words = LANGUAGES.get(language, ENGLISH)
    kind, text, user = str(told.get("action")), told.get("text"), told.get("user")
    if kind == "todo":
        due = words.until.format(when(told["deadline_at"])) if told.get("deadline_at") else ""
        return _titled(words, text, due) + words.responsible.format(_who(user, words, names))
    parts = {
        "create": {**told, "title": text, "responsible": user},
        "comment": {"text": text},
        "notify": {"user": user, "text": text},
    }
    return act({kind: parts.get(kind, {})}, names, language)


def value(key: str, held: Any, names: Names, language: str) -> str:
    """What a condition expects, or what was seen of a call, in words; empty: nothing."""
    words = LANGUAGES.get(language, ENGLISH)
    return _value(key, held, words, names, words.alone.get(key))


def _clause(key: str, held: Any, words: Phrases, names: Names) -> str:
    frame, _ = words.conditions.get(key, (key + " {}", {}))
    return frame.format(_value(key, held, words, names))


def _value(key: str, held: Any, words: Phrases, names: Names, alone: dict[str, str] | None = None) -> str:
    said = alone or words.conditions.get(key, ("", {}))[1]
    values = held if isinstance(held, list | tuple | frozenset) else [held]
    named = {"pbx": names.pbx, "line": names.line}.get(key)
    return words.either.join(
        words.quote.format(named(str(one))) if named else said.get(str(one), str(one)) for one in values
    )


# --- actions ---------------------------------------------------------------------------------------------------------


def _create(parts: dict[str, Any], words: Phrases, names: Names) -> str:
    entity = parts.get("entity", "")
    known = words.create.get(str(entity))
    if known is None:
        known = words.create_other.format(words.quote.format(_name(names.offered.types, entity)))
    return known + "".join(_create_parts(parts, words, names)) + _responsible(parts, words, names)


def _create_parts(parts: dict[str, Any], words: Phrases, names: Names) -> Iterator[str]:
    entity, category = parts.get("entity", ""), parts.get("category_id")
    place = category if isinstance(category, int) else None
    shown = {
        "category_id": lambda value: _name(names.offered.pipelines(_entity(entity)), value),
        "stage_id": lambda value: _name(names.offered.stages(_entity(entity), place), value),
        "source_id": lambda value: _name(names.offered.sources, value),
        "title": _short,
    }
    for key, phrase in words.create_parts.items():
        value = parts.get(key)
        if key in shown and value not in (None, ""):
            yield phrase.format(words.quote.format(shown[key](value)))
        elif key == "fields" and isinstance(value, dict) and value:
            yield phrase.format(", ".join(map(str, value)))
        elif key == "duplicate" and value == "allow":
            yield phrase


def _entity(value: Any) -> str | int:
    return value if isinstance(value, str | int) else ""


def _todo(parts: dict[str, Any], words: Phrases, names: Names) -> str:
    within = (words.working_minutes if parts.get("working") is True else words.minutes).format(
        parts.get("deadline_minutes", 30)
    )
    return _titled(words, parts.get("title"), words.within.format(within)) + _responsible(parts, words, names)


def _titled(words: Phrases, title: Any, due: str) -> str:
    return words.todo_titled.format(words.quote.format(_short(title)), due) if title else words.todo.format(due)


def _responsible(parts: dict[str, Any], words: Phrases, names: Names) -> str:
    who = parts.get("responsible")
    text = words.responsible.format(_who(who, words, names)) if who not in (None, "") else ""
    return text + (words.if_absent if parts.get("if_absent") == "next" else "")


def _who(value: Any, words: Phrases, names: Names) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return names.user(value)
    return words.who.get(str(value), str(value))


def _comment(parts: dict[str, Any], words: Phrases, names: Names) -> str:
    return words.comment.format(words.quote.format(_short(parts.get("text"))))


def _notify(parts: dict[str, Any], words: Phrases, names: Names) -> str:
    return words.notify.format(_who(parts.get("user", ""), words, names), words.quote.format(_short(parts.get("text"))))


def _nothing(parts: dict[str, Any], words: Phrases, names: Names) -> str:
    return words.nothing


_ACTS: dict[str, Callable[[dict[str, Any], Phrases, Names], str]] = {
    "create": _create,
    "todo": _todo,
    "comment": _comment,
    "notify": _notify,
    "nothing": _nothing,
}


def _name(offered: tuple[Choice, ...] | None, value: Any) -> str:
    return next((one.name for one in offered or () if one.id == str(value)), str(value))


def _short(value: Any) -> str:
    text = " ".join(str(value or "").split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
