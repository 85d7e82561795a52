"""One host, as a process group of its own: `python -m tests.wide.host web PORT`, or `… work cron` (a worker beside a scheduler).

The parts are those of `bx24app web`, `worker` and `cron` under the program's own supervisor; only waits are shorter (`tests.chaos.haste`).
"""

from __future__ import annotations

import sys
from functools import partial

from bx24app import create_app, tree
from bx24app.config import load
from bx24app.processes import Part, run_up
from bx24app.processes_web import listen, web_part
from tests.chaos.haste import hasten

CALLS, RECORDINGS = 4, 2


def main(words: list[str]) -> int:
    hasten()
    config = load()
    app = create_app(config)
    tree._preload()
    parts: list[Part] = []
    if "web" in words:
        parts.append(web_part(partial(tree._forked, app), listen("127.0.0.1", int(words[-1]))))
    if "work" in words:
        parts.append(Part("worker", partial(tree._worker, app, CALLS, RECORDINGS)))
    if "cron" in words:
        parts.append(Part("cron", partial(tree._cron, app)))
    return run_up(parts, lambda: print("ready", flush=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
