"""The rules page's fields: `rule` names each rule by a token, in their order; `<token>-json` holds a closed one, `<token>-…` the fields of an open one.

What was typed wrong stays as it was typed: the document's check says what is wrong with it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from werkzeug.datastructures import MultiDict

from bx24app.domain.rules.table import CONDITIONS
from bx24app.web.base.parsing import whole
from bx24app.web.settings.saving import Document

Form = MultiDict[str, str]
PILLS = ("direction", "outcome", "client", "hours", "pbx", "line", "weekday", "client_has_open")
"""Conditions chosen by ticking."""
LISTS = ("number", "rang")
"""Conditions written as a list with commas."""
NUMBERS = ("min_seconds", "repeat_within_minutes")
TEMPLATES = {"create": ("title",), "todo": ("title",), "comment": ("text",), "notify": ("text",)}
"""Parts of actions that are texts."""
_TOKEN = re.compile(r"^[a-z][a-z0-9]{0,15}$")


@dataclass
class Item:
    """One rule on the page. `faults`: field name -> words; `general`: those of no field."""

    token: str
    rule: Document
    open: bool = False
    faults: dict[str, str] = field(default_factory=dict)
    general: list[str] = field(default_factory=list)
    words: str = ""
    label: str = ""

    @property
    def json(self) -> str:
        """The rule as a closed one is sent."""
        return json.dumps(self.rule, ensure_ascii=False, separators=(",", ":"))

    @property
    def actions(self) -> list[tuple[str, str, Document]]:
        """(token, kind, parts) of each action."""
        found = []
        for index, action in enumerate(_listed(self.rule.get("do"))):
            for kind, parts in action.items() if isinstance(action, dict) else ():
                found.append((f"{self.token}-a{index}", str(kind), parts if isinstance(parts, dict) else {}))
        return found

    def chosen(self, key: str) -> list[str]:
        """Values of a condition, as texts."""
        when = self.rule.get("when")
        value = when.get(key) if isinstance(when, dict) else None
        return [str(one) for one in _listed(value)] if value is not None else []


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def items(rules: list[Document]) -> list[Item]:
    """The rules of a document, all closed."""
    return [Item(f"r{index}", rule) for index, rule in enumerate(rules)]


def read(form: Form) -> list[Item]:
    """Every rule that the form holds, in its order."""
    tokens = [token for token in dict.fromkeys(form.getlist("rule")) if _TOKEN.match(token)]
    return [one(form, token) for token in tokens]


def one(form: Form, token: str) -> Item:
    """One rule of the form."""
    if f"{token}-open" in form:
        return Item(token, _rule(form, token), open=True)
    try:
        rule = json.loads(form.get(f"{token}-json", ""))
    except (ValueError, RecursionError):
        rule = None
    return Item(token, rule if isinstance(rule, dict) else {"name": "", "when": {}, "do": []})


def fresh(present: list[Item]) -> str:
    """A token that no rule on the page has."""
    taken = {item.token for item in present}
    return next(f"r{number}" for number in range(len(taken) + 1) if f"r{number}" not in taken)


# --- an open rule ----------------------------------------------------------------------------------------------------


def _rule(form: Form, token: str) -> Document:
    when: Document = {}
    for key in CONDITIONS:
        value = _condition(form, f"{token}-{key}", key)
        if value not in (None, [], ""):
            when[key] = value
    names = form.getlist(f"{token}-do")
    do = [_action(form, f"{token}-{name}") for name in dict.fromkeys(names)]
    return {"name": form.get(f"{token}-name", "").strip(), "when": when, "do": do}


def _condition(form: Form, name: str, key: str) -> Any:
    if key in NUMBERS:
        return number(form.get(name, ""))
    if key in LISTS:
        found = [text for part in re.split(r"[,;\n]", form.get(name, "")) if (text := part.strip())]
    else:
        found = [text for text in form.getlist(name) if text]
    return found[0] if len(found) == 1 else found


def number(text: str) -> int | str | None:
    """A number as typed; what is none stays a text, for the check to refuse; nothing is None."""
    text = text.strip()
    if not text:
        return None
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else text


def _action(form: Form, name: str) -> Document:
    kind = form.get(f"{name}-kind", "")
    parts: Document = {}
    if kind == "create":
        parts = _target(form.get(f"{name}-target", ""))
        for key in ("stage_id", "source_id"):
            parts[key] = form.get(f"{name}-{key}", "")
        parts["duplicate"] = "allow" if f"{name}-duplicate" in form else None
        parts["fields"] = _fields(form, name)
    if kind == "todo":
        parts["deadline_minutes"] = number(form.get(f"{name}-deadline_minutes", ""))
        parts["working"] = True if f"{name}-working" in form else None
    for key in TEMPLATES.get(kind, ()):
        parts[key] = form.get(f"{name}-{key}", "").replace("\r\n", "\n")
    if kind in ("create", "todo"):
        parts["responsible"] = who(form, f"{name}-responsible")
        parts["if_absent"] = "next" if f"{name}-if_absent" in form else None
    if kind == "notify":
        parts["user"] = who(form, f"{name}-user")
    return {kind: {key: value for key, value in parts.items() if value not in (None, "", {})}}


def _target(value: str) -> Document:
    """`deal:9` -> a deal in pipeline 9; `deal`, `lead`: the default one, or none."""
    entity, _, category = value.partition(":")
    kind, pipeline = whole(entity), whole(category)
    found: Document = {"entity": entity if kind is None else kind}
    return found | ({"category_id": pipeline} if pipeline is not None else {})


def target(parts: Document) -> str:
    """What `_target` reads."""
    category = parts.get("category_id")
    return f"{parts.get('entity', '')}" + (f":{category}" if category is not None else "")


def who(form: Form, name: str) -> int | str | None:
    """A role or a chosen user; None: as the call's own records."""
    chosen = form.get(name, "")
    if chosen != "user":
        return chosen or None
    return number(form.get(f"{name}-user", "")) or "user"


def _fields(form: Form, name: str) -> Document:
    found: Document = {}
    for row in form.getlist(f"{name}-field"):
        key = form.get(f"{name}-{row}-name", "").strip()
        value: Any = form.get(f"{name}-{row}-value", "")
        if form.get(f"{name}-{row}-as") == "json":
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                value = str(value)
        if key:
            found[key] = value
    return found


# --- where faults belong ---------------------------------------------------------------------------------------------

_PATH = re.compile(r"^rules\[(\d+)\]\.?(.*)$")
_ACTION = re.compile(r"^do\[(\d+)\]\.?(\w*)\.?(\w*)")


def place(shown: list[Item], path: str, words: str) -> bool:
    """Put a fault at the field that it belongs to, and open its rule. False: it is of no rule."""
    found = _PATH.match(path)
    if found is None or int(found.group(1)) >= len(shown):
        return False
    item = shown[int(found.group(1))]
    item.open = True
    name = _field(item.token, found.group(2))
    said = f"{words} ({path})"
    if name is None:
        item.general.append(said)
    else:
        item.faults[name] = f"{item.faults[name]} {said}" if name in item.faults else said
    return True


def _field(token: str, rest: str) -> str | None:
    """Name of the field of a path within a rule."""
    if rest in ("name", "do"):
        return f"{token}-{rest}"
    key = re.split(r"[\[.]", rest.removeprefix("when."))[0]
    if rest.startswith("when.") and key in CONDITIONS:
        return f"{token}-{key}"
    action = _ACTION.match(rest)
    if action is None:
        return None
    part = {"entity": "target", "category_id": "target", "": "kind"}.get(action.group(3), action.group(3))
    return f"{token}-a{action.group(1)}-{part}"
