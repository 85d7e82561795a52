"""Data -> settings, or every fault with its path. Pure; the types are in `bx24app.domain.settings`, YAML in `document_text`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bx24app.domain.crm_dictionaries import CrmDictionaries
from bx24app.domain.document import errors
from bx24app.domain.document.checks import KeyPair, check_document, mobile_faults, referenced_users
from bx24app.domain.document.diff import MEMBER_KEYS, LeafChange, dump, list_changes, removed_paths
from bx24app.domain.document.errors import DocumentError, format_path
from bx24app.domain.document.yaml_text import load_yaml
from bx24app.domain.faults import Fault
from bx24app.domain.settings import Settings

__all__ = ["DocumentError", "Fault", "LeafChange", "ParsedDocument", "dump", "format_path", "list_changes", "load_yaml", "parse", "referenced_users", "removed_paths"]

SECRET_KEYS = ("api_key", "api_salt")


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document that can be used. `keys`: PBX key -> (api_key, api_salt) that it brings (None: keep what is stored)."""

    settings: Settings
    keys: dict[str, KeyPair]


def parse(
    data: dict[str, Any],
    base: Settings | None = None,
    *,
    known_users: set[int] | None = None,
    offered: CrmDictionaries | None = None,
    keyed: frozenset[str] = frozenset(),
    allow_delete: bool = True,
) -> ParsedDocument:
    """Data -> settings. Sections that `data` names replace those of `base` as a whole; the others stay.

    Args:
        known_users: the portal's active users; None: not checked.
        offered: the portal's pipelines, stages, sources; None: what rules name of them is not checked.
        keyed: PBX keys whose API key and salt are stored already.
        allow_delete: False refuses a section that would lose a PBX, line, employee or rule of `base`.

    Raises:
        DocumentError: with every fault.
    """
    base = base or Settings()
    plain, pairs = _expand_short_forms(data)
    merged = {**dump(base), **plain}
    wrong = [*_value_faults(plain, ""), *_secret_faults(data)]
    shaped = True
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        wrong += [errors.from_pydantic(item) for item in error.errors()]
        shaped = all(_keeps_names(item["loc"]) for item in error.errors())
        settings = _repair_document(merged)
    told = {fault.path for fault in wrong}
    lying = [*check_document(settings, pairs, keyed, known_users, set(plain), offered), *mobile_faults(settings, base)]
    wrong += [fault for fault in lying if fault.path not in told]
    if not allow_delete and shaped:
        wrong += [Fault("would_be_deleted", path=path) for path in removed_paths(base, settings)]
    if wrong:
        raise DocumentError(list(dict.fromkeys(wrong)))
    return ParsedDocument(settings, {pbx.key: pair for pbx, pair in zip(settings.pbxs, pairs, strict=False)})


# --- before the types ------------------------------------------------------------------------------------------------


def _expand_short_forms(data: dict[str, Any]) -> tuple[dict[str, Any], list[KeyPair]]:
    """The document with short forms written out and without what is no part of it: secrets (kept apart), addresses."""
    plain = dict(data)
    pairs: list[KeyPair] = []
    if plain.get("version") == "1":
        plain["version"] = 1
    if isinstance(data.get("pbxs"), list):
        plain["pbxs"] = [_expand_pbx(item) if isinstance(item, dict) else item for item in data["pbxs"]]
        pairs = [_key_pair(item) if isinstance(item, dict) else (None, None) for item in data["pbxs"]]
    if isinstance(data.get("rules"), list):
        plain["rules"] = [_expand_rule(item) if isinstance(item, dict) else item for item in data["rules"]]
    return plain, pairs


def _key_pair(item: dict[str, Any]) -> KeyPair:
    given = (_number_as_text(item.get(name)) for name in SECRET_KEYS)
    api_key, api_salt = (value.strip() or None if isinstance(value, str) else None for value in given)
    return api_key, api_salt


def _secret_faults(data: dict[str, Any]) -> Iterator[Fault]:
    for index, item in enumerate(data["pbxs"] if isinstance(data.get("pbxs"), list) else ()):
        for name in SECRET_KEYS if isinstance(item, dict) else ():
            value = _number_as_text(item.get(name))
            if value is not None and (not isinstance(value, str) or "\0" in value):
                yield Fault("not_text", path=f"pbxs[{index}].{name}")


