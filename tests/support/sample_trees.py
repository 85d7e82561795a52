"""Process trees for tests of the supervisor: `python -m tests.support.sample_trees TREE DIRECTORY [GRACE]`.

Each part writes what it does to a file of its name in DIRECTORY, and the test reads it there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import redis

from bx24app.infra import embedded_redis
from bx24app.infra.processes.supervisor import ProcessSpec, run_process_tree
from bx24app.infra.processes.web_server import address_of, make_web_spec, open_listener


def steady(folder: Path, name: str, seconds: float = 0.0) -> None:
    """Run until SIGTERM and for `seconds` more. Write the start and each received signal."""
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stopped.append(number))
    note(folder, name, f"start {os.getpid()}")
    while not stopped:
        time.sleep(0.02)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.02)
    note(folder, name, f"end {stopped}")


def fails(folder: Path, name: str) -> None:
    note(folder, name, f"start {os.getpid()}")
    raise SystemExit(3)


def deaf(folder: Path, name: str) -> None:
    """Ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(folder, name, f"start {os.getpid()}")
    time.sleep(600)


def parent(folder: Path, name: str) -> None:
    """Start a child process and do not wait for it."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    note(folder, name, f"start {os.getpid()} {child.pid}")
    time.sleep(600)


def last_word(folder: Path, data_dir: Path) -> None:
    """Use Valkey until the very end of the process."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    client = redis.Redis.from_url(embedded_redis.socket_url(data_dir))
    note(folder, "worker", f"start {client.ping()}")
    try:
        time.sleep(600)
    finally:
        time.sleep(0.3)
        note(folder, "worker", f"end {client.ping()}")


def note(folder: Path, name: str, words: str) -> None:
    with (folder / name).open("a") as file:
        file.write(words + "\n")


def application(environ: dict[str, object], start: Callable[..., object]) -> list[bytes]:
    if environ["PATH_INFO"] == "/slow":
        time.sleep(float(str(environ["QUERY_STRING"])))
    start("200 OK", [("Content-Length", "2"), ("X-Pid", str(os.getpid()))])
    return [b"ok"]


def plain(folder: Path) -> list[ProcessSpec]:
    return [
        ProcessSpec("web", partial(steady, folder, "web")),
        ProcessSpec("worker", partial(steady, folder, "worker", 0.3), count=2),
        ProcessSpec("cron", partial(steady, folder, "cron")),
    ]


def failing(folder: Path) -> list[ProcessSpec]:
    return [ProcessSpec("web", partial(steady, folder, "web")), ProcessSpec("worker", partial(fails, folder, "worker"))]


def stubborn(folder: Path) -> list[ProcessSpec]:
    return [
        ProcessSpec("worker", partial(deaf, folder, "worker")),
        ProcessSpec("cron", partial(steady, folder, "cron")),
    ]


def families(folder: Path) -> list[ProcessSpec]:
    return [ProcessSpec("worker", partial(parent, folder, "worker"))]


def whole(folder: Path) -> list[ProcessSpec]:
    listener = open_listener("127.0.0.1", 0)
    note(folder, "address", address_of(listener))
    data = folder / "data"
    return [
        embedded_redis.make_process_spec(data),
        ProcessSpec("worker", partial(last_word, folder, data)),
        make_web_spec(lambda: application, listener),
    ]


def patient(folder: Path) -> list[ProcessSpec]:
    """The worker may start only after the file `go` exists."""
    return [
        ProcessSpec("cron", partial(steady, folder, "cron"), is_ready=(folder / "go").exists),
        ProcessSpec("worker", partial(steady, folder, "worker")),
    ]


TREES = {tree.__name__: tree for tree in (plain, failing, stubborn, families, whole, patient)}

if __name__ == "__main__":
    place = Path(sys.argv[2])
    grace = float(sys.argv[3]) if len(sys.argv) > 3 else 10.0
    sys.exit(run_process_tree(TREES[sys.argv[1]](place), partial(print, "ready"), grace))
