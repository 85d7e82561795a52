"""`make fuzz`: 50,000 bad inputs against everything that answers HTTP. Ends with 1 at the first wrong answer, and shows what was sent."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

from tests.stress.fuzz.arena import Wrong, arena
from tests.stress.fuzz.run import run
from tests.support.servers import valkey


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    began, round_, size = time.monotonic(), 0, 5000
    with tempfile.TemporaryDirectory() as name, valkey(Path(name)) as url, arena(Path(name), url) as found:
        try:
            while found.figures.shots < asked.inputs:
                run(found, min(size, max(200, asked.inputs - found.figures.shots)), asked.seed + round_)
                round_ += 1
                print(f"{found.figures.shots} inputs", flush=True)
            found.judge_what_is_stored()
        except Wrong as error:
            print(f"fuzz: wrong answer (seed {asked.seed + round_}): {error}", file=sys.stderr)
            return 1
    seconds = time.monotonic() - began
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(found.figures.statuses.items()))
    print(found.figures.told())
    print(f"{found.figures.shots} bad inputs in {seconds:.0f} s: no 500, no traceback, no garbage. {statuses}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
