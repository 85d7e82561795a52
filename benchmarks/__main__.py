"""`make bench`: measures, each against a baseline in the same run; a table for people, JSON for machines.

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
    contact_centre,
    cost,
    history,
    kept,
    large,
    latency,
    many,
    memory,
    neighbours,
    pages,
    rules,
    throughput,
)
from benchmarks.measure import Measure, Ran, Report, median

MEASURES: tuple[Measure, ...] = (
    *acknowledge.MEASURES,
    *throughput.MEASURES,
    *contact_centre.MEASURES,
    *latency.MEASURES,
    *neighbours.MEASURES,
    *large.MEASURES,
    *many.MEASURES,
    *history.MEASURES,
    *memory.MEASURES,
    *cost.MEASURES,
    *rules.MEASURES,
    *pages.MEASURES,
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(one.name for one in MEASURES)}; none: all, with --quick those of the table")
    parser.add_argument("--quick", action="store_true", help="smaller numbers, one run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the report there too")
    parser.add_argument("--keep", action="store_true", help="keep the figures under benchmarks/results and in docs/performance.md (quick ones: not there)")
    asked = parser.parse_args()
    unknown = set(asked.names) - {one.name for one in MEASURES}
    if unknown:
        parser.error(f"there is no measure {', '.join(sorted(unknown))}")
    runs = 1 if asked.quick else asked.runs
    ran: list[Ran] = []
    for measure in MEASURES:
        if measure.name in asked.names or (not asked.names and (measure.row or not asked.quick)):
            began, load = time.monotonic(), os.getloadavg()[0]
            ran.append(Ran(measure, median([measure.run(asked.quick) for _ in range(runs)]), runs, load))
            print(f"{measure.name}: {measure.about}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            if asked.keep:  # at once: what a long run has found is not lost with its end
                kept.keep("quick" if asked.quick else "bench", Report(ran[-1:], asked.quick), MEASURES)
    report = Report(ran, asked.quick)
    print(f"{report.machine}, {report.system}, Python {report.python}, {report.at}\n\n{kept.table(report.rows())}\n")
    print("\n".join(f"- {row['name']}: {row['note']}" for row in report.rows() if row["note"]))
    if asked.json:
        asked.json.write_text(json.dumps(report.plain(), indent=1, ensure_ascii=False) + "\n")
    if asked.keep and not asked.quick:
        kept.PAGE.write_text(kept.written(kept.PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
