"""The ready sequences of notifications: `data/mango_sequences.json`, as they are or moved to now.

Moving means: fresh entry, call, recording and command identifiers, timestamps shifted as a whole, and the reference's
product, line, client and employees replaced by those of the PBX that plays.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from bx24app.sandbox.mango.ids import Ids, decode, encode
from bx24app.sandbox.mango.model import Pbx

LINE, CLIENT, PRODUCT, DOMAIN = "74950000001", "79160000001", 400000001, "vpbx400000001.mangosip.ru"
_TIMES = ("timestamp", "create_time", "forward_time", "talk_time", "end_time")


@dataclass(frozen=True)
class Notice:
    """One notification: the suffix of the address, when it is due (epoch seconds), its body."""

    path: str
    at: float
    body: dict[str, Any]


@functools.cache
def _stored() -> dict[str, list[dict[str, Any]]]:
    text = (files("bx24app.sandbox") / "data" / "mango_sequences.json").read_text(encoding="utf-8")
    return {title.split(" ", 1)[0]: [{"title": title}, *items] for title, items in json.loads(text).items()}


def names() -> dict[str, str]:
    """Short name -> what the sequence is: `S1` -> `S1 incoming, IVR -> group …`."""
    return {name: items[0]["title"] for name, items in _stored().items()}


def sequence(name: str) -> list[Notice]:
    """A sequence exactly as the reference has it.

    Raises:
        KeyError: no sequence of this name.
    """
    if name not in _stored():
        raise KeyError(f"no sequence {name!r}; there are {', '.join(_stored())}")
    return [Notice(item["path"], item["at"], json.loads(json.dumps(item["json"]))) for item in _stored()[name][1:]]


@dataclass(frozen=True)
class Cast:
    """Who plays: what stands in for the reference's line, client, extensions and group."""

    line: str = LINE
    client: str = CLIENT
    extensions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, pbx: Pbx, client: str | None = None, line: str | None = None) -> Cast:
        """The first line, employees and group of a PBX; where it has too few, the reference's remain."""
        people = [person.extension for person in pbx.employees if person.extension]
        pairs = dict(zip(("101", "102", "103"), people, strict=False))
        if pbx.groups and pbx.groups[0].extension:
            pairs["300"] = pbx.groups[0].extension
        first = pbx.lines[0].number if pbx.lines else LINE
        return cls(line or first, client or CLIENT, tuple(pairs.items()))


def rebased(notices: list[Notice], pbx: Pbx, ids: Ids, start: float, cast: Cast) -> list[Notice]:
    """The same story, beginning at `start` (epoch seconds), of other people and with fresh identifiers."""
    shift = int(start) - int(min(notice.at for notice in notices))
    change = _Change(pbx, ids, shift, cast)
    return [Notice(notice.path, notice.at + shift, change.of(notice.body)) for notice in notices]


class _Change:
    def __init__(self, pbx: Pbx, ids: Ids, shift: int, cast: Cast) -> None:
        self.pbx, self.ids, self.shift, self.cast = pbx, ids, shift, cast
        self.extensions = dict(cast.extensions)
        self.fresh: dict[str, str] = {}

    def of(self, body: dict[str, Any]) -> dict[str, Any]:
        entry = self._entry(body["entry_id"]) if "entry_id" in body else ""
        return {key: self._value(key, value, entry) for key, value in body.items()}

    def _entry(self, old: str) -> str:
        if old not in self.fresh:
            self.fresh[old] = self.ids.entry()
        return self.fresh[old]

    def _value(self, key: str, value: Any, entry: str) -> Any:
        if isinstance(value, dict):
            return {inner: self._value(inner, part, entry) for inner, part in value.items()}
        if key in _TIMES:
            return value + self.shift if value else value
        if key == "product_id":
            return self.pbx.product_id
        if isinstance(value, str):
            return self._text(key, value, entry)
        return value

    def _text(self, key: str, value: str, entry: str) -> str:
        if key == "entry_id":
            return entry
        if key in ("call_id", "taken_from_call_id", "recording_id", "command_id"):
            return self._identifier(key, value, entry)
        if key in ("extension", "acd_group"):
            return self.extensions.get(value, value)
        return self._number(value)

    def _identifier(self, key: str, value: str, entry: str) -> str:
        if value not in self.fresh:
            if key == "command_id":
                self.fresh[value] = f"{value}-{decode(self.ids.entry())}"
            elif key == "recording_id":
                index = decode(value).rsplit(":", 1)[1]
                self.fresh[value] = encode(f"1:{self.pbx.client_id}:{decode(entry)}:{index}")
            else:
                self.fresh[value] = self.ids.leg(self.pbx.client_id, ivr=decode(value).count(":") == 4)
        return self.fresh[value]

    def _number(self, value: str) -> str:
        if value.startswith("sip:user") and value.endswith(DOMAIN):
            old = value.removeprefix("sip:user").split("@")[0]
            person = self.pbx.employee(self.extensions.get(old, old))
            return person.devices[0].number if person and person.devices else value
        plain = {LINE: self.cast.line, CLIENT: self.cast.client, **self.extensions}
        return plain.get(value, value)
