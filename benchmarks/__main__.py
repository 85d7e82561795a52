"""Runs the benchmarks (`make bench`): each measure against a baseline of the same run; a table for people, JSON for
machines.

python -m benchmarks [NAME …] [--quick] [--runs 3] [--json FILE] [--keep]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from benchmarks import (
    acknowledge,
    acknowledge_working,
    contact_centre,
    cost,
    deaths,
    history,
    kept,
    large,
    latency,
    many,
    memory,
    neighbours,
    pages,
    price,
    recovery,
    rules,
    slow_portals,
    throughput,
)
from benchmarks.measure import Measure, Ran, Report, median

MEASURES: tuple[Measure, ...] = (
    *acknowledge.MEASURES,
    *acknowledge_working.MEASURES,
    *throughput.MEASURES,
    *contact_centre.MEASURES,
    *recovery.MEASURES,
    *latency.MEASURES,
    *neighbours.MEASURES,
    *large.MEASURES,
    *many.MEASURES,
    *history.MEASURES,
    *memory.MEASURES,
    *cost.MEASURES,
    *price.MEASURES,
    *deaths.MEASURES,
    *slow_portals.MEASURES,
    *rules.MEASURES,
    *pages.MEASURES,
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join(measure.name for measure in MEASURES)
    parser.add_argument("names", nargs="*", help=f"of {names}; none: all, with --quick those of the table")
    parser.add_argument("--quick", action="store_true", help="smaller numbers, one run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the report there too")
    parser.add_argument(
        "--keep", action="store_true",
        help="store the figures under benchmarks/results and, unless --quick, in docs/performance.md",
    )  # fmt: skip
    options = parser.parse_args()
    unknown = set(options.names) - {measure.name for measure in MEASURES}
    if unknown:
        parser.error(f"there is no measure {', '.join(sorted(unknown))}")
    runs = 1 if options.quick else options.runs
    ran: list[Ran] = []
    for measure in MEASURES:
        if measure.name in options.names or (
            not options.names and (not options.quick or (measure.row and measure.is_quick))
        ):
            started_at, load = time.monotonic(), os.getloadavg()[0]
            ran.append(Ran(measure, median([measure.run(options.quick) for _ in range(runs)]), runs, load))
            print(
                f"{measure.name}: {measure.about}: {time.monotonic() - started_at:.0f} s", file=sys.stderr, flush=True
            )
            if options.keep:  # at once, so that an interrupted run loses nothing
                kept.keep("quick" if options.quick else "bench", Report(ran[-1:], options.quick), MEASURES)
    report = Report(ran, options.quick)
    print(f"{report.machine}, {report.system}, Python {report.python}, {report.at}\n\n{kept.table(report.rows())}\n")
    print("\n".join(f"- {row['name']}: {row['note']}" for row in report.rows() if row["note"]))
    if options.json:
        options.json.write_text(json.dumps(report.plain(), indent=1, ensure_ascii=False) + "\n")
    if options.keep and not options.quick:
        kept.PAGE.write_text(kept.written(kept.PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
