"""`make fuzz`: 50,000 bad inputs to everything that comes in, on PostgreSQL and on SQLite.

Half of them are drained one by one, each followed by a good call. Ends with 1 at the first wrong answer, and prints the
input.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts import needs
from tests.stress.fuzz.run import run
from tests.stress.fuzz.target import Wrong, fuzz_target
from tests.support.servers import postgres, valkey


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--database", choices=("postgresql", "sqlite"), action="append")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    return max(_run_on(database, options) for database in options.database or _databases())


def _databases() -> list[str]:
    return ["sqlite"] if needs.postgres() is None else ["postgresql", "sqlite"]


@contextmanager
def _database(name: str, folder: Path) -> Iterator[str]:
    if name == "sqlite":
        yield ""
        return
    with postgres(folder) as url:
        yield url


def _run_on(database: str, options: argparse.Namespace) -> int:
    began, round_, size = time.monotonic(), 0, 5000
    with (
        tempfile.TemporaryDirectory() as name,
        valkey(Path(name)) as redis_url,
        _database(database, Path(name)) as url,
        fuzz_target(Path(name), redis_url, url) as target,
    ):
        figures = target.figures
        try:
            while figures.shots < options.inputs:
                run(target, min(size, max(200, options.inputs - figures.shots)), options.seed + round_)
                round_ += 1
                print(f"{database}: {figures.shots} inputs, {figures.drained} drained, {figures.rows}", flush=True)
            target.judge_what_is_stored()
        except Wrong as error:
            print(f"fuzz: wrong on {database} (seed {options.seed + round_}): {error}", file=sys.stderr)
            return 1
    seconds = time.monotonic() - began
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(figures.statuses.items()))
    print(figures.summary())
    print(
        f"{database}: {figures.shots} bad inputs in {seconds:.0f} s, {figures.drained} drained one by one: no 500, no"
        f" traceback, no garbage, nothing set aside, all {figures.good_calls} good calls between them registered."
        f" {statuses}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
