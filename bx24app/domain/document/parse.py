"""Data -> settings, or every fault with its path.

A document is read in two steps. `read_draft` makes the checks that need no portal; after the caller has asked the
portal, `DocumentDraft.finish` gives the settings or raises `DocumentError` with every fault. `parse` does both for
callers who ask nothing. Pure; the types are in `bx24app.domain.settings`, YAML in `yaml_text`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bx24app.domain import crm_dictionaries
from bx24app.domain.crm_dictionaries import CrmDictionaries
from bx24app.domain.document import errors
from bx24app.domain.document.checks import KeyPair, find_faults, mobile_faults
from bx24app.domain.document.comparison import dump, removed_paths
from bx24app.domain.document.errors import DocumentError
from bx24app.domain.document.sizes import find_size_faults
from bx24app.domain.document.user_references import referenced_users
from bx24app.domain.faults import Fault
from bx24app.domain.settings import Settings

SECRET_KEYS = ("api_key", "api_salt")
MEMBER_KEYS = {"pbxs": "key", "lines": "number", "employees": "extension", "rules": "name"}
"""Lists whose members have a name of their own, and the key that holds it."""


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document without faults. `keys`: PBX key -> (api_key, api_salt) that it brings (None: the stored one stays)."""

    settings: Settings
    keys: dict[str, KeyPair]


@dataclass(frozen=True, slots=True)
class DocumentDraft:
    """A document that was read, before the portal is asked about the users and dictionaries that it names.

    `settings`: with the faulty values replaced, so that the checks that follow can run too. `sections`: those that the
    document names; the others are taken from `base`. `written_rules`: `rules` as they came.
    """

    base: Settings
    settings: Settings
    sections: frozenset[str]
    written_rules: Any
    pairs: list[KeyPair]
    faults: list[Fault]

    @property
    def has_new_rules(self) -> bool:
        """Does the document bring other rules than `base` has?"""
        return "rules" in self.sections and self.written_rules != dump(self.base)["rules"]

    def named_users(self) -> list[tuple[str, int]]:
        """(path, user id) of the users in the named sections; values that have a fault already are left out."""
        faulty = {fault.path for fault in self.faults}
        return [
            (path, user)
            for path, user in referenced_users(self.settings)
            if path not in faulty and path.split("[")[0].split(".")[0] in self.sections
        ]

    def dictionary_faults(self, offered: CrmDictionaries | None) -> list[Fault]:
        """What the rules name and the portal does not offer; `offered` None: nothing is checked."""
        if offered is None or "rules" not in self.sections:
            return []
        faulty = {fault.path for fault in self.faults}
        return [fault for fault in crm_dictionaries.find_faults(self.settings, offered) if fault.path not in faulty]

    def finish(self, more: list[Fault]) -> ParsedDocument:
        """The document as settings.

        Raises:
            DocumentError: the draft has faults, or `more` holds any.
        """
        faults = [*self.faults, *more]
        if faults:
            raise DocumentError(list(dict.fromkeys(faults)))
        keys = {pbx.key: pair for pbx, pair in zip(self.settings.pbxs, self.pairs, strict=False)}
        return ParsedDocument(self.settings, keys)


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
    draft = read_draft(data, base or Settings(), keyed=keyed, allow_delete=allow_delete)
    named = draft.named_users() if known_users is not None else []
    unknown = [Fault("unknown_user", {"user": user}, path) for path, user in named if user not in (known_users or ())]
    return draft.finish([*unknown, *draft.dictionary_faults(offered)])


def read_draft(
    data: dict[str, Any], base: Settings, *, keyed: frozenset[str] = frozenset(), allow_delete: bool = True
) -> DocumentDraft:
    """Data -> settings and the faults that can be seen without asking the portal; arguments as of `parse`.

    Of a document that is too large nothing else is checked; the draft then has the settings of `base`.
    """
    present = dump(base)
    too_large = find_size_faults(data, present)
    if too_large:
        return DocumentDraft(base, base, frozenset(), None, [], too_large)
    plain, pairs = _expand_short_forms(data)
    merged = {**present, **plain}
    faults = [*_value_faults(plain, ""), *_secret_faults(data)]
    has_clear_names = True
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        faults += [errors.from_pydantic(item) for item in error.errors()]
        has_clear_names = all(_keeps_names(item["loc"]) for item in error.errors())
        settings = _repair_document(merged)
    faulty = {fault.path for fault in faults}
    across = [*find_faults(settings, pairs, keyed, set(plain)), *mobile_faults(settings, base)]
    faults += [fault for fault in across if fault.path not in faulty]
    if not allow_delete and has_clear_names:
        faults += [Fault("would_be_deleted", path=path) for path in removed_paths(base, settings)]
    return DocumentDraft(base, settings, frozenset(plain), data.get("rules"), pairs, faults)


# --- before the types ------------------------------------------------------------------------------------------------


def _expand_short_forms(data: dict[str, Any]) -> tuple[dict[str, Any], list[KeyPair]]:
    """The document with short forms written out and without its addresses; its secrets are returned apart."""
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
    api_key, api_salt = (_visible_text(value) or None if isinstance(value, str) else None for value in given)
    return api_key, api_salt


def _visible_text(value: str) -> str:
    """A pasted secret without invisible marks and outer spaces."""
    return "".join(sign for sign in value if sign.isprintable() or sign == "\0").strip()


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
    """Turn unquoted telephones and names into texts, and a single block of hours into a list."""
    result = dict(part)
    for name in named:
        if name in result:
            result[name] = _number_as_text(result[name])
    if isinstance(result.get("numbers"), list):
        result["numbers"] = [_number_as_text(number) for number in result["numbers"]]
    if isinstance(result.get("working_hours"), dict):
        result["working_hours"] = [result["working_hours"]]
    elif "working_hours" in result and result["working_hours"] is None:
        result["working_hours"] = []
    return result


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _expand_rule(item: dict[str, Any]) -> dict[str, Any]:
    rule = _normalise_part(item, ("name",))
    if isinstance(rule.get("do"), dict):
        rule["do"] = [{name: value} for name, value in rule["do"].items()]
    return rule


FLAG_SUFFIXES = (".owner_card",)
"""The only paths outside rules where true and false are values."""


def _value_faults(value: Any, path: str) -> Iterator[Fault]:
    """Values that are wrong anywhere in a document, and those that pydantic would silently convert."""
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


# --- a faulty document, repaired for the further checks ---------------------------------------------------------------


def _keeps_names(loc: tuple[Any, ...]) -> bool:
    """Is it still clear, with a fault at this place, which PBXs, lines, employees and rules the document has?"""
    return loc[-1] not in {*MEMBER_KEYS, *MEMBER_KEYS.values(), "[key]"} and not (
        isinstance(loc[-1], int) and len(loc) > 1 and loc[-2] in MEMBER_KEYS
    )


def _repair_document(merged: dict[str, Any]) -> Settings:
    """Replace each faulty value by some valid one, so that the checks across the document can run and report too.

    Nothing changes its position, since the path of a fault is made of positions.
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
        is_member = bool(way) and way[-1] in MEMBER_KEYS and not isinstance(place[last], dict)
        place[last] = {} if is_member else _pick_neighbour(place, last)


def _pick_neighbour(place: list[Any], index: int) -> Any:
    """Another member of a plain list, which may be valid; without one 1, which is a valid user id."""
    return next((item for number, item in enumerate(place) if number != index), 1)
