"""`make bench`: measures, each against a baseline in the same run; a table for people, JSON for machines.

python -m benchmarks [NAME …] [--quick] [--runs 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks import (
    acknowledge,
    contact_centre,
    cost,
    history,
    large,
    latency,
    many,
    memory,
    neighbours,
    pages,
    rules,
    throughput,
)
from benchmarks.measure import Figure, Measure, Report, median

MEASURES: tuple[Measure, ...] = (
    *acknowledge.MEASURES,
    *latency.MEASURES,
    *contact_centre.MEASURES,
    *neighbours.MEASURES,
    *large.MEASURES,
    *many.MEASURES,
    *memory.MEASURES,
    *throughput.MEASURES,
    *cost.MEASURES,
    *rules.MEASURES,
    *pages.MEASURES,
    *history.MEASURES,
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(one.name for one in MEASURES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="smaller numbers, one run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the report there too")
    asked = parser.parse_args()
    unknown = set(asked.names) - {one.name for one in MEASURES}
    if unknown:
        parser.error(f"there is no measure {', '.join(sorted(unknown))}")
    runs = 1 if asked.quick else asked.runs
    figures: list[Figure] = []
    for measure in MEASURES:
        if not asked.names or measure.name in asked.names:
            print(f"{measure.name}: {measure.about}", file=sys.stderr, flush=True)
            figures += median([measure.run(asked.quick) for _ in range(runs)])
    report = Report(figures, runs, asked.quick)
    print(table(report))
    if asked.json:
        asked.json.write_text(json.dumps(report.plain(), indent=1, ensure_ascii=False) + "\n")
    return 0


def table(report: Report) -> str:
    """The figures as Markdown."""
    lines = [
        f"{report.machine}, {report.system}, Python {report.python}, {report.at}, median of {report.runs}",
        "",
        "| measure | ours | baseline | ratio | to reach | reached |",
        "|---|---:|---:|---:|---|---|",
    ]
    for one in report.figures:
        base = f"{one.baseline:.4g} {one.unit}" if one.baseline is not None else "-"
        ratio = f"{one.ratio:.2f}" if one.ratio is not None else "-"
        told = "yes" if one.reached else "**no**"
        lines.append(f"| {one.name} | {one.ours:.4g} {one.unit} | {base} | {ratio} | {one.reach} | {told} {one.note} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
