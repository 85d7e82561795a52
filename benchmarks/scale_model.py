"""The model of docs/scale.md: machines for a size, from the measured costs of a call.

A part is a queue with several servers (M/M/c): as many processes as keep both the load under `BUSY` and the wait under
its bound (Erlang C).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

BUSY = 0.6
"""Share of a core, or of a server, that may be used at the peak: the rest is for bursts, and for the host that has just
died.
"""
NOTIFICATIONS = 13
"""Of one call: the first sequence of the reference."""
WEB_WAIT, WORKER_WAIT = 0.020, 0.060
"""Seconds that 99 % of notifications, 95 % of calls may wait for a process at the most; of 25 ms to acknowledge, of 100
ms to `register`.
"""
CORES, GIGABYTES = 8, 32
"""Of a machine for web and workers."""
DATABASE_CORES, COMMITS, CONNECTIONS, WAL_LIMIT = 32, 10_000, 500, 200e6
"""A large PostgreSQL primary: commits a second with group commit on NVMe, connections of processes, bytes of WAL a
second. Assumed, not measured.
"""
OF_PROCESS = {"web": 16, "worker": 24}
"""Threads of a process that hold a connection at the peak (`bx24app.infra.processes.web_server.web_part`,
`bx24app.cli.up.sized`).
"""
PORTAL_SECONDS = 0.3
"""One request of a slow portal; it holds a thread, not a process."""
BUDGET, OF_LOADED_CALL = 2.0, 0.66
"""Requests a second of an ordinary tariff; requests a call under load that are to be reached (issue: measure 3)."""
HOURS, DAYS, LOAD = 10, 250, 0.4
"""A year of work: hours a day, days, and the middle of those hours against the peak."""


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs of one whole call. CPU is in milliseconds, memory of one process in MB."""

    web: float
    worker: float
    postgres: float
    valkey: float
    commits: float
    rows: float
    wal: float
    stored: float
    commands: float
    hits: float
    web_mb: float
    worker_mb: float
    source: str


@dataclass(frozen=True, slots=True)
class Size:
    name: str
    portals: int
    calls: float
    """A second, at the peak, over all portals."""


SIZES = (
    Size("one small office", 1, 0.02),
    Size("a contact centre of 1,000 agents", 1, 3),
    Size("100 portals", 100, 10),
    Size("1,000 portals", 1_000, 100),
    Size("10,000 portals", 10_000, 1_000),
    Size("100,000 portals", 100_000, 10_000),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a size needs. `cells`: PostgreSQL primaries, each with a Valkey, a pair of `cron` and its share of web and
    workers.
    """

    size: Size
    cells: int
    web: int
    worker: int
    machines: int
    terabytes: float
    first: str


def share_waiting(rate: float, seconds: float, servers: int, bound: float) -> float:
    """Share of arrivals that wait longer than `bound` for a server (Erlang C). `rate` is per second, `seconds` the
    service time.
    """
    offered = rate * seconds
    if offered >= servers:
        return 1.0
    blocked = 1.0  # Erlang B, by its recursion
    for server in range(1, servers + 1):
        blocked = offered * blocked / (server + offered * blocked)
    queued = blocked / (1 - offered / servers * (1 - blocked))
    return queued * math.exp(-(servers - offered) * bound / seconds)


def count_servers(rate: float, seconds: float, bound: float, share: float) -> int:
    """The smallest number of servers that are busy for at most `BUSY` of the time and let at most `share` wait longer
    than `bound`.
    """
    count = max(1, math.ceil(rate * seconds / BUSY))
    while share_waiting(rate, seconds, count, bound) > share:
        count += 1
    return count


def list_limits(costs: Costs) -> list[tuple[str, float, str]]:
    """(what, whole calls a second at `BUSY` of it, the remedy), the narrowest first."""
    threads = OF_PROCESS["worker"] / (costs.hits * PORTAL_SECONDS)
    rows = [
        (
            "an ordinary portal's own budget, alone",
            BUDGET / costs.hits,
            "calls share requests: to reach 3 a second at 0.66 requests a call",
        ),
        ("one web process", BUSY * 1e3 / costs.web, "a process more: a port and a unit each, the proxy takes turns"),
        ("one worker process, its CPU", BUSY * 1e3 / costs.worker, "a process more: BX24APP_WORKERS, then machines"),
        (
            f"one worker process, portals of {PORTAL_SECONDS * 1e3:.0f} ms",
            threads,
            "more threads: BX24APP_WORKER_THREADS",
        ),
        (f"PostgreSQL of {DATABASE_CORES} cores, CPU", BUSY * 1e3 * DATABASE_CORES / costs.postgres, "a cell more"),
        (
            f"PostgreSQL, {COMMITS:,} commits a second",
            BUSY * COMMITS / costs.commits,
            "`synchronous_commit` stays on: a cell more",
        ),
        (
            "PostgreSQL, 200 MB of WAL a second",
            BUSY * WAL_LIMIT / costs.wal,
            "a disk of its own for WAL, then a cell more",
        ),
        (
            "one Valkey, the thread that does its commands",
            BUSY * 1e3 / costs.valkey,
            "fewer commands a call (not tried), then a cell more",
        ),
    ]
    return sorted(rows, key=lambda row: row[1])


def cell_capacity(costs: Costs) -> float:
    """Calls a second that one PostgreSQL and one Valkey can serve."""
    return min(carried for what, carried, _ in list_limits(costs) if what.startswith(("PostgreSQL", "one Valkey")))


def plan_size(size: Size, costs: Costs) -> Plan:
    cells = math.ceil(size.calls / cell_capacity(costs))
    share = size.calls / cells
    web = cells * count_servers(share * NOTIFICATIONS, costs.web / NOTIFICATIONS / 1e3, WEB_WAIT, 0.01)
    worker = cells * max(
        count_servers(share, costs.worker / 1e3, WORKER_WAIT, 0.05),
        math.ceil(share * costs.hits * PORTAL_SECONDS / OF_PROCESS["worker"] / BUSY),
    )
    small = web + worker <= 2  # `bx24app up`, all of it on one machine
    by_cores = math.ceil((web + worker) / CORES)
    by_memory = math.ceil((web * costs.web_mb + worker * costs.worker_mb) / (GIGABYTES * 1e3 * BUSY))
    machines = 1 if small else max(2, by_cores, by_memory) + 2 * cells  # PostgreSQL with its standby; Valkey beside it
    connections = (web * OF_PROCESS["web"] + worker * OF_PROCESS["worker"]) / cells
    year = size.calls * LOAD * HOURS * 3600 * DAYS
    first = _first_limit(size, cells, connections, costs)
    return Plan(size, cells, web, worker, machines, year * costs.stored / 1e12, first)


def _first_limit(size: Size, cells: int, connections: float, costs: Costs) -> str:
    if size.calls / size.portals > BUDGET / costs.hits:
        return "the portal's budget"
    if cells > 1:
        return "Valkey, then PostgreSQL: cells"
    if connections > CONNECTIONS:
        return "connections: a pooler"
    return "a web process" if size.calls > BUSY * 1e3 / costs.web else "nothing"
