"""Identifiers in the shape that is seen at Mango: base64 of a text with colons.

To a client they are opaque; only a simulator has a reason to know the shape.
"""

from __future__ import annotations

import base64
import itertools
import time


def encode_id(text: str) -> str:
    """The identifier of a text."""
    return base64.b64encode(text.encode()).decode()


def decode_id(identifier: str) -> str:
    """The text of an identifier."""
    return base64.b64decode(identifier).decode()


class IdFactory:
    """Fresh identifiers of one cloud; entry numbers count over all its products, as they seem to at Mango."""

    def __init__(self, first_entry: int | None = None) -> None:
        start = first_entry if first_entry is not None else 26_000_000_000 + int(time.time() * 10) % 900_000_000
        self._entries = itertools.count(start)
        self._legs = itertools.count(start % 1_000_000_000)

    def next_entry_id(self) -> str:
        """A new communication."""
        return encode_id(str(next(self._entries)))

    def next_call_id(self, client: int, *, ivr: bool = False) -> str:
        """A new `call_id`; legs of the voice menu carry a fifth part."""
        return encode_id(f"1:{client}:506:{next(self._legs)}" + (":1" if ivr else ""))

    def make_recording_id(self, client: int, entry_id: str, index: int) -> str:
        """The recording number `index` (from 0) of an entry."""
        return encode_id(f"1:{client}:{decode_id(entry_id)}:{index}")
