"""What lies between two settings: what would be lost, and what changed, in readable lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from bx24app.domain import phone
from bx24app.domain.settings import Settings

MEMBER_KEYS = {"pbxs": "key", "lines": "number", "employees": "extension", "rules": "name"}
"""Lists whose members have a name of their own."""


@dataclass(frozen=True, slots=True)
class LeafChange:
    """One difference; None: was not there, or is no longer."""

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        if self.old is None:
            return f"+ {self.path}: {_short_yaml(self.new)}"
        if self.new is None:
            return f"- {self.path}: {_short_yaml(self.old)}"
        return f"~ {self.path}: {_short_yaml(self.old)} -> {_short_yaml(self.new)}"


def _short_yaml(value: Any) -> str:
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, width=10_000).replace("\n...", "").strip()
    return text if len(text) <= 120 else text[:117] + "..."


def dump(settings: Settings) -> dict[str, Any]:
    """The document as plain data in the contract's order, secrets and addresses aside."""
    return settings.model_dump(mode="json", by_alias=True)


def removed_paths(old: Settings, new: Settings) -> list[str]:
    """Paths of PBXs, lines, employees and rules that `new` no longer has."""
    kept = _member_paths(new)
    return [path for name, path in _member_paths(old).items() if name not in kept]


def _member_paths(settings: Settings) -> dict[tuple[str, ...], str]:
    """Everything that can be lost, path by name. Lines are told apart by their digits, as everywhere."""
    found: dict[tuple[str, ...], str] = {}
    for pbx in settings.pbxs:
        found["pbx", pbx.key] = path = f"pbxs.{pbx.key}"
        for line in pbx.lines:
            found["line", pbx.key, phone.digits_only(line.number) or line.number] = f"{path}.lines.{line.number}"
        for employee in pbx.employees:
            found["employee", pbx.key, employee.extension] = f"{path}.employees.{employee.extension}"
    for rule in settings.rules:
        found["rule", rule.name] = f"rules.{rule.name}"
    return found


def list_changes(old: Settings, new: Settings) -> list[LeafChange]:
    """What changed, leaf by leaf; members of lists are told apart by their names, their order is a leaf of its own."""
    before, after = dict(_walk_leaves(dump(old), "")), dict(_walk_leaves(dump(new), ""))
    paths = list(dict.fromkeys([*before, *after]))
    changes = [LeafChange(p, before.get(p), after.get(p)) for p in paths if before.get(p) != after.get(p)]
    return changes + list(_order_changes(old, new))


def _walk_leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    name = path.rpartition(".")[2]
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk_leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and name in MEMBER_KEYS and all(isinstance(item, dict) for item in value):
        for item in value:
            yield from _walk_leaves(item, f"{path}.{item[MEMBER_KEYS[name]]}")
    elif value not in (None, [], ""):
        yield path, value


def _order_changes(old: Settings, new: Settings) -> Iterator[LeafChange]:
    """Order counts: rules are tried from the top; the first PBX and the first line stand in where none is named."""
    yield from _compare_order("pbxs", [pbx.key for pbx in old.pbxs], [pbx.key for pbx in new.pbxs])
    for pbx in new.pbxs:
        was = old.by_key.get(pbx.key)
        for field in ("lines", "employees") if was is not None else ():
            names = [[getattr(item, MEMBER_KEYS[field]) for item in getattr(side, field)] for side in (was, pbx)]
            yield from _compare_order(f"pbxs.{pbx.key}.{field}", *names)
    yield from _compare_order("rules", [rule.name for rule in old.rules], [rule.name for rule in new.rules])


def _compare_order(path: str, old: list[str], new: list[str]) -> Iterator[LeafChange]:
    common = set(old) & set(new)
    before, after = [name for name in old if name in common], [name for name in new if name in common]
    if before != after:
        yield LeafChange(f"{path} (order)", before, after)
