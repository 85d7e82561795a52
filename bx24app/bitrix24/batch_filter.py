"""Recognises texts that an on-premise portal alters inside a batch.

Such a portal runs the values of a batch's commands, and only those, through the filter of its security module, which
puts blanks into what looks like HTML, a script, SQL or a path (server source: `CRestProvider::methodsBatch`). A command
with such a text leaves in a request of its own, where it arrives as it was written. The outbox asks here.

The patterns match at least what the filter does; a match too many costs one request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Final

_TAGS: Final = (
    "!doctype|!entity|!--|x:script|script|applet|embed|style|frame|iframe|form|object|link|meta|layer|html|xml|base|svg"
)
_STRUCTURES: Final = "database|table|function|procedure|server|event|view|index"
_ALTERED: Final = re.compile(
    rf"<[/]?(?:{_TAGS})"
    r"|(?:behavior|javascript|vbscript|style|formaction)[:=]|expression\(|on[a-z]{3,}=|data:|urn:|binding:"
    r"|union.*select|select.*from|from.*(?:where|limit)|update.*set|insert.*(?:value|set|select|into)"
    rf"|(?:alter|create|drop).*(?:{_STRUCTURES})|into(?:out|dump)file|load_file\(|/\.\./|(?:\./){{30}}",
    re.IGNORECASE | re.DOTALL,
)
_SKIPPED: Final = re.compile(r"[\x00-\x20]+|/\*.*?\*/", re.DOTALL)
"""What the filter allows between the letters of a word."""


def is_altered_in_batch(value: Any) -> bool:
    """Does a text of this value, or of a command's fields, look like something that the filter alters?"""
    return any(_ALTERED.search(_SKIPPED.sub("", text).replace("\\", "/")) for text in _find_texts(value))


def _find_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for item in value.values() for text in _find_texts(item))
    elif isinstance(value, list | tuple):
        yield from (text for item in value for text in _find_texts(item))
    elif is_dataclass(value):
        yield from (text for item in fields(value) for text in _find_texts(getattr(value, item.name)))
