"""Templates of rules: Jinja expressions and filters in a sandbox.

The check at saving finds faults, `rule_case` renders. Blocks and unknown names are faults; work and output are bounded.

Rules are written by the administrator of one portal among many on this server, so a template must not be able to take
the server's time or memory. There are no calls, no arithmetic that grows (`*`, `**`, `%` on texts), and own filters
wherever Jinja's take a size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bx24app.domain.faults import Fault

MAX_LENGTH = 2000
"""Characters of a template and of its result, at most."""
MAX_DEPTH = 20
"""Levels of an expression, at most: the time to compile grows much faster than the depth."""

TEMPLATE_NAMES: dict[str, frozenset[str]] = {
    "client": frozenset({"number", "name", "known"}),
    "line": frozenset({"name", "number"}),
    "pbx": frozenset({"name", "key"}),
    "call": frozenset(
        {
            "direction", "outcome", "started_at", "answered_at", "ended_at", "talk_seconds", "reason", "entry_id",
            "extension", "count",
        }
    ),
    "user": frozenset({"id", "name"}),
}  # fmt: skip
"""Name -> its attributes. `call.count`: how often the client was missed in a row."""


_END_VALUES = re.compile(r"\bcall\s*\.\s*(outcome|answered_at|ended_at|talk_seconds|reason|count|extension)\b")


@lru_cache(maxsize=2048)
def uses_end_values(source: str) -> bool:
    """Does this template name a value that is known only when the call is over? May say yes without need, never the
    reverse."""
    return _END_VALUES.search(source) is not None


def uses_miss_count(source: str) -> bool:
    """Does this template name the number of misses?"""
    return re.search(r"\bcall\s*\.\s*count\b", source) is not None


def _format_date(moment: datetime | None, form: str = "%d.%m.%Y") -> str:
    return moment.strftime(str(form)[:40]) if moment else ""


def _format_time(moment: datetime | None, form: str = "%H:%M") -> str:
    return _format_date(moment, form)


def _format_minutes(seconds: int | None) -> str:
    return f"{int(seconds or 0) // 60}:{int(seconds or 0) % 60:02d}"


def _bounded_replace(text: Any, old: str, new: str) -> str:
    """Jinja's own `replace`, chained with an empty `old`, would multiply the text at each step."""
    return str(text).replace(str(old), str(new), MAX_LENGTH)[:MAX_LENGTH] if old else str(text)


_OWN_FILTERS = {"date": _format_date, "time": _format_time, "minutes": _format_minutes, "replace": _bounded_replace}
_JINJA_FILTERS = (
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
FILTERS = frozenset({*_OWN_FILTERS, *_JINJA_FILTERS})
"""Filters that a template may use."""


def _create_environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(autoescape=False)
    environment.filters = {name: environment.filters[name] for name in _JINJA_FILTERS} | _OWN_FILTERS
    environment.tests = {name: environment.tests[name] for name in ("defined", "undefined", "none")}
    environment.globals.clear()
    return environment


_ENVIRONMENT = _create_environment()
_TEMPLATE_ERRORS = (TemplateError, SyntaxError, RecursionError, MemoryError, ValueError, OverflowError)
"""What Jinja may raise for a text that is no template, or for one built to do harm."""


def find_faults(source: str) -> tuple[Fault, ...]:
    """What is wrong with a template."""
    return _syntax_faults(source) if len(source) <= MAX_LENGTH else (Fault("too_long", {"max_length": MAX_LENGTH}),)


@lru_cache(maxsize=2048)
def _syntax_faults(source: str) -> tuple[Fault, ...]:
    """Cached, because a page checks a draft with hundreds of templates after each change."""
    if "{%" in source or "{#" in source:
        return (Fault("template_block"),)
    try:
        wrong = tuple(_expression_faults(_ENVIRONMENT.parse(source)))
        if not wrong:  # compiling evaluates constants, so it comes after the other checks
            _ENVIRONMENT.from_string(source)
    except _TEMPLATE_ERRORS as error:
        return (Fault("template_unreadable", {"reason": getattr(error, "message", None) or type(error).__name__}),)
    return wrong


def _node_depth(node: nodes.Node) -> int:
    return 1 + max((_node_depth(child) for child in node.iter_child_nodes()), default=0)


def _expression_faults(tree: nodes.Template) -> Iterator[Fault]:
    if _node_depth(tree) > MAX_DEPTH:
        yield Fault("template_too_deep")
        return
    with_attribute = {id(part.node) for part in tree.find_all(nodes.Getattr)}
    for name in tree.find_all(nodes.Name):
        if name.name in TEMPLATE_NAMES and id(name) not in with_attribute:
            example = f"{name.name}.{min(TEMPLATE_NAMES[name.name])}"
            yield Fault("template_bare_name", {"name": name.name, "example": example})
        elif name.name not in TEMPLATE_NAMES:
            yield Fault("template_unknown_name", {"name": name.name, "known": tuple(sorted(TEMPLATE_NAMES))})
    for part in tree.find_all(nodes.Getattr):
        if not isinstance(part.node, nodes.Name):
            yield Fault("template_chained_attribute", {"name": part.attr})
        elif part.node.name in TEMPLATE_NAMES and part.attr not in TEMPLATE_NAMES[part.node.name]:
            known = tuple(sorted(TEMPLATE_NAMES[part.node.name]))
            yield Fault("template_unknown_attribute", {"name": f"{part.node.name}.{part.attr}", "known": known})
    for node in tree.find_all(tuple(_FORBIDDEN_NODES)):
        yield Fault("template_forbidden", {"construct": _FORBIDDEN_NODES[type(node)], "line": node.lineno})


_FORBIDDEN_NODES: dict[type[nodes.Node], str] = {
    nodes.Call: "calls are",
    nodes.Mul: "multiplication is",
    nodes.Pow: "powers are",
    nodes.Mod: "% is",
    nodes.Getitem: "brackets are",
}


@lru_cache(maxsize=2048)
def _compile_template(source: str) -> Template:
    return _ENVIRONMENT.from_string(source)


def render(source: str, names: dict[str, Any]) -> str:
    """The filled template, cut to `MAX_LENGTH`. A template that fails with these values gives its source; nothing is
    raised."""
    try:
        return _compile_template(source).render(names)[:MAX_LENGTH].strip()
    except (*_TEMPLATE_ERRORS, TypeError, AttributeError, ArithmeticError):
        return source[:MAX_LENGTH]
