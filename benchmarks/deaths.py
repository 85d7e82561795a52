"""Attacks and deaths of `make chaos` as figures, with the program's real waits on PostgreSQL.

How long the slowest of a hundred notifications takes under each attack, and how many seconds pass from a worker's death
until its work goes on. A row whose calls are not all right is not reached, whatever its time.
"""

from __future__ import annotations

import warnings

from benchmarks.measure import Figure, Measure
from tests.stress.chaos import attacks, deaths
from tests.stress.chaos.processes import chaos_stack

P99_MS = 100
"""As in `attacks`."""


def _attacked(quick: bool) -> list[Figure]:
    warnings.simplefilter("ignore")
    with chaos_stack("postgresql", waits="real") as stack:
        rows = [attacks.run_attack(stack, attack, calls=8 if quick else 30) for attack in attacks.ATTACKS]
    control = rows[0].timed.quantile(0.99) * 1000
    figures = []
    for row in rows:
        note = f"{len(row.timed.statuses)} notifications, {row.wrong} lost or wrong; web part {row.megabytes:.0f} MB"
        p99 = row.timed.quantile(0.99) * 1000
        name = f"acknowledged under attack, p99: {row.name}"
        figures.append(Figure(name, p99, "ms", f"under {P99_MS} ms", row.good, control, note))
    return figures


def _died(quick: bool) -> list[Figure]:
    figures = []
    with chaos_stack("postgresql", waits="real") as stack:
        for death in deaths.DEATHS[: 2 if quick else None]:
            aim = deaths.ELSEWHERE_SECONDS if death.is_machine_lost else deaths.HERE_SECONDS
            row = deaths.run_death(stack, death)
            wrong = sum(row.wrong.values())
            name, reach = f"to go on when a worker dies {death.name}", f"at most {aim} s"
            reached = row.seconds <= aim and not wrong
            figures.append(Figure(name, row.seconds, "s", reach, reached, note=f"{wrong} lost, doubled or wrong"))
    return figures


MEASURES = (
    Measure("attacks", "acknowledgements under each attack", _attacked, 13, False),
    Measure("deaths", "seconds to go on after each death of a worker", _died, 14, False),
)
