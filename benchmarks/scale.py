"""How many machines each part needs, from one small office to 100,000 portals. Prints the tables of docs/scale.md.

python -m benchmarks.scale [--write]     (`--write` writes them into the document; a test compares)

The model is `benchmarks.scale_model`.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from benchmarks.scale_model import NOTIFICATIONS, SIZES, Costs, list_limits, plan_size

ROOT = Path(__file__).resolve().parent.parent
RESULT, DOCUMENT = ROOT / "benchmarks" / "results" / "cost.json", ROOT / "docs" / "scale.md"

_FIGURE_NAMES = {
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


def read_costs() -> Costs:
    """The costs of a call as last measured.

    Raises:
        FileNotFoundError: never measured; run `python -m benchmarks cost --json benchmarks/results/cost.json`.
    """
    report = json.loads(RESULT.read_text(encoding="utf-8"))
    figures = {figure["name"]: figure["ours"] for figure in report["figures"]}
    return _build_costs(figures, f"`benchmarks/results/{RESULT.name}`, {report['at'][:10]}, median of {report['runs']}")


def _build_costs(figures: dict[str, Any], source: str) -> Costs:
    return Costs(**{name: figures[title] for name, title in _FIGURE_NAMES.items()}, source=source)


def build_tables() -> dict[str, str]:
    """The tables of the document by name."""
    costs = read_costs()
    inputs = [
        "| of one whole call | |",
        "|---|---:|",
        f"| CPU of the web part, {NOTIFICATIONS} acknowledgements | {costs.web:.0f} ms |",
        f"| CPU of the worker | {costs.worker:.0f} ms |",
        f"| CPU of PostgreSQL | {costs.postgres:.0f} ms |",
        f"| CPU of Valkey | {costs.valkey:.1f} ms |",
        f"| commits | {costs.commits:.0f} |",
        f"| rows written | {costs.rows:.0f} |",
        f"| WAL | {costs.wal / 1e3:.0f} KB |",
        f"| tables and indexes | {costs.stored / 1e3:.1f} KB |",
        f"| Valkey commands | {costs.commands:.0f} |",
        f"| requests to the portal, none saved | {costs.hits:.1f} |",
        f"| PSS of a web process | {costs.web_mb:.0f} MB |",
        f"| PSS of a worker process | {costs.worker_mb:.0f} MB |",
        "",
        f"Measured by `python -m benchmarks cost`: {costs.source}.",
    ]
    breaks = ["| what | whole calls a second | then |", "|---|---:|---|"]
    breaks += [f"| {what} | {_format_rate(carried)} | {then} |" for what, carried, then in list_limits(costs)]
    parts = [
        "| | calls/s | web | worker | cron | PostgreSQL | Valkey | machines | a year's rows | first limit |",
        f"|---|{'---:|' * 8}---|",
    ]
    for size in SIZES:
        need = plan_size(size, costs)
        cron = 1 if need.machines == 1 else 2 * need.cells
        cells = [
            size.name,
            f"{size.calls:,g}",
            need.web,
            need.worker,
            cron,
            need.cells,
            need.cells,
            need.machines,
            _format_size(need.terabytes),
            need.first,
        ]
        parts.append("| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells) + " |")
    return {"inputs": "\n".join(inputs), "limits": "\n".join(breaks), "sizes": "\n".join(parts)}


def _format_rate(number: float) -> str:
    return f"{number:.2g}" if number < 10 else f"{number:,.0f}"


def _format_size(terabytes: float) -> str:
    return f"{terabytes:,.1f} TB" if terabytes >= 1 else f"{terabytes * 1e3:,.1f} GB"


def insert_tables(text: str) -> str:
    """The document with the current tables.

    Raises:
        ValueError: the document has no place for a table.
    """
    for name, table in build_tables().items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        if not place.search(text):
            raise ValueError(f"{DOCUMENT} has no place for {name}")
        text = place.sub(lambda match, table=table: match[1] + table + match[2], text)  # type: ignore[misc]
    return text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    if parser.parse_args().write:
        DOCUMENT.write_text(insert_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print("\n\n".join(build_tables().values()))


if __name__ == "__main__":
    main()
