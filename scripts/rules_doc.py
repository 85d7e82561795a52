"""Writes the tables of docs/rules.md from the table that the parser itself uses.

Usage: python -m scripts.rules_doc     (a test fails while the file says something else)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from bx24app.domain.rules.sentences import DisplayNames, describe_condition
from bx24app.domain.rules.table import ACTIONS, CONDITIONS
from bx24app.domain.rules.templates import FILTERS, TEMPLATE_NAMES

FILE = Path(__file__).resolve().parent.parent / "docs" / "rules.md"
EXAMPLES: dict[str, Any] = {
    "direction": "in",
    "outcome": ["missed", "failed"],
    "client": "new",
    "hours": "off",
    "pbx": "moscow",
    "line": "74951234567",
    "number": ["+7495", "+7812"],
    "min_seconds": 30,
    "moment": "answer",
    "client_has_open": "deal",
    "repeat_within_minutes": 60,
    "rang": ["101", "300"],
    "weekday": ["sat", "sun"],
}
"""A value for each condition; a condition without one is a row without an example, which the test refuses."""


def conditions() -> str:
    """A row for every key of `when`."""
    rows = ["| Key | Value | Several | Holds when | Example | Read back |", "|---|---|---|---|---|---|"]
    for key, one in CONDITIONS.items():
        example = EXAMPLES[key]
        several = "yes" if one.accepts_list else "no"
        words = describe_condition(key, example, DisplayNames(), "en")
        rows.append(
            f"| `{key}` | {_values(one)} | {several} | {one.description} | `{key}: {_yaml(example)}` | a call {words} |"
        )
    return "\n".join(rows)


def actions() -> str:
    """A row for every part of every action of `do`."""
    rows = ["| Action | Part | Value | Needed | Means |", "|---|---|---|---|---|"]
    for name, parts in ACTIONS.items():
        if not parts:
            rows.append(f"| `{name}` | – | `{{}}` | – | nothing is made, and no further rule is tried |")
        for key, part in parts.items():
            rows.append(f"| `{name}` | `{key}` | {_values(part)} | {'yes' if part.is_required else 'no'} | {part.description} |")
    return "\n".join(rows)


def names() -> str:
    """What a template may speak of."""
    rows = ["| Name | Says |", "|---|---|"]
    rows += [f"| `{name}` | {', '.join(f'`{name}.{part}`' for part in sorted(TEMPLATE_NAMES[name]))} |" for name in TEMPLATE_NAMES]
    return "\n".join(rows) + f"\n\nFilters: {', '.join(f'`{name}`' for name in sorted(FILTERS))}."


def _values(one: Any) -> str:
    """The first line of the check's own docstring."""
    text = (one.check.__doc__ or "").strip().splitlines()[0].rstrip(".")
    return text.replace("|", "\\|")


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) and value.lstrip("+").isdecimal() else str(value)


PARTS = {"conditions": conditions, "actions": actions, "names": names}


def written(text: str) -> str:
    """The document with its tables as they should be; what stands between `<!-- name -->` and `<!-- end -->` is replaced."""
    for name, part in PARTS.items():
        text, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda found, part=part: found.group(1) + part() + "\n" + found.group(2),
            text,
            flags=re.DOTALL,
        )
        if count != 1:
            raise ValueError(f"docs/rules.md has {count} places for {name}, not one")
    return text


def main() -> int:
    old = FILE.read_text(encoding="utf-8")
    new = written(old)
    FILE.write_text(new, encoding="utf-8")
    print("docs/rules.md was up to date" if new == old else "docs/rules.md written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
