"""`make chaos`: every fault with calls in flight, on real processes, with the program's real waits.

Prints a Markdown table; ends with 1 if any call is lost, doubled or wrong, or if a row recovers later than its aim.
"""

from __future__ import annotations

import argparse
import sys
import warnings

from tests.stress.chaos import attacks, deaths, restored, uninstalling, up_twice, web_part
from tests.stress.chaos.faults import FAULTS
from tests.stress.chaos.more import MORE
from tests.stress.chaos.processes import ChaosStack, chaos_stack
from tests.stress.chaos.run import points, run
from tests.stress.chaos.verdict import HEAD, Row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="calls in flight per fault")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long a fault acts")
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--step", type=int, default=1, help="only every n-th point")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: list[Row] = []
    print(f"{HEAD}\n|{' --- |' * 8}", flush=True)
    with chaos_stack(options.database, waits="real") as stack:
        for fault in (*FAULTS, *MORE):
            if options.only in fault.name:
                rows.append(run(stack, fault, options.calls, options.seconds))
                print(rows[-1], flush=True)
        if options.only in uninstalling.NAME:
            rows.append(uninstalling.run(stack, options.calls, options.seconds))
            print(rows[-1], flush=True)
        if options.only in restored.NAME:
            rows.append(restored.run(stack, options.calls, options.seconds))
            print(rows[-1], flush=True)
        if options.only in "points between two side effects":
            rows.append(points(stack, options.step)[0])
            print(rows[-1], flush=True)
        rows_of_attacks = attack(stack, options.only)
    if options.only in up_twice.NAME:
        print(f"\n{HEAD}\n|{' --- |' * 8}", flush=True)
        rows.append(up_twice.run(options.calls, options.seconds))
        print(rows[-1], flush=True)
    rows += deaths.run_all(options.database, options.only)
    for row in (*rows, *(row.verdict for row in rows_of_attacks)):
        print("\n".join(row.details), file=sys.stderr)
    return 0 if (rows or rows_of_attacks) and all(row.good for row in (*rows, *rows_of_attacks)) else 1


def attack(stack: ChaosStack, only: str) -> list[attacks.AttackRow]:
    """Every attack without a proxy and behind each proxy whose program is installed."""
    rows = []
    print(f"\n{attacks.HEAD}\n|{' --- |' * 8}", flush=True)
    for candidate in attacks.ATTACKS:
        for proxy in web_part.installed_proxies():
            if only in f"{candidate.name}, {proxy}":
                rows.append(attacks.run_attack(stack, candidate, proxy))
                print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main())
