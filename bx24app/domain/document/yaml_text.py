"""Reads and writes settings documents as YAML. Size and depth are bounded; aliases, tags and repeated keys are refused.

Scalars are read more narrowly than by YAML 1.2: an unquoted `off`, the extension 0101, the time 10:00 and the date
2026-01-01 all stay the text that was written. YAML 1.1 reads them as false, 65, 600 and a date; ruamel.yaml in 1.2 mode
still reads 101 and a date, and takes six times as long for 10,000 employees.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import BaseResolver

from bx24app.domain.document.errors import DocumentError
from bx24app.domain.document.sizes import MAX_DEPTH, MAX_VALUES
from bx24app.domain.faults import Fault
from bx24app.domain.json_pieces import count_pieces

MAX_LENGTH = 4 * 1024 * 1024
"""Most characters of a document: 10,000 employees take about one million."""


class _PurePythonParser(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
    def __init__(self, stream: str) -> None:
        yaml.reader.Reader.__init__(self, stream)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)


# libyaml's parser is four times as fast; a PyYAML built without it reads the same.
_Parser: Any = import_module("yaml.cyaml").CParser if yaml.__with_libyaml__ else _PurePythonParser


class _StrictLoader(Composer, SafeConstructor, BaseResolver, _Parser):  # type: ignore[misc]
    """A safe loader with our own scalars, and with aliases, tags, deep nesting and repeated keys refused."""

    def __init__(self, stream: str) -> None:
        _Parser.__init__(self, stream)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise _yaml_error("aliases are not allowed", self.peek_event().start_mark)
        if getattr(self.peek_event(), "tag", None) is not None:
            raise _yaml_error("tags are not allowed", self.peek_event().start_mark)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _yaml_error(f"is nested deeper than {MAX_DEPTH} levels", self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _yaml_error("a key must be a plain word", key_node.start_mark)
            key = self.construct_object(key_node)
            if key in seen:
                raise _yaml_error(f"the key {key!r} comes twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_SCALAR_PATTERNS = (
    ("null", r"(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", rf"(?:{'|'.join(_BOOLEANS)})$", list("tTfF")),
    ("int", r"-?(?:0|[1-9][0-9]{0,30})$", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)\.[0-9]+$", list("-0123456789")),
)
for _name, _pattern, _first in _SCALAR_PATTERNS:
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(_pattern), _first)


def _yaml_error(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def load_yaml(text: str) -> dict[str, Any]:
    """YAML text as data.

    Raises:
        DocumentError: not YAML, or not a mapping; the fault's path is the line.
    """
    if len(text) > MAX_LENGTH:
        raise DocumentError([Fault("document_too_long", {"max_length": MAX_LENGTH})])
    if count_pieces(text.encode(errors="replace")) + text.count("\n") > MAX_VALUES:
        raise DocumentError([Fault("too_many_values", {"most": MAX_VALUES})])
    try:
        data = yaml.load(text, Loader=_StrictLoader)  # noqa: S506  # nosec B506 - built on the safe constructor
    except (yaml.YAMLError, ValueError, KeyError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark is not None else ""
        why = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        raise DocumentError([Fault("not_yaml", {"reason": why}, where)]) from None
    if not isinstance(data, dict):
        raise DocumentError([Fault("document_not_mapping")])
    return data


class _NoAliasDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes no aliases: `load_yaml` refuses them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump_yaml(data: dict[str, Any], addresses: dict[str, str]) -> str:
    """A document as YAML in the contract's order: secrets are null, values that are not set are left out.

    Args:
        data: as `document.dump` gives it.
        addresses: PBX key -> hook address.
    """
    exported = {**data, "pbxs": [_export_pbx(pbx, addresses.get(pbx["key"])) for pbx in data["pbxs"]]}
    text: str = yaml.dump(exported, Dumper=_NoAliasDumper, allow_unicode=True, sort_keys=False, width=120)
    return text


def _export_pbx(pbx: dict[str, Any], address: str | None) -> dict[str, Any]:
    head = {name: pbx[name] for name in ("key", "name", "dialects")}
    body = {name: value for name, value in pbx.items() if name not in head and value is not None}
    for name in ("lines", "employees"):
        body[name] = [_drop_empty(part) for part in pbx[name]]
    for line in body["lines"]:
        blocks = [_drop_empty(block) for block in line.get("working_hours", ())]
        if blocks:
            line["working_hours"] = blocks[0] if len(blocks) == 1 else blocks
    return {**head, "api_key": None, "api_salt": None, **body} | ({"webhook_url": address} if address else {})


def _drop_empty(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if value not in (None, [], "")}
