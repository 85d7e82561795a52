"""Compares WSGI servers: python -m benchmarks.servers [SECONDS].

For each server: requests a second with 16 keep-alive connections (with one INSERT and COMMIT each, and without a
database), the 99th percentile at 200 a second, and the memory of the whole process tree (sum of PSS) after that load.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.servers import load
from benchmarks.servers.serve import KINDS


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    print(f"{'server':22} {'store/s':>9} {'p99 ms':>8} {'plain/s':>9} {'200/s p99':>10} {'PSS MB':>8} {'processes':>9}")
    for kind in KINDS:
        with tempfile.TemporaryDirectory(dir=os.environ.get("SERVERS_DIR")) as folder:
            measure(kind, Path(folder), seconds)
    return 0


def measure(kind: str, folder: Path, seconds: float) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "SERVERS_DATABASE": str(folder / "notes.db")}
    command = [sys.executable, "-m", "benchmarks.servers.serve", kind, str(port)]
    server = subprocess.Popen(command, env=environment)
    try:
        wait(port, server)
        load.closed(port, "/store", 16, 1.0)
        store = load.closed(port, "/store", 16, seconds)
        plain = load.closed(port, "/plain", 16, seconds)
        paced = load.paced(port, "/store", 200, seconds)
        memory, count = pss(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            print(f"{kind}: did not stop within 15 s of SIGTERM", file=sys.stderr)
    figures = f"{store.rate:9.0f} {store.quantile(0.99):8.1f} {plain.rate:9.0f} {paced.quantile(0.99):10.1f}"
    print(f"{kind:22} {figures} {memory / 1024:8.1f} {count:9}", flush=True)


def wait(port: int, server: subprocess.Popen[bytes]) -> None:
    """Waits until the port answers, at most 30 s."""
    end = time.monotonic() + 30
    while time.monotonic() < end and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the server did not start")


def pss(root: int) -> tuple[int, int]:
    """The sum of PSS of a process and its descendants in KiB, and their number."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended while we looked
    tree = {root}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    total = 0
    for pid in tree:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total, len(tree)


if __name__ == "__main__":
    sys.exit(main())
