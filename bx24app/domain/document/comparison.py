"""Compares two settings, thing by thing: PBXs, lines, employees and rules that were added, removed, changed or moved.

The history's pages, conflicts and `bx24app settings import` show the result; a save that must not delete asks what
would be lost. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bx24app.domain import phone
from bx24app.domain.settings import LineSettings, PbxSettings, Settings

DifferenceKind = Literal["portal", "calls", "pbx", "line", "employee", "rule"]


def dump(settings: Settings) -> dict[str, Any]:
    """The document as plain data in the contract's order, without secrets and addresses."""
    return settings.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value that has changed. `name`: its path within the thing."""

    name: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing. `old` and `new`: the whole of it as plain data; None: it was not there, or is no longer.

    `change`: added, removed, changed (see `fields`), moved (only its position in its list).
    `name`: the PBX's key, the line's number, the extension, the rule's name.
    """

    kind: DifferenceKind
    change: Literal["added", "removed", "changed", "moved"]
    name: str = ""
    pbx: str = ""
    old: dict[str, Any] | None = None
    new: dict[str, Any] | None = None
    fields: tuple[FieldChange, ...] = ()


def compare_settings(old: Settings, new: Settings) -> list[Difference]:
    """What changed from `old` to `new`, in the document's order."""
    before, after = dump(old), dump(new)
    differences = [*_compare_section("portal", before["portal"], after["portal"])]
    differences += _compare_section("calls", before["calls"], after["calls"])
    differences += _compare_members("pbx", _pbx_rows(old, before), _pbx_rows(new, after), "key")
    old_pbxs = {pbx.key: (pbx, row) for pbx, row in zip(old.pbxs, before["pbxs"], strict=True)}
    for pbx, row in zip(new.pbxs, after["pbxs"], strict=True):
        if pbx.key in old_pbxs:  # the lines and employees of a PBX that was added or removed are only counted
            lines = _line_rows(*old_pbxs[pbx.key]), _line_rows(pbx, row)
            employees = _employee_rows(old_pbxs[pbx.key][1]), _employee_rows(row)
            differences += _compare_members("line", *lines, "number", pbx.key)
            differences += _compare_members("employee", *employees, "extension", pbx.key)
    old_rules, new_rules = ({rule["name"]: rule for rule in side["rules"]} for side in (before, after))
    return [*differences, *_compare_members("rule", old_rules, new_rules, "name")]


def _pbx_rows(settings: Settings, data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The PBXs with the number of their lines and employees in place of these; `_compare_fields` ignores such keys."""
    rows = {}
    for pbx, row in zip(settings.pbxs, data["pbxs"], strict=True):
        own = {name: value for name, value in row.items() if name not in ("lines", "employees")}
        rows[pbx.key] = own | {"_lines": len(pbx.lines), "_employees": len(pbx.employees)}
    return rows


def _line_rows(pbx: PbxSettings, row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {_line_key(line): data for line, data in zip(pbx.lines, row["lines"], strict=True)}


def _line_key(line: LineSettings) -> str:
    return phone.line_key(line.number)


def _employee_rows(row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {employee["extension"]: employee for employee in row["employees"]}


def _compare_section(kind: DifferenceKind, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Difference]:
    fields = tuple(_compare_fields(old, new))
    if fields:
        yield Difference(kind, "changed", old=old, new=new, fields=fields)


def _compare_members(
    kind: DifferenceKind, old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]], name: str, pbx: str = ""
) -> Iterator[Difference]:
    for key, data in old.items():
        if key not in new:
            yield Difference(kind, "removed", str(data[name]), pbx, old=data)
    for key, data in new.items():
        if key not in old:
            yield Difference(kind, "added", str(data[name]), pbx, new=data)
            continue
        if data == old[key]:
            continue  # nearly all of 10,000 employees are equal
        fields = tuple(_compare_fields(old[key], data))
        if fields:
            yield Difference(kind, "changed", str(data[name]), pbx, old[key], data, fields)
    remaining = [[key for key in side if key in old and key in new] for side in (old, new)]
    for key in _moved_keys(*remaining):
        yield Difference(kind, "moved", str(new[key][name]), pbx, old[key], new[key])


def _moved_keys(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """The fewest keys that explain the new order: those outside the longest increasing subsequence."""
    position = {key: index for index, key in enumerate(old)}
    ends: list[int] = []  # ends[n]: the lowest position at which a subsequence of n+1 keys ends
    last: list[str] = []  # the key at that position
    before: dict[str, str | None] = {}
    for key in new:
        length = bisect_left(ends, position[key])
        before[key] = last[length - 1] if length else None
        ends[length : length + 1], last[length : length + 1] = [position[key]], [key]
    stayed, step = set(), last[-1] if last else None
    while step is not None:
        stayed.add(step)
        step = before[step]
    return [key for key in new if key not in stayed]


def _compare_fields(old: dict[str, Any], new: dict[str, Any], path: str = "") -> Iterator[FieldChange]:
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if before == after or name.startswith("_"):
            continue
        if isinstance(before, dict) and isinstance(after, dict) and name in ("recordings", "responsible"):
            yield from _compare_fields(before, after, f"{path}{name}.")
        else:
            yield FieldChange(path + name, before, after)


def removed_paths(old: Settings, new: Settings) -> list[str]:
    """Paths of PBXs, lines, employees and rules that `new` no longer has; those of a removed PBX are listed too."""
    remaining = _member_paths(new)
    return [path for name, path in _member_paths(old).items() if name not in remaining]


def _member_paths(settings: Settings) -> dict[tuple[str, ...], str]:
    """Name -> path of everything that can be lost. Lines are compared by their digits, as everywhere."""
    paths: dict[tuple[str, ...], str] = {}
    for pbx in settings.pbxs:
        paths["pbx", pbx.key] = path = f"pbxs.{pbx.key}"
        for line in pbx.lines:
            paths["line", pbx.key, _line_key(line)] = f"{path}.lines.{line.number}"
        for employee in pbx.employees:
            paths["employee", pbx.key, employee.extension] = f"{path}.employees.{employee.extension}"
    for rule in settings.rules:
        paths["rule", rule.name] = f"rules.{rule.name}"
    return paths
