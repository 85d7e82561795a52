"""Encodes the commands of a batch as query strings, and reads the maps of its answer. Used by `client`.

It guarantees that text from outside never becomes a reference to an earlier command's answer.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class BatchRef:
    """A reference to an earlier command's answer: ``$result[key][path]``; `path` may hold brackets (``item][id``)."""

    key: str
    path: str


class QuotedText(str):
    """Text that is already quoted for a query."""

    __slots__ = ()


def quote_base64(content: bytes) -> QuotedText:
    """A file as base64 for a query. `urllib.parse.quote` would take longer for megabytes than the rest of the request.
    """
    text = base64.b64encode(content).decode()
    return QuotedText(text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"))


_REFERENCE_START: Final = re.compile(r"\$(?=\w*\[)")
_BATCH_KEY: Final = re.compile(r"[A-Za-z0-9_]+")


def encode_command(key: str, method: str, params: dict[str, Any]) -> str:
    """``method?query`` with PHP's brackets. None and empty lists are left out, since a query cannot express them.

    Raises:
        ValueError: a reference could not name `key`.
    """
    if not _BATCH_KEY.fullmatch(key):
        raise ValueError(f"a batch key is made of letters, digits and underscores: {key!r}")
    pairs = _flatten_params(params)
    return f"{method}?" + "&".join(f"{_quote_text(name)}={_quote_text(value)}" for name, value in pairs)


def escape_references(text: str) -> str:
    """Replace the dollar of ``$result[``, ``$next[`` … by a full-width one, which reads the same and means nothing to
    Bitrix24.

    Inside a batch Bitrix24 replaces references in any parsed value, whoever wrote it (server's source)."""
    return _REFERENCE_START.sub("\uff04", text)


def _quote_text(text: str) -> str:
    if isinstance(text, QuotedText):
        return text
    return quote(text, safe="", errors="replace")  # a lone surrogate must not end a drain


def _flatten_params(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flatten_params(item, f"{prefix}[{key}]" if prefix else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _flatten_params(item, f"{prefix}[{index}]")
    elif isinstance(value, BatchRef):
        yield prefix, f"$result[{value.key}][{value.path}]"
    elif isinstance(value, bool):
        yield prefix, str(int(value))
    elif isinstance(value, QuotedText):
        yield prefix, value
    elif value is not None:
        yield prefix, escape_references(str(value))


def as_mapping(value: Any, commands: Iterable[str]) -> dict[str, Any]:
    """A map of a batch's answer, by the keys of the commands that were sent; other keys are dropped. PHP sends an empty
    map as ``[]``, or a list in the order of the commands."""
    if isinstance(value, dict):
        return {key: value[key] for key in commands if key in value}
    if isinstance(value, list):
        return dict(zip(commands, value, strict=False))
    return {}
