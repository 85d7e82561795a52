"""Templates of rules: Jinja expressions and filters in a sandbox; blocks and unknown names are faults, work and output are bounded.

Who writes rules is an administrator of one portal among many on this server, so a template must not be able to take the server's time or
memory: no calls, no arithmetic that grows (`*`, `**`, `%` on texts), and filters of our own wherever Jinja's take a size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST = 2000
"""Characters of a template, and of what it gives, at the most."""
DEEPEST = 20
"""Levels of an expression at the most: compiling takes time that grows much faster than its depth."""

NAMES: dict[str, frozenset[str]] = {
    "client": frozenset({"number", "name", "known"}),
    "line": frozenset({"name", "number"}),
    "pbx": frozenset({"name", "key"}),
    "call": frozenset(
        {
            "direction", "outcome", "started_at", "answered_at", "ended_at", "talk_seconds", "reason", "entry_id", "extension",
            "count",
        }
    ),
    "user": frozenset({"id", "name"}),
}  # fmt: skip
"""What a template may speak of: name -> its attributes. `call.count`: of repeated misses, how many."""


_LATE = re.compile(r"\bcall\s*\.\s*(outcome|answered_at|ended_at|talk_seconds|reason|count|extension)\b")


@lru_cache(maxsize=2048)
def speaks_of_the_end(source: str) -> bool:
    """Does this template name something that is not known before the call is over? Rather once too often than too seldom."""
    return _LATE.search(source) is not None


def speaks_of_the_count(source: str) -> bool:
    """Does this template tell how often the client was missed?"""
    return re.search(r"\bcall\s*\.\s*count\b", source) is not None


def _date(moment: datetime | None, form: str = "%d.%m.%Y") -> str:
    return moment.strftime(str(form)[:40]) if moment else ""


def _time(moment: datetime | None, form: str = "%H:%M") -> str:
    return _date(moment, form)


def _minutes(seconds: int | None) -> str:
    return f"{int(seconds or 0) // 60}:{int(seconds or 0) % 60:02d}"


def _replace(text: Any, old: str, new: str) -> str:
    """Bounded: chained with an empty `old`, Jinja's own would multiply the text at each step."""
    return str(text).replace(str(old), str(new), LONGEST)[:LONGEST] if old else str(text)


_OURS = {"date": _date, "time": _time, "minutes": _minutes, "replace": _replace}
_JINJAS = (
    "upper",
    "lower",
    "title",
    "capitalize",
    "trim",
    "default",
    "truncate",
    "length",
    "int",
    "string",
    "first",
    "last",
)
FILTERS = frozenset({*_OURS, *_JINJAS})
"""Filters that a template may use."""


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(autoescape=False)
    environment.filters = {name: environment.filters[name] for name in _JINJAS} | _OURS
    environment.tests = {name: environment.tests[name] for name in ("defined", "undefined", "none")}
    environment.globals.clear()
    return environment


_ENVIRONMENT = _environment()
_UNREADABLE = (TemplateError, SyntaxError, RecursionError, MemoryError, ValueError, OverflowError)
"""What reading a text that is no template, or one built to hurt, may raise."""


def faults(source: str) -> tuple[str, ...]:
    """What is wrong with a template, a sentence each."""
    return _faults(source) if len(source) <= LONGEST else (f"is longer than {LONGEST} characters",)


@lru_cache(maxsize=2048)
def _faults(source: str) -> tuple[str, ...]:
    """Remembered: a page tries a draft of hundreds of templates again and again."""
    if "{%" in source or "{#" in source:
        return ("may hold expressions such as {{ client.number }}, but no blocks",)
    try:
        wrong = tuple(_forbidden(_ENVIRONMENT.parse(source)))
        if not wrong:  # compiling folds constants, so only what is harmless gets so far
            _ENVIRONMENT.from_string(source)
    except _UNREADABLE as error:
        return (f"cannot be read: {getattr(error, 'message', None) or type(error).__name__}",)
    return wrong


def _depth(node: nodes.Node) -> int:
    return 1 + max((_depth(child) for child in node.iter_child_nodes()), default=0)


def _forbidden(tree: nodes.Template) -> Iterator[str]:
    if _depth(tree) > DEEPEST:
        yield "is nested too deeply"
        return
    spoken = {id(part.node) for part in tree.find_all(nodes.Getattr)}
    for name in tree.find_all(nodes.Name):
        if name.name in NAMES and id(name) not in spoken:
            yield f"{name.name} alone says nothing; say {name.name}.{min(NAMES[name.name])} or the like"
        elif name.name not in NAMES:
            yield f"{name.name} is not a known name; known are {', '.join(sorted(NAMES))}"
    for part in tree.find_all(nodes.Getattr):
        if not isinstance(part.node, nodes.Name):
            yield f"{part.attr} of something that is not a name"
        elif part.node.name in NAMES and part.attr not in NAMES[part.node.name]:
            yield f"{part.node.name}.{part.attr} is not known; known are {', '.join(sorted(NAMES[part.node.name]))}"
    for node in tree.find_all(tuple(_REFUSED)):
        yield f"{_REFUSED[type(node)]} not allowed (line {node.lineno})"


_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Call: "calls are",
    nodes.Mul: "multiplication is",
    nodes.Pow: "powers are",
    nodes.Mod: "% is",
    nodes.Getitem: "brackets are",
}


@lru_cache(maxsize=2048)
def _compiled(source: str) -> Template:
    return _ENVIRONMENT.from_string(source)


def render(source: str, names: dict[str, Any]) -> str:
    """The filled template, cut to `LONGEST`; a template that fails with these values gives its source, never an error."""
    try:
        return _compiled(source).render(names)[:LONGEST].strip()
    except (*_UNREADABLE, TypeError, AttributeError, ArithmeticError):
        return source[:LONGEST]
