"""Text or data -> settings, or every fault with its path. Pure; the types are in `bx24app.domain.settings`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

import yaml
from pydantic import ValidationError

from bx24app.domain import phone, rules
from bx24app.domain.settings import Hours, Line, Settings

LARGEST = 4 * 1024 * 1024
"""Characters of a document at the most."""
_NAMED = {"pbxs": "key", "lines": "number", "employees": "extension", "rules": "name"}
"""Lists whose members have a name of their own."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: `pbxs[0].lines[1].number`, and a sentence."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class DocumentError(Exception):
    """The document cannot be used; `faults` holds every reason."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document that can be used. `keys`: PBX key -> (api_key, api_salt) that it brings (None: keep what is stored)."""

    settings: Settings
    keys: dict[str, tuple[str | None, str | None]]


class _Loader(yaml.SafeLoader):
    """YAML without aliases (bombs) and without keys that come twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict):
                raise yaml.MarkedYAMLError(problem="a key must be a plain word", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} comes twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read(text: str) -> dict[str, Any]:
    """YAML text as data.

    Raises:
        DocumentError
    """
    if len(text) > LARGEST:
        raise DocumentError([Fault("", f"the document is longer than {LARGEST} characters")])
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with walls of its own
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark is not None else ""
        raise DocumentError([Fault(where, str(getattr(error, "problem", None) or "not YAML"))]) from None
    if not isinstance(data, dict):
        raise DocumentError([Fault("", "the document must be a mapping with sections such as `pbxs`")])
    return data


def parse(
    data: dict[str, Any],
    base: Settings | None = None,
    *,
    known_users: set[int] | None = None,
    keyed: frozenset[str] = frozenset(),
    allow_delete: bool = True,
) -> Parsed:
    """Data -> settings. Sections that `data` names replace those of `base`; the others stay.

    Args:
        known_users: the portal's active users; None: not checked.
        keyed: PBX keys whose API key and salt are stored already.
        allow_delete: False refuses a section that would lose a PBX, line, employee or rule of `base`.

    Raises:
        DocumentError: with every fault.
    """
    base = base or Settings()
    plain, keys = _without_secrets(data)
    merged = {**base.model_dump(mode="json", by_alias=True), **plain}
    faults: list[Fault] = []
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        faults = [_fault(item) for item in error.errors()]
        settings = _mended(merged)
    told = {fault.path for fault in faults}
    faults += [fault for fault in _crossed(settings, keys, keyed, known_users, set(plain)) if fault.path not in told]
    if not allow_delete and not faults:
        faults += [Fault(path, "would be deleted; say --allow-delete") for path in losses(base, settings)]
    if faults:
        raise DocumentError(list(dict.fromkeys(faults)))
    return Parsed(settings, keys)


def _without_secrets(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, tuple[str | None, str | None]]]:
    """The document without what is not part of it: secrets (kept apart), addresses (export only); short forms written out."""
    plain = dict(data)
    keys: dict[str, tuple[str | None, str | None]] = {}
    if "version" in plain and str(plain["version"]) == "1":
        plain["version"] = 1
    if isinstance(data.get("pbxs"), list):
        plain["pbxs"] = [_pbx(item, keys) if isinstance(item, dict) else item for item in data["pbxs"]]
    if isinstance(data.get("rules"), list):
        plain["rules"] = [_rule(item) if isinstance(item, dict) else item for item in data["rules"]]
    return plain, keys


def _pbx(item: dict[str, Any], keys: dict[str, tuple[str | None, str | None]]) -> dict[str, Any]:
    pbx = {name: value for name, value in item.items() if name not in ("api_key", "api_salt", "webhook_url")}
    pair = tuple(
        str(item[name]).strip() if item.get(name) not in (None, "") else None for name in ("api_key", "api_salt")
    )
    if isinstance(item.get("key"), str):
        keys[item["key"]] = (pair[0], pair[1])
    for field, named in (("lines", ("number", "line_number", "callback_to")), ("employees", ("extension",))):
        if isinstance(pbx.get(field), list):
            pbx[field] = [_texts(part, named) if isinstance(part, dict) else part for part in pbx[field]]
    return pbx


def _texts(part: dict[str, Any], named: tuple[str, ...]) -> dict[str, Any]:
    """YAML reads an unquoted number as one; numbers of telephones are texts. One block of hours may stand without a list."""
    found = dict(part)
    for name in named:
        if isinstance(found.get(name), int) and not isinstance(found[name], bool):
            found[name] = str(found[name])
    if isinstance(found.get("numbers"), list):
        found["numbers"] = [str(n) if isinstance(n, int) and not isinstance(n, bool) else n for n in found["numbers"]]
    if isinstance(found.get("working_hours"), dict):
        found["working_hours"] = [found["working_hours"]]
    if "working_hours" in found and found["working_hours"] is None:
        found["working_hours"] = []
    return found


def _rule(item: dict[str, Any]) -> dict[str, Any]:
    rule = dict(item)
    if isinstance(rule.get("do"), dict):
        rule["do"] = [{name: value} for name, value in rule["do"].items()]
    return rule


def _mended(merged: dict[str, Any]) -> Settings:
    """A faulty document with each faulty leaf put right somehow, so that the checks across it run too and report in the same go.

    Places stay where they are, since faults are told by their places.
    """
    data = json.loads(json.dumps(merged, default=str))
    for attempt in range(6):
        try:
            return Settings.model_validate(data)
        except ValidationError as error:
            for number, item in enumerate(error.errors()):
                _mend(data, item["loc"], item["type"], f"{attempt}{number}")
    return Settings()


_STAND_INS = {"key": "x{}", "number": "00{}", "extension": "?{}", "name": "?{}", "user_id": 1}


def _mend(data: Any, loc: tuple[Any, ...], kind: str, unique: str) -> None:
    *way, last = [
        piece for piece in loc if isinstance(piece, int) or piece not in ("function-before", "function-after")
    ]
    place = data
    for piece in way:
        try:
            place = place[piece]
        except (KeyError, IndexError, TypeError):
            return
    if kind == "missing" and isinstance(place, dict):
        stand_in = _STAND_INS.get(str(last), "")
        place[last] = stand_in.format(unique) if isinstance(stand_in, str) else stand_in
    elif isinstance(place, dict):
        place.pop(last, None)
    elif isinstance(place, list) and isinstance(last, int) and last < len(place):
        place[last] = {} if not isinstance(place[last], dict) and way and way[-1] in _NAMED else _neighbour(place, last)


def _neighbour(place: list[Any], index: int) -> Any:
    """A member of a plain list that may be right; else 1, which is a user."""
    return next((item for number, item in enumerate(place) if number != index), 1)


_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a known key",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "string_type": "must be a text",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "string_too_short": "must not be empty",
    "string_too_long": "is longer than {max_length} characters",
    "literal_error": "must be one of {expected}",
    "string_pattern_mismatch": "has the wrong form",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
}


def _fault(item: Any) -> Fault:
    words = _WORDS.get(item["type"])
    message = words.format(**item.get("ctx", {})) if words else str(item["msg"]).removeprefix("Value error, ")
    held = item.get("input")
    if item["type"] == "string_pattern_mismatch":
        path = path_of(item["loc"])
        message = (
            "is a key of up to 20 letters a-z, digits and -"
            if path.endswith(".key")
            else "must be a time such as 09:00"
        )
    if isinstance(held, str | int | float) and item["type"] not in ("missing", "extra_forbidden"):
        message += f", not {str(held)[:60]!r}"
    return Fault(path_of(item["loc"]), message)


def path_of(loc: tuple[Any, ...]) -> str:
    """`("pbxs", 0, "lines", 1, "number")` -> `pbxs[0].lines[1].number`."""
    path = ""
    for piece in loc:
        path += f"[{piece}]" if isinstance(piece, int) else (f".{piece}" if path else str(piece))
    return path


def _crossed(
    settings: Settings,
    keys: dict[str, tuple[str | None, str | None]],
    keyed: frozenset[str],
    known_users: set[int] | None,
    named: set[str],
) -> list[Fault]:
    """Faults that lie between parts."""
    faults = [*_zones(settings), *_twice(settings), *_lines(settings)]
    if "pbxs" in named:
        faults += _unkeyed(settings, keys, keyed)
    if known_users is not None:
        faults += [
            Fault(path, f"the portal has no active user {user}")
            for path, user in users(settings)
            if user not in known_users and path.split("[")[0].split(".")[0] in named
        ]
    return faults + [Fault(path, message) for path, message in rules.faults(settings)]


def _zones(settings: Settings) -> Iterator[Fault]:
    known = available_timezones()
    if settings.portal.timezone not in known:
        yield Fault("portal.timezone", f"is not a time zone such as Europe/Moscow, but {settings.portal.timezone!r}")
    for path, block in _blocks(settings):
        if block.timezone is not None and block.timezone not in known:
            yield Fault(f"{path}.timezone", f"is not a time zone such as Europe/Moscow, but {block.timezone!r}")
        if block.from_ == block.to:
            yield Fault(f"{path}.to", "the working time ends when it begins")


def _blocks(settings: Settings) -> Iterator[tuple[str, Hours]]:
    for p, pbx in enumerate(settings.pbxs):
        for n, line in enumerate(pbx.lines):
            for h, block in enumerate(line.working_hours):
                yield f"pbxs[{p}].lines[{n}].working_hours[{h}]", block


def _twice(settings: Settings) -> Iterator[Fault]:
    """What may stand only once: PBX keys, extensions of a PBX, names of rules."""
    yield from _repeated("pbxs[{}].key", [pbx.key for pbx in settings.pbxs], "another PBX has this key")
    for p, pbx in enumerate(settings.pbxs):
        extensions = [employee.extension for employee in pbx.employees]
        yield from _repeated(
            f"pbxs[{p}].employees[{{}}].extension", extensions, "another employee of this PBX has this extension"
        )
    yield from _repeated("rules[{}].name", [rule.name for rule in settings.rules], "another rule has this name")


def _repeated(path: str, values: list[str], message: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield Fault(path.format(index), f"{message}: {value}")
        seen.add(value)


def _lines(settings: Settings) -> Iterator[Fault]:
    """A line belongs to one PBX, and one LINE_NUMBER to one line; numbers are compared by their digits."""
    numbers: dict[str, str] = {}
    known: dict[str, str] = {}
    for p, pbx in enumerate(settings.pbxs):
        for n, line in enumerate(pbx.lines):
            for field, value, seen in (("number", line.number, numbers), ("line_number", line.bitrix_number, known)):
                plain = phone.digits(value) or value
                if plain in seen and (field == "number" or _own(line)):
                    yield Fault(f"pbxs[{p}].lines[{n}].{field}", f"{value} is already {seen[plain]}")
                seen.setdefault(plain, f"a line of PBX {pbx.key}")


def _own(line: Line) -> bool:
    return line.line_number is not None and line.line_number != line.number


def _unkeyed(
    settings: Settings, keys: dict[str, tuple[str | None, str | None]], keyed: frozenset[str]
) -> Iterator[Fault]:
    for p, pbx in enumerate(settings.pbxs):
        api_key, api_salt = keys.get(pbx.key, (None, None))
        if (api_key is None) != (api_salt is None):
            yield Fault(f"pbxs[{p}].{'api_key' if api_key is None else 'api_salt'}", "key and salt are given together")
        elif "vpbx" in pbx.dialects and api_key is None and pbx.key not in keyed:
            yield Fault(f"pbxs[{p}].api_key", "is missing: only a PBX with the events dialect alone needs none")
        if not pbx.dialects:
            yield Fault(f"pbxs[{p}].dialects", "must name vpbx, events, or both")


def users(settings: Settings) -> Iterator[tuple[str, int]]:
    """(path, user id) of everybody whom the document names."""
    yield "portal.default_user_id", settings.portal.default_user_id
    for p, pbx in enumerate(settings.pbxs):
        if pbx.default_user_id is not None:
            yield f"pbxs[{p}].default_user_id", pbx.default_user_id
        for n, line in enumerate(pbx.lines):
            for u, user in enumerate(line.responsible.users):
                yield f"pbxs[{p}].lines[{n}].responsible.users[{u}]", user
        for e, employee in enumerate(pbx.employees):
            yield f"pbxs[{p}].employees[{e}].user_id", employee.user_id
    yield from rules.users(settings)


def _names(settings: Settings) -> dict[str, str]:
    """Everything that can be lost, path by name."""
    found: dict[str, str] = {}
    for pbx in settings.pbxs:
        found[f"pbx {pbx.key}"] = f"pbxs.{pbx.key}"
        for line in pbx.lines:
            found[f"line {pbx.key} {phone.digits(line.number) or line.number}"] = f"pbxs.{pbx.key}.lines.{line.number}"
        for employee in pbx.employees:
            found[f"employee {pbx.key} {employee.extension}"] = f"pbxs.{pbx.key}.employees.{employee.extension}"
    for rule in settings.rules:
        found[f"rule {rule.name}"] = f"rules.{rule.name}"
    return found


def losses(old: Settings, new: Settings) -> list[str]:
    """Paths of PBXs, lines, employees and rules that `new` no longer has."""
    kept = _names(new)
    return [path for name, path in _names(old).items() if name not in kept]


def dump(settings: Settings) -> dict[str, Any]:
    """The document as plain data in the contract's order."""
    return settings.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; None: was not there, or is no longer."""

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        if self.old is None:
            return f"+ {self.path}: {_short(self.new)}"
        if self.new is None:
            return f"- {self.path}: {_short(self.old)}"
        return f"~ {self.path}: {_short(self.old)} -> {_short(self.new)}"


def _short(value: Any) -> str:
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, width=10_000).replace("\n...", "").strip()
    return text if len(text) <= 120 else text[:117] + "..."


def difference(old: Settings, new: Settings) -> list[Change]:
    """What changed, leaf by leaf; members of lists are told apart by their names, not by their places."""
    before, after = dict(_leaves(dump(old), "")), dict(_leaves(dump(new), ""))
    paths = list(dict.fromkeys([*before, *after]))
    return [Change(p, before.get(p), after.get(p)) for p in paths if before.get(p) != after.get(p)]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    name = path.rpartition(".")[2]
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and name in _NAMED and all(isinstance(item, dict) for item in value):
        for item in value:
            yield from _leaves(item, f"{path}.{item[_NAMED[name]]}")
    elif value not in (None, [], ""):
        yield path, value
