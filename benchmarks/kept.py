"""Stores figures in `benchmarks/results/NAME.json`, each measure as it was last run, and writes their table in
docs/performance.md.

Long measures need a quiet machine, so each may be run alone. Every figure says when it was measured, the number of runs
of which it is the median, and the machine's load when its measure started.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Measure, Report

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
_PLACE = re.compile(r"(<!-- figures -->\n).*?(\n<!-- end -->)", re.DOTALL)
Row = dict[str, Any]
"""A figure with `row` (of the table of measures), `measure`, `at`, `runs`, `load`, and the machine."""


def merged(old: Sequence[Row], new: Iterable[Row], measures: Sequence[Measure]) -> list[Row]:
    """The figures to store after a run: the new ones, and the old ones of measures that were not run, in the order of
    the measures.
    """
    fresh = list(new)
    ran = {row["measure"] for row in fresh}
    order = {one.name: place for place, one in enumerate(measures)}
    unchanged = [row for row in old if row["measure"] not in ran and row["measure"] in order]
    return sorted(unchanged + fresh, key=lambda row: (row["row"] or 99, order[row["measure"]]))


def keep(name: str, report: Report, measures: Sequence[Measure]) -> Path:
    """Stores the figures of a run beside those of earlier runs."""
    file = RESULTS / f"{name}.json"
    rows = merged(load(name), report.rows(), measures)
    file.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def load(name: str) -> list[Row]:
    """The figures stored under this name; empty when there are none."""
    file = RESULTS / f"{name}.json"
    rows: list[Row] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return rows


def table(rows: Sequence[Row]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| # | measure | ours | baseline | ratio | to reach | reached | runs, load |",
        "|---:|---|---:|---:|---:|---|---|---|",
    ]
    for row in rows:
        base = f"{row['baseline']:.4g} {row['unit']}" if row["baseline"] is not None else "-"
        ratio = f"{row['ratio']:.2f}" if row["ratio"] is not None else "-"
        reached = "yes" if row["reached"] else "**no**"
        cells = [
            row["row"] or "",
            row["name"],
            f"{row['ours']:.4g} {row['unit']}",
            base,
            ratio,
            row["reach"],
            reached,
            f"{row['runs']}, {row['load']:.1f}",
        ]
        lines.append("| " + " | ".join(str(cell).strip() for cell in cells) + " |")
    return "\n".join(lines)


def of_readme(rows: Sequence[Row]) -> str:
    """The ten measures, the machine, and the days of the oldest and the newest figure."""
    listed = [row for row in rows if row["row"]]
    days = sorted({row["at"][:10] for row in listed})
    where = "; ".join(sorted({f"{row['machine']}, Python {row['python']}" for row in listed}))
    when = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "never"
    return f"{table(listed)}\n\nMeasured {when} on {where}. *runs*: of so many the median; *load*: of the machine (two cores) when the measure began."  # noqa: E501


def written(text: str) -> str:
    """The page with the current table.

    Raises:
        ValueError: the page has no place for it.
    """
    if not _PLACE.search(text):
        raise ValueError(f"{PAGE} has no place for the figures")
    return _PLACE.sub(lambda match: match[1] + of_readme(load("bench")) + match[2], text)
