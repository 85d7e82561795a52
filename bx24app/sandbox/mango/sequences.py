"""The ready sequences of notifications in `data/mango_sequences.json`, unchanged or rebased to now.

They are traces of a reference PBX. Rebasing gives a sequence new entry, call, recording and command identifiers, shifts
all its timestamps by the same time, and replaces the reference's product, line, client and employees by those of the
PBX that plays it.
"""

from __future__ import annotations

import copy
import functools
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from bx24app.sandbox.mango.ids import IdFactory, decode_id, encode_id
from bx24app.sandbox.mango.model import Pbx

REFERENCE_LINE, REFERENCE_CLIENT = "74950000001", "79160000001"
REFERENCE_PRODUCT, REFERENCE_DOMAIN = 400000001, "vpbx400000001.mangosip.ru"
_TIME_FIELDS = ("timestamp", "create_time", "forward_time", "talk_time", "end_time")


@dataclass(frozen=True)
class PbxNotification:
    """One notification: the suffix of the address, when it is due (epoch seconds), and its body."""

    path: str
    at: float
    body: dict[str, Any]


@functools.cache
def _load_sequences() -> dict[str, list[dict[str, Any]]]:
    text = (files("bx24app.sandbox") / "data" / "mango_sequences.json").read_text(encoding="utf-8")
    return {title.split(" ", 1)[0]: [{"title": title}, *items] for title, items in json.loads(text).items()}


def sequence_titles() -> dict[str, str]:
    """Short name -> title of each sequence: `S1` -> `S1 incoming, IVR -> group …`."""
    return {name: items[0]["title"] for name, items in _load_sequences().items()}


def load_sequence(name: str) -> list[PbxNotification]:
    """A sequence exactly as the reference has it.

    Raises:
        KeyError: there is no sequence of this name.
    """
    if name not in _load_sequences():
        raise KeyError(f"no sequence {name!r}; there are {', '.join(_load_sequences())}")
    items = copy.deepcopy(_load_sequences()[name][1:])
    return [PbxNotification(item["path"], item["at"], item["json"]) for item in items]


@dataclass(frozen=True)
class Participants:
    """Who takes part: the replacements for the reference's line, client, extensions and group."""

    line: str = REFERENCE_LINE
    client: str = REFERENCE_CLIENT
    extensions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_pbx(cls, pbx: Pbx, client: str | None = None, line: str | None = None) -> Participants:
        """The first line, employees and group of a PBX. Where it has too few, those of the reference remain."""
        people = [person.extension for person in pbx.employees if person.extension]
        pairs = dict(zip(("101", "102", "103"), people, strict=False))
        if pbx.groups and pbx.groups[0].extension:
            pairs["300"] = pbx.groups[0].extension
        first = pbx.notified_line(pbx.first_line) or REFERENCE_LINE
        return cls(line or first, client or REFERENCE_CLIENT, tuple(pairs.items()))


def rebase_notifications(
    notifications: list[PbxNotification], pbx: Pbx, ids: IdFactory, start: float, participants: Participants
) -> list[PbxNotification]:
    """The same call beginning at `start` (epoch seconds), with other people and new identifiers."""
    shift = int(start) - int(min(notification.at for notification in notifications))
    rebaser = _Rebaser(pbx, ids, shift, participants)
    return [
        PbxNotification(notification.path, notification.at + shift, rebaser.change_body(notification.body))
        for notification in notifications
    ]


class _Rebaser:
    def __init__(self, pbx: Pbx, ids: IdFactory, shift: int, participants: Participants) -> None:
        self.pbx, self.ids, self.shift, self.participants = pbx, ids, shift, participants
        self.extensions = dict(participants.extensions)
        self.fresh_ids: dict[str, str] = {}

    def change_body(self, body: dict[str, Any]) -> dict[str, Any]:
        entry = self._fresh_entry(body["entry_id"]) if "entry_id" in body else ""
        return {key: self._change_value(key, value, entry) for key, value in body.items()}

    def _fresh_entry(self, old: str) -> str:
        if old not in self.fresh_ids:
            self.fresh_ids[old] = self.ids.next_entry_id()
        return self.fresh_ids[old]

    def _change_value(self, key: str, value: Any, entry: str) -> Any:
        if isinstance(value, dict):
            return {inner: self._change_value(inner, part, entry) for inner, part in value.items()}
        if key in _TIME_FIELDS:
            return value + self.shift if value else value
        if key == "product_id":
            return self.pbx.product_id
        if isinstance(value, str):
            return self._change_text(key, value, entry)
        return value

    def _change_text(self, key: str, value: str, entry: str) -> str:
        if key == "entry_id":
            return entry
        if key in ("call_id", "taken_from_call_id", "recording_id", "command_id"):
            return self._change_identifier(key, value, entry)
        if key in ("extension", "acd_group"):
            return self.extensions.get(value, value)
        return self._change_number(value)

    def _change_identifier(self, key: str, value: str, entry: str) -> str:
        if value not in self.fresh_ids:
            if key == "command_id":
                self.fresh_ids[value] = f"{value}-{decode_id(self.ids.next_entry_id())}"
            elif key == "recording_id":
                index = decode_id(value).rsplit(":", 1)[1]
                self.fresh_ids[value] = encode_id(f"1:{self.pbx.client_id}:{decode_id(entry)}:{index}")
            else:
                self.fresh_ids[value] = self.ids.next_call_id(self.pbx.client_id, ivr=decode_id(value).count(":") == 4)
        return self.fresh_ids[value]

    def _change_number(self, value: str) -> str:
        if value.startswith("sip:user") and value.endswith(REFERENCE_DOMAIN):
            old = value.removeprefix("sip:user").split("@")[0]
            person = self.pbx.find_employee(self.extensions.get(old, old))
            return person.devices[0].number if person and person.devices else value
        plain = {REFERENCE_LINE: self.participants.line, REFERENCE_CLIENT: self.participants.client, **self.extensions}
        return plain.get(value, value)
