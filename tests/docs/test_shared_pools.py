"""Every shared pool of the program has a bound per tenant: the table in docs/reliability.md is whole.

Whoever adds a pool (threads, a semaphore, connections, a queue, a gate) adds a row: what it is, the modules in
backquotes (path below bx24app without `.py`), its size, and how much of it one tenant can hold. If the pool is made in
a way that `sites` does not recognise, its word goes into MAKERS. `FIGURES` holds the numbers that a row must name.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from bx24app.calls import giving_way
from bx24app.calls.outbox import in_flight
from bx24app.calls.recordings import turns
from bx24app.infra import background_share, gate_kinds, worker
from bx24app.infra.queue import QUEUES

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "bx24app"
MAKERS = {
    "Thread",
    "ThreadPoolExecutor",
    "ProcessPoolExecutor",
    "ThreadPool",
    "Semaphore",
    "BoundedSemaphore",
    "HTTPAdapter",
    "GuardedAdapter",
    "GateKind",
}
"""Names whose call, or whose subclass, makes a pool."""
FIGURES = {
    "infra/gate_kinds": (gate_kinds.MAX_TAKEN, gate_kinds.TAB.over_all, gate_kinds.TAB.per_party),
    "calls/outbox/in_flight": (in_flight.THREADS, *in_flight.SHARES.values()),
    "calls/giving_way": (giving_way.LARGE_CALLS,),
    "calls/recordings/turns": (turns.THREADS_PER_PORTAL,),
    "infra/background_share": (worker.BACKGROUND_THREADS, background_share.BUSY_RETRY.seconds),
}


def sites(package: Path = PACKAGE) -> set[str]:
    """The modules that make a shared pool."""
    found = set()
    for path in package.rglob("*.py"):
        module = str(path.relative_to(package).with_suffix(""))
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if not module.startswith("sandbox/") and any(map(_makes_pool, nodes)):
            found.add(module)
    return found


def _makes_pool(node: ast.AST) -> bool:
    match node:
        case ast.Call():
            return _name(node.func) in MAKERS
        case ast.ClassDef():
            return any(_name(base) in MAKERS - {"GuardedAdapter", "HTTPAdapter"} for base in node.bases)
        case ast.Dict():
            return any(isinstance(key, ast.Constant) and key.value == "pool_size" for key in node.keys)
        case ast.arguments():
            sized = [*node.posonlyargs, *node.args][::-1], node.defaults[::-1]
            return any(arg.arg == "threads" for arg, _ in zip(*sized, strict=False))
        case _:
            return False


def _name(node: ast.expr) -> str:
    match node:
        case ast.Attribute():
            return node.attr
        case ast.Subscript():
            return ast.unparse(node)
        case ast.Name():
            return node.id
        case _:
            return ""


def table() -> list[list[str]]:
    text = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    rows = text.partition("| pool | where |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def test_every_pool_is_in_the_table() -> None:
    listed = {module for row in table() for module in re.findall(r"`([\w/]+)`", row[1])}
    assert sites() - listed == set(), "a pool needs a bound per tenant, and its row in docs/reliability.md"
    assert {module for module in listed if not (PACKAGE / f"{module}.py").exists()} == set()


def test_every_row_has_a_size_and_a_bound() -> None:
    assert len(table()) > 10
    for row in table():
        assert len(row) == 4, row
        assert all(row), row


@pytest.mark.parametrize("module", FIGURES)
def test_the_figures_are_those_of_the_code(module: str) -> None:
    [row] = [row for row in table() if f"`{module}`" in row[1]]
    numbers = set(map(int, re.findall(r"\b\d+\b", f"{row[2]} {row[3]}")))
    assert set(FIGURES[module]) <= numbers


def test_every_queue_is_named_and_has_threads() -> None:
    [row] = [row for row in table() if row[0].startswith("the queues")]
    assert set(re.findall(r"`(\w+)`", row[0])) == set(QUEUES)
    assert set(worker.THREAD_QUEUES) == set(QUEUES)


@pytest.mark.parametrize(
    "source",
    [
        "threads = ThreadPoolExecutor(8)",
        "class _Slot(threading.Semaphore): ...",
        "def serve(threads: int = 4): ...",
        'options = {"pool_size": 3}',
    ],
)
def test_a_new_pool_is_found(tmp_path: Path, source: str) -> None:
    (tmp_path / "new.py").write_text(source)
    assert sites(tmp_path) == {"new"}
