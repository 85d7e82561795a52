"""`make wide`: the whole program on four hosts, under load.

Prints complete calls a second as a Markdown table; ends with 1 if any call is wrong.
"""

from __future__ import annotations

import argparse
import sys
import warnings

from tests.stress.chaos.verdict import HEAD as VERDICT
from tests.stress.multi_host.host import WORDS
from tests.stress.multi_host.hosts import wide
from tests.stress.multi_host.run import HEAD, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stress.multi_host", description=__doc__)
    parser.add_argument("--calls", type=int, default=60, help="complete calls to wait for in each phase")
    parser.add_argument("--at-once", type=int, default=16, help="calls that are under way at the same time")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with wide() as hosts:
        result = run(hosts, options.calls * 20 + 600, options.calls, options.at_once)
    print(HEAD, *result.phases, "", sep="\n")
    print(", ".join(f"{name} was away {seconds:.1f} s" for name, seconds in result.away.items()))
    print(f"requests that the proxy had to send to the other host: {result.turned_away}\n")
    print(f"{VERDICT}\n|{' --- |' * 8}\n{result.row}\n\n{WORDS}")
    print("\n".join(result.row.details), file=sys.stderr)
    return 0 if result.row.good else 1


if __name__ == "__main__":
    sys.exit(main())
