"""How many machines each part needs, from one small office to 100,000 portals. Prints the tables of docs/scale.md.

python -m benchmarks.scale [--write]     (`--write` writes them into the document; a test compares)

A part is a queue with several servers (M/M/c), fed by the measured costs: as many processes as keep both the load under
`BUSY` and the wait under its bound (Erlang C).
"""

from __future__ import annotations

import argparse
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULT, DOCUMENT = ROOT / "benchmarks" / "results" / "cost.json", ROOT / "docs" / "scale.md"

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


_WORDS = {
    "web": "CPU a call, web",
    "worker": "CPU a call, worker",
    "postgres": "CPU a call, PostgreSQL",
    "valkey": "CPU a call, Valkey",
    "commits": "commits a call",
    "rows": "rows written a call",
    "wal": "WAL a call",
    "stored": "tables and indexes a call",
    "commands": "Valkey commands a call",
    "hits": "portal requests a call",
    "web_mb": "PSS, web",
    "worker_mb": "PSS, worker",
}
"""Figures of `benchmarks.cost`."""


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


def costs() -> Costs:
    """The costs of a call as last measured.

    Raises:
        FileNotFoundError: never measured; run `python -m benchmarks cost --json benchmarks/results/cost.json`.
    """
    report = json.loads(RESULT.read_text(encoding="utf-8"))
    figures = {figure["name"]: figure["ours"] for figure in report["figures"]}
    return _costs(figures, f"`benchmarks/results/{RESULT.name}`, {report['at'][:10]}, median of {report['runs']}")


def _costs(figures: dict[str, Any], source: str) -> Costs:
    return Costs(**{name: figures[words] for name, words in _WORDS.items()}, source=source)


def waits(rate: float, seconds: float, servers: int, bound: float) -> float:
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


def servers(rate: float, seconds: float, bound: float, share: float) -> int:
    """The smallest number of servers that are busy for at most `BUSY` of the time and let at most `share` wait longer
    than `bound`.
    """
    count = max(1, math.ceil(rate * seconds / BUSY))
    while waits(rate, seconds, count, bound) > share:
        count += 1
    return count


def limits(of: Costs) -> list[tuple[str, float, str]]:
    """(what, whole calls a second at `BUSY` of it, the remedy), the narrowest first."""
    threads = OF_PROCESS["worker"] / (of.hits * PORTAL_SECONDS)
    rows = [
        (
            "an ordinary portal's own budget, alone",
            BUDGET / of.hits,
            "calls share requests: to reach 3 a second at 0.66 requests a call",
        ),
        ("one web process", BUSY * 1e3 / of.web, "a process more: a port and a unit each, the proxy takes turns"),
        ("one worker process, its CPU", BUSY * 1e3 / of.worker, "a process more: BX24APP_WORKERS, then machines"),
        (
            f"one worker process, portals of {PORTAL_SECONDS * 1e3:.0f} ms",
            threads,
            "more threads: BX24APP_WORKER_THREADS",
        ),
        (f"PostgreSQL of {DATABASE_CORES} cores, CPU", BUSY * 1e3 * DATABASE_CORES / of.postgres, "a cell more"),
        (
            f"PostgreSQL, {COMMITS:,} commits a second",
            BUSY * COMMITS / of.commits,
            "`synchronous_commit` stays on: a cell more",
        ),
        (
            "PostgreSQL, 200 MB of WAL a second",
            BUSY * WAL_LIMIT / of.wal,
            "a disk of its own for WAL, then a cell more",
        ),
        (
            "one Valkey, the thread that does its commands",
            BUSY * 1e3 / of.valkey,
            "fewer commands a call (not tried), then a cell more",
        ),
    ]
    return sorted(rows, key=lambda row: row[1])


def of_cell(of: Costs) -> float:
    """Calls a second that one PostgreSQL and one Valkey can serve."""
    return min(carried for what, carried, _ in limits(of) if what.startswith(("PostgreSQL", "one Valkey")))


