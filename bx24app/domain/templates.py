"""Templates of rules: Jinja expressions and filters in a sandbox; blocks and unknown names are faults, output is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST = 2000
"""Characters of a template, and of what it gives, at the most."""

NAMES: dict[str, frozenset[str]] = {
    "client": frozenset({"number", "name", "known"}),
    "line": frozenset({"name", "number"}),
    "pbx": frozenset({"name", "key"}),
    "call": frozenset(
        {
            "direction",
            "outcome",
            "started_at",
            "answered_at",
            "ended_at",
            "talk_seconds",
            "reason",
            "entry_id",
            "extension",
        }
    ),
    "user": frozenset({"id", "name"}),
}
"""What a template may speak of: name -> its attributes."""
FILTERS = frozenset(
    {
        "upper",
        "lower",
        "title",
        "capitalize",
        "trim",
        "replace",
        "default",
        "truncate",
        "length",
        "round",
        "int",
        "string",
        "first",
        "last",
        "date",
        "time",
        "minutes",
    }
)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(autoescape=False)
    environment.filters = {name: value for name, value in environment.filters.items() if name in FILTERS}
    environment.filters["date"] = lambda moment, form="%d.%m.%Y": moment.strftime(form) if moment else ""
    environment.filters["time"] = lambda moment, form="%H:%M": moment.strftime(form) if moment else ""
    environment.filters["minutes"] = lambda seconds: f"{int(seconds or 0) // 60}:{int(seconds or 0) % 60:02d}"
    environment.globals.clear()
    return environment


_ENVIRONMENT = _environment()


def faults(source: str) -> Iterator[str]:
    """What is wrong with a template, a sentence each."""
    if len(source) > LONGEST:
        yield f"is longer than {LONGEST} characters"
        return
    if "{%" in source or "{#" in source:
        yield "may hold expressions such as {{ client.number }}, but no blocks"
        return
    try:
        tree = _ENVIRONMENT.parse(source)
    except TemplateError as error:
        yield f"cannot be read: {error.message or type(error).__name__}"
        return
    wrong = list(_forbidden(tree))
    yield from wrong
    if not wrong:  # compiling folds constants, so only what is harmless gets so far
        try:
            _ENVIRONMENT.from_string(source)
        except TemplateError as error:
            yield f"cannot be read: {error.message or type(error).__name__}"


def _forbidden(tree: nodes.Template) -> Iterator[str]:
    for name in tree.find_all(nodes.Name):
        if name.name not in NAMES:
            yield f"{name.name} is not a known name; known are {', '.join(sorted(NAMES))}"
    for part in tree.find_all(nodes.Getattr):
        if not isinstance(part.node, nodes.Name):
            yield f"{part.attr} of something that is not a name"
        elif part.node.name in NAMES and part.attr not in NAMES[part.node.name]:
            yield f"{part.node.name}.{part.attr} is not known; known are {', '.join(sorted(NAMES[part.node.name]))}"
    for node in tree.find_all((nodes.Call, nodes.Mul, nodes.Pow, nodes.Getitem)):
        yield f"{_REFUSED[type(node)]} not allowed (line {node.lineno})"


_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Call: "calls are",
    nodes.Mul: "multiplication is",
    nodes.Pow: "powers are",
    nodes.Getitem: "brackets are",
}


@lru_cache(maxsize=2048)
def _compiled(source: str) -> Template:
    return _ENVIRONMENT.from_string(source)


def render(source: str, names: dict[str, Any]) -> str:
    """The filled template, cut to `LONGEST`; a template that fails with these values gives its source, never an error."""
    try:
        return _compiled(source).render(names)[:LONGEST].strip()
    except (TemplateError, TypeError, ValueError, ArithmeticError):
        return source[:LONGEST]
