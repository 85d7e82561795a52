"""Pages do no SQL: a query lives with its feature, where alerts, the journal and the command line can use it too."""

from __future__ import annotations

import ast
from pathlib import Path

import bx24app.web

WEB = Path(bx24app.web.__file__).parent
STILL_QUERYING = {
    "rules/dry_run_page.py",
}
"""Modules whose queries are not moved yet. Only shrinks."""
_QUERY_METHODS = {"execute", "scalar", "scalars", "get", "get_one", "query", "merge", "add", "add_all", "delete"}
_SQL_NAMES = {"select", "insert", "update", "delete", "text", "union", "func", "exists"}


def query_lines(source: str) -> list[int]:
    """Lines that build a statement or run one on the database session. Ending a transaction is not a query."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sqlalchemy":
            if _SQL_NAMES & {name.name for name in node.names}:
                lines.append(node.lineno)
        elif isinstance(node, ast.Attribute) and node.attr in _QUERY_METHODS and _is_session(node.value):
            lines.append(node.lineno)
    return lines


def _is_session(node: ast.expr) -> bool:
    return ast.unparse(node).removesuffix("()") in ("db.session", "session.session") or ast.unparse(node) == "db"


def offenders() -> set[str]:
    return {str(path.relative_to(WEB)) for path in WEB.rglob("*.py") if query_lines(path.read_text())}


def test_no_page_queries_the_database() -> None:
    assert offenders() - STILL_QUERYING == set(), "move the query to its feature: calls/journal, portals, operations …"


def test_the_list_of_exceptions_shrinks() -> None:
    assert STILL_QUERYING - offenders() == set(), "remove it from STILL_QUERYING"


def test_a_query_is_found() -> None:
    assert query_lines("from sqlalchemy import select") == [1]
    assert query_lines("row = db.session.get(Portal, 1)") == [1]
    assert query_lines("rows = db.session().scalars(query)") == [1]
    assert query_lines("db.session.commit()\ndb.session.rollback()\nrequest.args.get('x')") == []
