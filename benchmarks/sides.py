"""The two sides of a call's price: the program and the script, each with all its processes.

A `Side` takes notifications at its hooks and says what its processes have spent so far.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import redis
from rq import SimpleWorker

from benchmarks.memory import tree
from benchmarks.rig import ROOT, Rig, until
from bx24app.infra import embedded_redis
from bx24app.infra.processes.child_process import die_with_parent
from bx24app.infra.processes.web_server import is_answering
from tests.support.servers import free_port, valkey

WORKERS = 2
"""Of the script."""
_TICKS: int = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spent:
    """Counters since the start. `cpu`: part -> seconds; `commits` is 0 with SQLite, which does not count them."""

    cpu: dict[str, float]
    commands: int
    commits: int


@dataclass(slots=True)
class Side:
    """One side. `roots`: part -> process whose descendants belong to the part; an empty name: by their titles."""

    hooks: list[str]
    roots: dict[str, int]
    redis: redis.Redis
    database: str

    def spent(self) -> Spent:
        cpu: dict[str, float] = defaultdict(float)
        for part, root in self.roots.items():
            for pid in tree(root):
                cpu[part.rstrip("12") or _title(pid)] += _cpu(pid)
        return Spent(dict(cpu), int(self.redis.info("stats")["total_commands_processed"]), self._commits())

    def _commits(self) -> int:
        if not self.database:
            return 0
        ask = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        with psycopg.connect(self.database) as connection:
            row = connection.execute(ask).fetchone()
        return int(row[0]) if row else 0


def of_program(made: Rig, database: str, url: str) -> Side:
    """The program. Without a Redis URL it has its embedded Valkey, which is one of its own processes."""
    client = redis.Redis.from_url(url or embedded_redis.socket_url(made.app.extensions["bx24app"].config.data_dir))
    plain, roots = database.replace("+psycopg", ""), {"": made.pid}
    if url:
        roots["valkey"] = int(client.info("server")["process_id"])
    return Side(made.hooks, roots | _postgres(plain), client, plain)


@contextmanager
def of_script(made: Rig, folder: Path, database: str) -> Iterator[Side]:
    """The script on the portals of an installation, with a Valkey of its own."""
    folder.mkdir()
    port, plain = free_port(), database.replace("+psycopg", "")
    with valkey(folder) as url, ExitStack() as stack:
        given = {"database": plain, "redis": url, "port": port, "mango": f"{made.cloud.ask('addresses')['mango']}"}
        given["portals"] = [made.cloud.ask("grant", number) for number in range(len(made.hooks))]
        (folder / "script.json").write_text(json.dumps(given))
        client = redis.Redis.from_url(url)
        roots = {"web": stack.enter_context(_process("web", folder))}
        until(lambda: is_answering(f"http://127.0.0.1:{port}"), "the script never served")
        for number in range(WORKERS):
            roots[f"worker{number + 1}"] = stack.enter_context(_process("worker", folder))
        until(lambda: SimpleWorker.count(connection=client) == WORKERS, "the script's workers never began")
        roots |= {"valkey": int(client.info("server")["process_id"])} | _postgres(plain)
        hooks = [f"http://127.0.0.1:{port}/mango/{number}" for number in range(len(made.hooks))]
        yield Side(hooks, roots, client, plain)


@contextmanager
def _process(part: str, folder: Path) -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.script", part, str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, preexec_fn=partial(die_with_parent, os.getpid()))
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _postgres(database: str) -> dict[str, int]:
    if not database:
        return {}
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        return {"PostgreSQL": int(_stat(row[0])[1])}


def _title(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except FileNotFoundError:
        return "parent"  # it has ended since it was listed
    return words.removeprefix("bx24app: ") if words.startswith("bx24app: ") else "parent"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (proc(5)). The second may contain spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _cpu(pid: int) -> float:
    """User and system time in seconds, with that of ended children."""
    try:
        return sum(int(ticks) for ticks in _stat(pid)[11:15]) / _TICKS
    except FileNotFoundError:
        return 0.0  # it has ended since it was listed; its time now counts with its parent's
