"""Identifiers in the form that real Mango traces show: base64 of a text with colons.

Clients must treat them as opaque. Only a simulator needs to know their form.
"""

from __future__ import annotations

import base64
import itertools
import time


def encode_id(text: str) -> str:
    """Encodes a text as an identifier."""
    return base64.b64encode(text.encode()).decode()


def decode_id(identifier: str) -> str:
    """Decodes an identifier to its text."""
    return base64.b64decode(identifier).decode()


class IdFactory:
    """Makes the identifiers of one cloud. All its products share one count of entries, as they seem to at Mango."""

    def __init__(self, first_entry: int | None = None) -> None:
        start = first_entry if first_entry is not None else 26_000_000_000 + int(time.time() * 10) % 900_000_000
        self._entries = itertools.count(start)
        self._legs = itertools.count(start % 1_000_000_000)

    def next_entry_id(self) -> str:
        """A new `entry_id`."""
        return encode_id(str(next(self._entries)))

    def next_call_id(self, client: int, *, ivr: bool = False) -> str:
        """A new `call_id`. Legs of the voice menu have a fifth part."""
        return encode_id(f"1:{client}:506:{next(self._legs)}" + (":1" if ivr else ""))

    def make_recording_id(self, client: int, entry_id: str, index: int) -> str:
        """The `recording_id` of recording number `index` (from 0) of an entry."""
        return encode_id(f"1:{client}:{decode_id(entry_id)}:{index}")
