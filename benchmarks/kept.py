"""Figures that are kept: `benchmarks/results/NAME.json`, measure by measure as each was run last, and their table in docs/performance.md.

Long measures need a quiet machine, so each may be run by itself; every figure says when it was measured, of how many runs it is the median, and
how busy the machine was when its measure began.
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
    """What is kept after a run: the new figures, and the old ones of measures that were not run; in the order of the measures."""
    fresh = list(new)
    ran = {row["measure"] for row in fresh}
    order = {one.name: place for place, one in enumerate(measures)}
    kept = [row for row in old if row["measure"] not in ran and row["measure"] in order]
    return sorted(kept + fresh, key=lambda row: (row["row"] or 99, order[row["measure"]]))


def keep(name: str, report: Report, measures: Sequence[Measure]) -> Path:
    """Put a run's figures beside those of earlier runs."""
    file = RESULTS / f"{name}.json"
    rows = merged(load(name), report.rows(), measures)
    file.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def load(name: str) -> list[Row]:
    """The figures kept under this name; none where nothing is."""
    file = RESULTS / f"{name}.json"
    found: list[Row] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return found


def table(rows: Sequence[Row]) -> str:
    """The figures as Markdown."""
    lines = ["| # | measure | ours | baseline | ratio | to reach | reached | runs, load |", "|---:|---|---:|---:|---:|---|---|---|"]
    for one in rows:
        base = f"{one['baseline']:.4g} {one['unit']}" if one["baseline"] is not None else "-"
        ratio = f"{one['ratio']:.2f}" if one["ratio"] is not None else "-"
        told = "yes" if one["reached"] else "**no**"
        cells = [one["row"] or "", one["name"], f"{one['ours']:.4g} {one['unit']}", base, ratio, one["reach"], told, f"{one['runs']}, {one['load']:.1f}"]
        lines.append("| " + " | ".join(str(cell).strip() for cell in cells) + " |")
    return "\n".join(lines)


def of_readme(rows: Sequence[Row]) -> str:
    """The ten measures, the machine, and the days of the oldest and the newest figure."""
    told = [row for row in rows if row["row"]]
    days = sorted({row["at"][:10] for row in told})
    where = "; ".join(sorted({f"{row['machine']}, Python {row['python']}" for row in told}))
    when = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "never"
    return f"{table(told)}\n\nMeasured {when} on {where}. *runs*: of so many the median; *load*: of the machine (two cores) when the measure began."


def written(text: str) -> str:
    """The page with the table as it is kept. Raises: ValueError where it has no place for it."""
    if not _PLACE.search(text):
        raise ValueError(f"{PAGE} has no place for the figures")
    return _PLACE.sub(lambda found: found[1] + of_readme(load("bench")) + found[2], text)
