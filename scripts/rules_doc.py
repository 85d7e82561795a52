"""Writes the tables of docs/rules.md from those that the parser uses.

Usage: python -m scripts.rules_doc     (a test fails while the file differs)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from bx24app.domain.rules import ACTIONS, CONDITIONS
from bx24app.domain.rules.sentences import DisplayNames, describe_condition
from bx24app.domain.rules.templates import FILTERS, TEMPLATE_NAMES

FILE = Path(__file__).resolve().parent.parent / "docs" / "rules.md"


def conditions() -> str:
    """A row for every key of `when`."""
    rows = ["| Key | Value | Several | Holds when | Example | Read back |", "|---|---|---|---|---|---|"]
    for key, condition in CONDITIONS.items():
        several = "yes" if condition.accepts_list else "no"
        example = f"`{key}: {_yaml(condition.example)}`"
        words = describe_condition(key, condition.example, DisplayNames(), "en")
        cells = (f"`{key}`", _values(condition), several, condition.description, example, f"a call {words}")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def actions() -> str:
    """A row for every part of every action of `do`."""
    rows = ["| Action | Part | Value | Needed | Means |", "|---|---|---|---|---|"]
    for name, parts in ACTIONS.items():
        if not parts:
            rows.append(f"| `{name}` | – | `{{}}` | – | nothing is made, and no further rule is tried |")
        for key, part in parts.items():
            needed = "yes" if part.is_required else "no"
            rows.append(f"| `{name}` | `{key}` | {_values(part)} | {needed} | {part.description} |")
    return "\n".join(rows)


def names() -> str:
    """A row for every name of templates."""
    rows = ["| Name | Says |", "|---|---|"]
    for name, parts in TEMPLATE_NAMES.items():
        rows.append(f"| `{name}` | {', '.join(f'`{name}.{part}`' for part in sorted(parts))} |")
    return "\n".join(rows) + f"\n\nFilters: {', '.join(f'`{name}`' for name in sorted(FILTERS))}."


def _values(row: Any) -> str:
    """The first line of the check's own docstring."""
    text = (row.check.__doc__ or "").strip().splitlines()[0].rstrip(".")
    return text.replace("|", "\\|")


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) and value.lstrip("+").isdecimal() else str(value)


PARTS = {"conditions": conditions, "actions": actions, "names": names}


def written(text: str) -> str:
    """The document with its tables up to date: each stands between `<!-- name -->` and `<!-- end -->`."""
    for name, part in PARTS.items():
        text, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda match, part=part: match.group(1) + part() + "\n" + match.group(2),
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
