"""`make fuzz`: 50,000 bad inputs to everything that answers HTTP.

Ends with 1 at the first wrong answer, and prints the request.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

from tests.stress.fuzz.run import run
from tests.stress.fuzz.target import Wrong, fuzz_target
from tests.support.servers import valkey


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    began, round_, size = time.monotonic(), 0, 5000
    with tempfile.TemporaryDirectory() as name, valkey(Path(name)) as url, fuzz_target(Path(name), url) as target:
        try:
            while target.figures.shots < options.inputs:
                run(target, min(size, max(200, options.inputs - target.figures.shots)), options.seed + round_)
                round_ += 1
                print(f"{target.figures.shots} inputs", flush=True)
            target.judge_what_is_stored()
        except Wrong as error:
            print(f"fuzz: wrong answer (seed {options.seed + round_}): {error}", file=sys.stderr)
            return 1
    seconds = time.monotonic() - began
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(target.figures.statuses.items()))
    print(target.figures.summary())
    print(f"{target.figures.shots} bad inputs in {seconds:.0f} s: no 500, no traceback, no garbage. {statuses}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