def plan(size: Size, of: Costs) -> Plan:
    cells = math.ceil(size.calls / of_cell(of))
    share = size.calls / cells
    web = cells * servers(share * NOTIFICATIONS, of.web / NOTIFICATIONS / 1e3, WEB_WAIT, 0.01)
    worker = cells * max(
        servers(share, of.worker / 1e3, WORKER_WAIT, 0.05),
        math.ceil(share * of.hits * PORTAL_SECONDS / OF_PROCESS["worker"] / BUSY),
    )
    small = web + worker <= 2  # `bx24app up`, all of it on one machine
    by_cores = math.ceil((web + worker) / CORES)
    by_memory = math.ceil((web * of.web_mb + worker * of.worker_mb) / (GIGABYTES * 1e3 * BUSY))
    machines = 1 if small else max(2, by_cores, by_memory) + 2 * cells  # PostgreSQL with its standby; Valkey beside it
    connections = (web * OF_PROCESS["web"] + worker * OF_PROCESS["worker"]) / cells
    year = size.calls * LOAD * HOURS * 3600 * DAYS
    first = _first(size, cells, connections, of)
    return Plan(size, cells, web, worker, machines, year * of.stored / 1e12, first)


def _first(size: Size, cells: int, connections: float, of: Costs) -> str:
    if size.calls / size.portals > BUDGET / of.hits:
        return "the portal's budget"
    if cells > 1:
        return "Valkey, then PostgreSQL: cells"
    if connections > CONNECTIONS:
        return "connections: a pooler"
    return "a web process" if size.calls > BUSY * 1e3 / of.web else "nothing"


def tables() -> dict[str, str]:
    """The tables of the document by name."""
    of = costs()
    inputs = [
        "| of one whole call | |",
        "|---|---:|",
        f"| CPU of the web part, {NOTIFICATIONS} acknowledgements | {of.web:.0f} ms |",
        f"| CPU of the worker | {of.worker:.0f} ms |",
        f"| CPU of PostgreSQL | {of.postgres:.0f} ms |",
        f"| CPU of Valkey | {of.valkey:.1f} ms |",
        f"| commits | {of.commits:.0f} |",
        f"| rows written | {of.rows:.0f} |",
        f"| WAL | {of.wal / 1e3:.0f} KB |",
        f"| tables and indexes | {of.stored / 1e3:.1f} KB |",
        f"| Valkey commands | {of.commands:.0f} |",
        f"| requests to the portal, none saved | {of.hits:.1f} |",
        f"| PSS of a web process | {of.web_mb:.0f} MB |",
        f"| PSS of a worker process | {of.worker_mb:.0f} MB |",
        "",
        f"Measured by `python -m benchmarks cost`: {of.source}.",
    ]
    breaks = ["| what | whole calls a second | then |", "|---|---:|---|"]
    breaks += [f"| {what} | {_few(carried)} | {then} |" for what, carried, then in limits(of)]
    parts = [
        "| | calls/s | web | worker | cron | PostgreSQL | Valkey | machines | a year's rows | first limit |",
        f"|---|{'---:|' * 8}---|",
    ]
    for size in SIZES:
        one = plan(size, of)
        cron = 1 if one.machines == 1 else 2 * one.cells
        cells = [
            size.name,
            f"{size.calls:,g}",
            one.web,
            one.worker,
            cron,
            one.cells,
            one.cells,
            one.machines,
            _bytes(one.terabytes),
            one.first,
        ]
        parts.append("| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells) + " |")
    return {"inputs": "\n".join(inputs), "limits": "\n".join(breaks), "sizes": "\n".join(parts)}


def _few(number: float) -> str:
    return f"{number:.2g}" if number < 10 else f"{number:,.0f}"


def _bytes(terabytes: float) -> str:
    return f"{terabytes:,.1f} TB" if terabytes >= 1 else f"{terabytes * 1e3:,.1f} GB"


def written(text: str) -> str:
    """The document with the current tables.

    Raises:
        ValueError: the document has no place for a table.
    """
    for name, table in tables().items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        if not place.search(text):
            raise ValueError(f"{DOCUMENT} has no place for {name}")
        text = place.sub(lambda match, table=table: match[1] + table + match[2], text)  # type: ignore[misc]
    return text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    if parser.parse_args().write:
        DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print("\n\n".join(tables().values()))


if __name__ == "__main__":
    main()
