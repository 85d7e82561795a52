"""Reads the rules page's form.

The fields named `rule` hold the rules' tokens in their order. `<token>-json` holds a closed rule, `<token>-…` the
fields of an open one. A value that cannot be read stays as it was typed: the document's check then says what is wrong
with it.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from bx24app.domain.document.sizes import MAX_RULES
from bx24app.domain.rules.condition_spec import FormControl
from bx24app.domain.rules.conditions import CONDITIONS
from bx24app.web.base.parsing import parse_int
from bx24app.web.settings.saving import Document

FormData = MultiDict[str, str]
TEXT_PARTS = {"create": ("title",), "todo": ("title",), "comment": ("text",), "notify": ("text",)}
"""Parts of actions that are texts."""
MAX_DRAFT_RULES = 2 * MAX_RULES
"""A form with more is refused as a whole. A portal may have some more than `MAX_RULES` from before that bound."""
_TOKEN = re.compile(r"^[a-z][a-z0-9]{0,15}$")


@dataclass
class RuleItem:
    """One rule on the page."""

    token: str
    rule: Document
    is_open: bool = False
    faults: dict[str, str] = field(default_factory=dict)
    """Field name -> what is wrong."""
    general_faults: list[str] = field(default_factory=list)
    """Faults that belong to no field."""
    sentence: str = ""
    label: str = ""

    @property
    def as_json(self) -> str:
        """The rule as the form sends a closed one."""
        return json.dumps(self.rule, ensure_ascii=False, separators=(",", ":"))

    @property
    def actions(self) -> list[tuple[str, str, Document]]:
        """(token, kind, parts) of each action."""
        actions = []
        for index, action in enumerate(_as_list(self.rule.get("do"))):
            for kind, parts in action.items() if isinstance(action, dict) else ():
                actions.append((f"{self.token}-a{index}", str(kind), parts if isinstance(parts, dict) else {}))
        return actions

    def condition_values(self, key: str) -> list[str]:
        """Values of a condition, as texts."""
        when = self.rule.get("when")
        value = when.get(key) if isinstance(when, dict) else None
        return [str(item) for item in _as_list(value)] if value is not None else []


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def closed_items(rules: list[Document]) -> list[RuleItem]:
    """The rules of a document, all closed."""
    return [RuleItem(f"r{index}", rule) for index, rule in enumerate(rules)]


def read_form(form: FormData) -> list[RuleItem]:
    """Every rule of the form, in the form's order.

    Raises:
        RequestEntityTooLarge: more rules than any document may have; of a few too many the check of the document tells.
    """
    tokens = [token for token in dict.fromkeys(form.getlist("rule")) if _TOKEN.match(token)]
    if len(tokens) > MAX_DRAFT_RULES:
        raise RequestEntityTooLarge
    return [read_rule(form, token) for token in tokens]


def read_rule(form: FormData, token: str) -> RuleItem:
    """One rule of the form."""
    if f"{token}-open" in form:
        return RuleItem(token, _read_open_rule(form, token), is_open=True)
    try:
        rule = json.loads(form.get(f"{token}-json", ""))
    except (ValueError, RecursionError):
        rule = None
    return RuleItem(token, rule if isinstance(rule, dict) else {"name": "", "when": {}, "do": []})


def free_tokens(items: list[RuleItem]) -> Iterator[str]:
    """Tokens that no rule on the page has, each once."""
    taken = {item.token for item in items}
    return (token for number in itertools.count() if (token := f"r{number}") not in taken)


# --- an open rule ----------------------------------------------------------------------------------------------------


def _read_open_rule(form: FormData, token: str) -> Document:
    when: Document = {}
    for key, condition in CONDITIONS.items():
        value = _read_condition(form, f"{token}-{key}", condition.control)
        if value not in (None, [], ""):
            when[key] = value
    names = form.getlist(f"{token}-do")
    do = [_read_action(form, f"{token}-{name}") for name in dict.fromkeys(names)]
    return {"name": form.get(f"{token}-name", "").strip(), "when": when, "do": do}


def _read_condition(form: FormData, name: str, control: FormControl) -> Any:
    if control.kind == "number":
        return parse_number(form.get(name, ""))
    if control.kind == "list":
        texts = [text for part in re.split(r"[,;\n]", form.get(name, "")) if (text := part.strip())]
    else:
        texts = [text for text in form.getlist(name) if text]
    values = [parse_number(text) for text in texts] if control.has_numbers else texts
    return values[0] if len(values) == 1 else values


def parse_number(text: str) -> int | str | None:
    """The number that was typed. None: nothing was typed; what is no number stays a text, which the check refuses."""
    text = text.strip()
    if not text:
        return None
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else text


def _read_action(form: FormData, name: str) -> Document:
    kind = form.get(f"{name}-kind", "")
    parts: Document = {}
    if kind == "create":
        parts = _parse_target(form.get(f"{name}-target", ""))
        for key in ("stage_id", "source_id"):
            parts[key] = form.get(f"{name}-{key}", "")
        parts["duplicate"] = "allow" if f"{name}-duplicate" in form else None
        parts["fields"] = _read_fields(form, name)
    if kind == "todo":
        parts["deadline_minutes"] = parse_number(form.get(f"{name}-deadline_minutes", ""))
        parts["working"] = True if f"{name}-working" in form else None
    for key in TEXT_PARTS.get(kind, ()):
        parts[key] = form.get(f"{name}-{key}", "").replace("\r\n", "\n")
    if kind in ("create", "todo"):
        parts["responsible"] = read_responsible(form, f"{name}-responsible")
        parts["if_absent"] = "next" if f"{name}-if_absent" in form else None
    if kind == "notify":
        parts["user"] = read_responsible(form, f"{name}-user")
    return {kind: {key: value for key, value in parts.items() if value not in (None, "", {})}}


def _parse_target(value: str) -> Document:
    """`deal:9` -> a deal in pipeline 9; `deal`, `lead`: in the default pipeline, or in none."""
    entity, _, category = value.partition(":")
    kind, pipeline = parse_int(entity), parse_int(category)
    parts: Document = {"entity": entity if kind is None else kind}
    return parts | ({"category_id": pipeline} if pipeline is not None else {})


def format_target(parts: Document) -> str:
    """The reverse of `_parse_target`."""
    category = parts.get("category_id")
    return f"{parts.get('entity', '')}" + (f":{category}" if category is not None else "")


def read_responsible(form: FormData, name: str) -> int | str | None:
    """A role or a chosen user. None: the user who gets the call's own records."""
    chosen = form.get(name, "")
    if chosen != "user":
        return chosen or None
    return parse_number(form.get(f"{name}-user", "")) or "user"