def _expand_pbx(item: dict[str, Any]) -> dict[str, Any]:
    pbx = _normalise_part(item, ("key", "name"))
    for name in (*SECRET_KEYS, "webhook_url"):
        pbx.pop(name, None)
    for field, named in (("lines", ("number", "line_number", "callback_to", "name")), ("employees", ("extension",))):
        if isinstance(pbx.get(field), list):
            pbx[field] = [_normalise_part(part, named) if isinstance(part, dict) else part for part in pbx[field]]
    return pbx


def _normalise_part(part: dict[str, Any], named: tuple[str, ...]) -> dict[str, Any]:
    """An unquoted number is read as one, but telephones and names are texts. One block of hours may stand without a list."""
    found = dict(part)
    for name in named:
        found[name] = _number_as_text(found[name]) if name in found else None
        if found[name] is None and name not in part:
            del found[name]
    if isinstance(found.get("numbers"), list):
        found["numbers"] = [_number_as_text(number) for number in found["numbers"]]
    if isinstance(found.get("working_hours"), dict):
        found["working_hours"] = [found["working_hours"]]
    elif "working_hours" in found and found["working_hours"] is None:
        found["working_hours"] = []
    return found


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _expand_rule(item: dict[str, Any]) -> dict[str, Any]:
    rule = _normalise_part(item, ("name",))
    if isinstance(rule.get("do"), dict):
        rule["do"] = [{name: value} for name, value in rule["do"].items()]
    return rule


FLAG_SUFFIXES = (".owner_card",)
"""The few places where true and false are values, not YAML's idea of a `yes` or `no` that was meant as a word."""


def _value_faults(value: Any, path: str) -> Iterator[Fault]:
    """What no place of a document may hold, and what pydantic would quietly take for something else."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _value_faults(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _value_faults(item, f"{path}[{index}]")
    elif isinstance(value, bool):
        if not path.startswith("rules") and not path.endswith(FLAG_SUFFIXES):
            yield Fault("unexpected_boolean", path=path)
    elif isinstance(value, str):
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value if not letter.isascii()):
            yield Fault("bad_characters", path=path)
    elif isinstance(value, float) and not math.isfinite(value):
        yield Fault("not_number", path=path)


# --- a faulty document, put right somehow ----------------------------------------------------------------------------


def _keeps_names(loc: tuple[Any, ...]) -> bool:
    """Is a fault at this place one that leaves it clear which PBXs, lines, employees and rules the document has?"""
    return loc[-1] not in {*MEMBER_KEYS, *MEMBER_KEYS.values(), "[key]"} and not (
        isinstance(loc[-1], int) and len(loc) > 1 and loc[-2] in MEMBER_KEYS
    )


def _repair_document(merged: dict[str, Any]) -> Settings:
    """A faulty document with each faulty leaf put right somehow, so that the checks across it run too and report in the same go.

    Places stay where they are, since faults are told by their places.
    """
    data = json.loads(json.dumps(merged, default=str))
    for attempt in range(6):
        try:
            return Settings.model_validate(data)
        except ValidationError as error:
            for number, item in enumerate(error.errors()):
                _repair_value(data, item["loc"], item["type"], f"{attempt}{number}")
    return Settings()


_PLACEHOLDERS = {"key": "x{}", "number": "00{}", "extension": "?{}", "name": "?{}", "user_id": 1}


def _repair_value(data: Any, loc: tuple[Any, ...], kind: str, unique: str) -> None:
    *way, last = loc
    place = data
    for piece in way:
        try:
            place = place[piece]
        except (KeyError, IndexError, TypeError):
            return
    if kind == "missing" and isinstance(place, dict):
        stand_in = _PLACEHOLDERS.get(str(last), "")
        place[last] = stand_in.format(unique) if isinstance(stand_in, str) else stand_in
    elif isinstance(place, dict):
        place.pop(last, None)
    elif isinstance(place, list) and isinstance(last, int) and last < len(place):
        place[last] = {} if not isinstance(place[last], dict) and way and way[-1] in MEMBER_KEYS else _pick_neighbour(place, last)


def _pick_neighbour(place: list[Any], index: int) -> Any:
    """A member of a plain list that may be right; else 1, which is a user."""
    return next((item for number, item in enumerate(place) if number != index), 1)
