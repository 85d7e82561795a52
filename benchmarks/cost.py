"""What one whole call costs, part by part: CPU, requests to the portal, rows and bytes of PostgreSQL, commands of
Valkey.

`benchmarks.scale` calculates with these figures. CPU time is what the kernel charged (/proc), so other load changes it
less than elapsed time. What an idle installation needs in the same time is subtracted.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
import requests

from benchmarks.measure import Figure, Measure
from benchmarks.memory import pss, tree
from benchmarks.rig import FIRST, Rig, call, post, rig
from tests.support.servers import postgres, valkey

CALLS = 400
IDLE_SECONDS = 30.0
"""Two rounds of the sweep, which comes every 15 s."""
AT_ONCE, PAUSE_SECONDS = 16, 0.5
"""Calls under way at a time; from one notification of a call to its next."""
REACH = {"commands": 60, "commits": 17}
"""At most so many a call."""
PARTS = ("web", "worker", "cron", "PostgreSQL", "Valkey")
_TICKS: int = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Look:
    """All counters at one moment. `cpu`: part -> seconds since its start."""

    at: float
    cpu: dict[str, float]
    commits: int
    rows: int
    wal: int
    stored: int
    commands: int


class Meter:
    """Reads the counters of the installation whose processes descend from `pid`."""

    def __init__(self, pid: int, database: str, redis_url: str) -> None:
        self._pid, self._database = pid, database.replace("+psycopg", "")
        self._redis = redis.Redis.from_url(redis_url)
        self._valkey = int(self._redis.info("server")["process_id"])
        with psycopg.connect(self._database) as connection:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            assert row is not None
            self._postgres = _parent(row[0])

    def look(self) -> Look:
        cpu: dict[str, float] = defaultdict(
            float, {"PostgreSQL": _cpu(self._postgres, dead=True), "Valkey": _cpu(self._valkey)}
        )
        cpu["PostgreSQL"] += sum(_cpu(one) for one in tree(self._postgres)[1:])
        for one in tree(self._pid)[1:]:
            cpu[_title(one)] += _cpu(one)
        commits, rows, wal, stored = self._counters()
        commands = int(self._redis.info("stats")["total_commands_processed"])
        return Look(time.monotonic(), dict(cpu), commits, rows, wal, stored, commands)

    def pss(self) -> dict[str, float]:
        """Part -> MB of its one process."""
        return {_title(one): pss(one) for one in tree(self._pid)}

    def _counters(self) -> tuple[int, int, int, int]:
        """(commits, rows written, bytes of WAL, bytes of tables and indexes) since the server's start."""
        time.sleep(1.5)  # a backend publishes its counters at most once a second
        ask = """SELECT xact_commit, tup_inserted + tup_updated + tup_deleted,
            pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint, pg_database_size(datname)
            FROM pg_stat_database WHERE datname = current_database()"""
        with psycopg.connect(self._database) as connection:
            row = connection.execute(ask).fetchone()
            assert row is not None
            return row[0], row[1], row[2], row[3]


def _title(pid: int) -> str:
    """`web` for `bx24app: web`; `parent` when the process names no part."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    return words.removeprefix("bx24app: ") if words.startswith("bx24app: ") else "parent"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (proc(5)). The second may contain spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _cpu(pid: int, dead: bool = False) -> float:
    """User and system time in seconds; with `dead` including ended children."""
    try:
        fields = _stat(pid)
    except FileNotFoundError:
        return 0.0  # it has ended since it was listed (a vacuum, say); its time now counts with its parent's ended children  # noqa: E501
    ticks = sum(int(one) for one in fields[11 : 15 if dead else 13])
    return float(ticks / _TICKS)


def _run(quick: bool) -> list[Figure]:
    count = CALLS // 4 if quick else CALLS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database, link = stack.enter_context(postgres(folder)), stack.enter_context(valkey(folder))
        made = stack.enter_context(
            rig(license="ru_selfhosted", DATABASE_URL=database, REDIS_URL=link, WORKERS="1", RECORDING_RETRY="0")
        )
        _send_calls(made, count // 10)  # warm
        meter = Meter(made.pid, database, link)
        first = meter.look()
        time.sleep(IDLE_SECONDS)
        idle, hits = meter.look(), _hits(made)
        _send_calls(made, count)
        busy = meter.look()
        return _figures(first, idle, busy, meter.pss(), count, (_hits(made) - hits) / count)


def _send_calls(made: Rig, count: int) -> None:
    """Sends `count` calls with pauses between their notifications, as in real life. Each notification finds the call at
    another step, so few share a request.
    """

    def one(_: int) -> None:
        with requests.Session() as session:
            for notice in call().notices:
                post(session, made.hooks[0], notice)
                time.sleep(PAUSE_SECONDS)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, range(count)))
    made.settle(1800)


def _hits(made: Rig) -> int:
    return len(made.cloud.ask("requests", 0, 0.0))


def _figures(
    first: Look, idle: Look, busy: Look, memory: dict[str, float], count: int, hits: float
) -> list[Figure]:
    seconds = busy.at - idle.at
    rest, note = seconds / (idle.at - first.at), f"{count} calls of {len(FIRST.notices)} notifications"

    def taken(name: str) -> float:
        before, between, after = (getattr(one, name) for one in (first, idle, busy))
        return max(0.0, (after - between) - (between - before) * rest) / count

    figures = []
    for part in PARTS:
        at_rest = (idle.cpu[part] - first.cpu[part]) / (idle.at - first.at)
        spent = max(0.0, (busy.cpu[part] - idle.cpu[part]) - at_rest * seconds) / count
        figures.append(Figure(f"CPU a call, {part}", spent * 1e3, "ms", "-", True, note=note))
        figures.append(Figure(f"CPU at rest, {part}", at_rest * 1e3, "ms/s", "-", True))
    for name, words, unit in (
        ("commits", "commits a call", ""), ("rows", "rows written a call", ""), ("wal", "WAL a call", "bytes"),
        ("stored", "tables and indexes a call", "bytes"), ("commands", "Valkey commands a call", ""),
    ):  # fmt: skip
        value, most = taken(name), REACH.get(name)
        reach = f"at most {most}" if most else "-"
        figures.append(Figure(words, value, unit, reach, most is None or value <= most, note=note))
    figures.append(Figure("portal requests a call", hits, "", "-", True, note=f"no budget, so none is saved; {note}"))
    figures += [Figure(f"PSS, {part}", size, "MB", "-", True) for part, size in sorted(memory.items())]
    return figures


MEASURES = (Measure("cost", "CPU, rows, bytes and commands of one whole call, part by part", _run),)