def _read_fields(form: FormData, name: str) -> Document:
    fields: Document = {}
    for row in form.getlist(f"{name}-field"):
        key = form.get(f"{name}-{row}-name", "").strip()
        value: Any = form.get(f"{name}-{row}-value", "")
        if form.get(f"{name}-{row}-as") == "json":
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                value = str(value)
        if key:
            fields[key] = value
    return fields


# --- where faults belong ---------------------------------------------------------------------------------------------

_FAULT_PATH = re.compile(r"^rules\[(\d+)\]\.?(.*)$")
_ACTION_PATH = re.compile(r"^do\[(\d+)\]\.?(\w*)\.?(\w*)")


def mark_fault(items: list[RuleItem], path: str, message: str) -> bool:
    """Put a fault at its field and open the rule. False: the fault belongs to no rule of the page."""
    match = _FAULT_PATH.match(path)
    if match is None or int(match.group(1)) >= len(items):
        return False
    item = items[int(match.group(1))]
    item.is_open = True
    name = _field_name(item.token, match.group(2))
    text = f"{message} ({path})"
    if name is None:
        item.general_faults.append(text)
    else:
        item.faults[name] = f"{item.faults[name]} {text}" if name in item.faults else text
    return True


def _field_name(token: str, rest: str) -> str | None:
    """The name of the field that a path within a rule stands for."""
    if rest in ("name", "do"):
        return f"{token}-{rest}"
    key = re.split(r"[\[.]", rest.removeprefix("when."))[0]
    if rest.startswith("when.") and key in CONDITIONS:
        return f"{token}-{key}"
    action = _ACTION_PATH.match(rest)
    if action is None:
        return None
    part = {"entity": "target", "category_id": "target", "": "kind"}.get(action.group(3), action.group(3))
    return f"{token}-a{action.group(1)}-{part}"
