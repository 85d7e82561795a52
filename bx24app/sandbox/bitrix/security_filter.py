"""The filter of an on-premise portal's security module, through which the values of a batch's commands run.

S: rest/classes/general/rest_provider.php, security/lib/filter/auditor: what looks like HTML, a script, SQL or a path is
split by blanks. `switches.filters_batches` turns it on. A request that is no batch is not filtered.
"""

from __future__ import annotations

import re
from typing import Any

_GAP = r"[\x09\x0a\x0d\\]*"
_WIDE_GAP = r"[\s\\]*"
_SPACE = r"[\x00-\x20()'\"`*@+\-.~\\\d!{}]+"


def _spaced(word: str, gap: str = _GAP) -> str:
    return gap.join(map(re.escape, word))


def _pattern(*parts: str) -> re.Pattern[str]:
    return re.compile("".join(f"({part})" for part in parts), re.IGNORECASE | re.DOTALL)


_TAGS = ("script", "/script", "applet", "embed", "style", "frame", "iframe", "form", "object", "link", "meta", "layer",
         "html", "xml", "base", "svg", "!doctype", "!entity")  # fmt: skip
_WORDS = (("java", "script"), ("vb", "script"), ("beh", "avior"))
_START, _END = r"(?<![a-z0-9_.-])", r"(?![a-z_])"
_SPLIT = [
    *(_pattern(f"<{_GAP}{_spaced(tag[:-3])}", _GAP + _spaced(tag[-3:])) for tag in _TAGS),
    _pattern(r"(?<![a-z0-9&_?])on[a-z]*?", r"[a-z]{3}\s*="),
    _pattern(r"(?<![a-z0-9&_?])st", r"yle\s*="),
    _pattern(f"{_START}uni", f"on{_SPACE}(?:.+{_SPACE})?sel", f"ect{_END}"),
    _pattern(f"{_START}sel", f"ect{_SPACE}(?:.+{_SPACE})?fr", f"om{_END}"),
    _pattern(f"{_START}fr", f"om{_SPACE}.+{_SPACE}(?:wh|lim)", f"(?:ere|it){_END}"),
    _pattern(f"{_START}(?:alt|cre|dr)", "(?:er|ate|op)", f"{_SPACE}(?:table|database|view|index|event){_END}"),
    _pattern(f"{_START}upd", f"ate{_SPACE}.+{_SPACE}se", f"t{_END}"),
    _pattern(f"{_START}ins", f"ert{_SPACE}(?:.+{_SPACE})?(?:in|val|se)", f"(?:to|ue|t){_END}"),
    _pattern(r"[\\/]\.", r"\.[\\/]"),
]
_STARRED = [
    *(_pattern(_spaced(first, _WIDE_GAP), f"{_WIDE_GAP}{_spaced(rest, _WIDE_GAP)}\\s*[:=]") for first, rest in _WORDS),
    _pattern("ex", r"pression\s*\("),
]


def filter_value(value: Any) -> Any:
    """A parsed value as the filter leaves it."""
    if isinstance(value, dict):
        return {key: filter_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [filter_value(item) for item in value]
    return _filter_text(value) if isinstance(value, str) else value


def _filter_text(text: str) -> str:
    for patterns, separator in ((_SPLIT, " "), (_STARRED, " * ")):
        for pattern in patterns:
            groups = (f"\\{number}" for number in range(1, pattern.groups + 1))
            text = pattern.sub(separator.join(groups), text)
    return text
