"""Every deferred call has a column that rings again if Redis forgets it: the table in docs/reliability.md is whole."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from bx24app.infra.worker import PERIODIC_JOBS
from bx24app.models import Base

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "bx24app"
DEFERRING = {
    "wake_portal",
    "wake_at",
    "wake_recordings",
    "wake",
    "enqueue_background",
    "ring",
    "queue_request",
    "enqueue",
    "enqueue_at",
    "enqueue_in",
}
"""Names of functions that let a job run later; `enqueue…` are those of RQ."""
WITHIN_QUEUE = {"jobs", "infra/queue", "infra/wakeups", "infra/worker", "infra/background_share"}
"""They carry out what the others ask for, or are the clock that rings."""


def sites(package: Path = PACKAGE) -> dict[str, set[str]]:
    """Module -> the deferring functions that it calls."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in package.rglob("*.py"):
        module = str(path.relative_to(package).with_suffix(""))
        if module.startswith("sandbox/"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
                if name in DEFERRING and module not in WITHIN_QUEUE:
                    found[module].add(name)
    return dict(found)


def table() -> list[list[str]]:
    text = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    rows = text.partition("| deferred call |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def test_every_place_that_defers_something_is_in_the_table() -> None:
    listed: dict[str, set[str]] = defaultdict(set)
    for _, places, *_ in table():
        for module, name in re.findall(r"`([\w/]+)\.(\w+)`", places):
            listed[module].add(name)
    assert sites() == dict(listed), "it needs a column that rings again, and its row in docs/reliability.md"


def test_every_row_names_a_column_and_a_periodic_job_that_rings() -> None:
    columns = {f"{name}.{column.name}" for name, of in Base.metadata.tables.items() for column in of.columns}
    rings = {job for job, _, _ in PERIODIC_JOBS}
    assert len(table()) > 5
    for what, _, column, job, within in table():
        named = set(re.findall(r"`(\w+\.\w+)`", column))
        assert named, what
        assert named <= columns, what
        assert set(re.findall(r"`(\w+)`", job)) & rings, what
        assert re.search(r"\d+ (s|min|h)", within), what


def test_a_new_place_is_found(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text('def save():\n    queue.enqueue_background("forget_me", 1)\n')
    assert sites(tmp_path) == {"new": {"enqueue_background"}}
