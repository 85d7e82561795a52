"""One host as a process group: `python -m tests.stress.multi_host.host web PORT`, or `… work cron`.

It runs what `bx24app web`, `worker` and `cron` run, under the program's own supervisor. Only waits are shorter.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from functools import partial

from bx24app import create_app
from bx24app.bitrix24 import answer_size, transport
from bx24app.calls import sweep
from bx24app.calls.outbox import batches
from bx24app.calls.recordings import attempts
from bx24app.cli import up
from bx24app.config import load
from bx24app.infra.processes.supervisor import ProcessSpec, run_process_tree
from bx24app.infra.processes.web_server import make_web_spec, open_listener
from tests.stress.chaos.short_waits import shorten_waits

CALLS, RECORDINGS = 4, 2
WORDS = (
    "Waits shortened: answer of the portal 20 s (75), request of a dead worker given up after 30 s (120), "
    "recording of a dead worker after 45 s (1200), back-off at most 5 s (900), sweep every second (15)."
)


def shorten_waits_a_little() -> None:
    """Shorten the waits as in `make chaos`, but wait longer for the portal than the sandbox ever needs.

    A real installation also waits longer (75 s) than the cloud works (60 s). With four hosts and the sandbox on two
    cores an answer may take seconds, and the app cannot verify what the portal does after the app gave up.
    """
    shorten_waits()
    transport.TIMEOUT, answer_size.TOTAL_TIMEOUT = (5.0, 15.0), 20.0  # type: ignore[misc]
    batches.SEND_WITHIN_SECONDS = 5.0  # type: ignore[misc]
    sweep.ANSWER_TIMEOUT = timedelta(seconds=30)
    attempts.CLAIM_LIFETIME = timedelta(seconds=45)


def main(words: list[str]) -> int:
    shorten_waits_a_little()
    config = load()
    app = create_app(config)
    up._preload_modules()
    parts: list[ProcessSpec] = []
    if "web" in words:
        parts.append(
            make_web_spec(partial(up.load_for_web, app), open_listener("127.0.0.1", int(words[-1])))
        )
    if "work" in words:
        parts.append(ProcessSpec("worker", partial(up._worker_target, app, CALLS, RECORDINGS)))
    if "cron" in words:
        parts.append(ProcessSpec("cron", partial(up._cron_target, app)))
    return run_process_tree(parts, lambda: print("ready", flush=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
