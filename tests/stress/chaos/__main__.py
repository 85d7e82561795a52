"""`make chaos`: every fault with calls in flight, on real processes, with the program's real waits.

Prints a Markdown table; ends with 1 if any call is lost, doubled or wrong, or if a row recovers later than its aim.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial

from tests.stress.chaos import attacks, deaths, restored, uninstalling, up_twice, web_part
from tests.stress.chaos.faults import FAULTS
from tests.stress.chaos.more import MORE
from tests.stress.chaos.processes import ChaosStack, chaos_stack
from tests.stress.chaos.run import POINTS, points, run
from tests.stress.chaos.verdict import HEAD, Row

PATIENCE_SECONDS = 300.0
"""For what a row has left behind that could not be carried out."""


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
    calls, seconds = options.calls, options.seconds
    print(f"{HEAD}\n|{' --- |' * 8}", flush=True)
    with chaos_stack(options.database, waits="real") as stack:
        runs = [(fault.name, partial(run, stack, fault, calls, seconds)) for fault in (*FAULTS, *MORE)]
        runs += [(module.NAME, partial(module.run, stack, calls, seconds)) for module in (uninstalling, restored)]
        runs.append((POINTS, lambda: points(stack, options.step)[0]))
        runs.append((up_twice.NAME, partial(up_twice.run, calls, seconds)))
        for name, run_row in runs:
            if options.only in name:
                rows.append(_try_row(stack, name, run_row))
                print(rows[-1], flush=True)
        rows_of_attacks = attack(stack, options.only)
    rows += deaths.run_all(options.database, options.only)
    for row in (*rows, *(row.verdict for row in rows_of_attacks)):
        print("\n".join(row.details), file=sys.stderr)
    return 0 if (rows or rows_of_attacks) and all(row.good for row in (*rows, *rows_of_attacks)) else 1


def _try_row(stack: ChaosStack, name: str, run_row: Callable[[], Row]) -> Row:
    """A row that cannot be carried out is a red one, and the others follow it."""
    try:
        return run_row()
    except (RuntimeError, AssertionError) as error:
        stack.restart_parts()
        stack.settle(PATIENCE_SECONDS)
        return Row(name, 0, Counter({"else": 1}), details=[f"{name}: {type(error).__name__}: {error}"])


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
