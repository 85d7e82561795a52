"""Every page of the frame and of the tabs after a year: milliseconds, the slowest query with its plan, weight, first
paint.

python -m benchmarks pages [--quick]
"""

from __future__ import annotations

import gzip
import posixpath
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import quantiles
from time import perf_counter
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, func, select

from benchmarks import paint
from benchmarks.filled import PBX, filled
from benchmarks.measure import Figure, Measure
from bx24app.models import Call, CallPerson, Portal, db, utcnow
from bx24app.web.base import session
from bx24app.web.base.session import FrameSession, PlacementSession

REACH_MS, REACH_KB = 200.0, 150.0
CALLS, EACH = 1_000_000, 3
TIMES = 7
SDK = "vendor/b24jssdk.min.js"
"""Browsers load it once and cache it, so it does not count."""
_LOADED = re.compile(r'(?:src|href)="(/assets/[^"]+\.(?:js|css))"')


@dataclass
class PageRequest:
    """A page to measure: its name, its address, and the header that opens it."""

    name: str
    address: str
    header: dict[str, str]


@dataclass
class PageResult:
    """The measurement of a page. `query` and `plan` are those of its slowest query."""

    name: str
    taken: list[float] = field(default_factory=list)
    query: str = ""
    query_ms: float = 0.0
    queries: int = 0
    plan: str = ""
    kilobytes: float = 0.0

    @property
    def median(self) -> float:
        return sorted(self.taken)[len(self.taken) // 2]

    @property
    def p95(self) -> float:
        return quantiles(self.taken, n=20, method="inclusive")[-1]


def pages(app: Flask, portal_id: int) -> list[PageRequest]:
    """All pages that a GET shows in the frame and in the tabs."""
    with app.app_context(), app.test_request_context():
        portal = db.session.get_one(Portal, portal_id)
        admin = {session.HEADER: session.issue(FrameSession(portal_id, portal.member_id, 1, True, "en"))}
        busy = db.session.scalar(
            select(CallPerson.user_id).where(CallPerson.portal_id == portal_id).order_by(CallPerson.call_id).limit(1)
        )
        own = {session.HEADER: session.issue(FrameSession(portal_id, portal.member_id, busy or 2, False, "en"))}
        middle = db.session.scalar(select(func.max(Call.id) / 2)) or 1
        call = db.session.scalars(
            select(Call).where(Call.id > middle, Call.visible, Call.talk_seconds > 0).limit(1)
        ).one()
        far = db.session.scalars(select(Call).where(Call.id > middle // 5).order_by(Call.id).limit(1)).one()
        deep = f"{far.started_at.isoformat().replace('+', '%2B')}_{far.id}"
        facts = (call.id, call.client_number, call.line_number, call.crm[0]["id"])
        tabs = _tabs(portal, facts[1] or "", int(facts[3]))
        db.session.remove()
    year, today = (utcnow() - timedelta(days=364)).date(), utcnow().date()
    listed = "/frame/calls/list"
    addresses = [
        ("overview", "/frame"),
        ("ticks of the test call", "/frame/ticks"),
        ("journal", "/frame/calls"),
        ("journal, next rows", f"/frame/calls/more?below={deep}"),
        ("journal, a whole number", f"{listed}?q=%2B{str(facts[1])[1:]}"),
        ("journal, part of a number", f"{listed}?q=1234567"),
        ("journal, a line", f"{listed}?line={facts[2]}"),
        ("journal, a PBX", f"{listed}?pbx={PBX}"),
        ("journal, internal", f"{listed}?direction=internal"),
        ("journal, missed", f"{listed}?outcome=missed"),
        ("journal, an employee", f"{listed}?employee={busy}"),
        ("journal, of days", f"{listed}?since={year}&until={year + timedelta(days=9)}"),
        ("journal, problems", f"{listed}?problems=1"),
        ("journal, all of it", f"{listed}?direction=out&outcome=failed&line={facts[2]}&since={year}"),
        ("a call", f"/frame/calls/{facts[0]}"),
        *((f"stuck: {kind}", f"/frame/stuck/{kind}") for kind in ("dead", "waiting", "recordings", "rejected")),
        ("statistics, a day", f"/frame/statistics?period=own&since={today}&until={today}"),
        ("statistics, a month", "/frame/statistics?period=30"),
        ("statistics, a year", "/frame/statistics?period=365"),
        ("PBXs", "/frame/pbxs"),
        ("a new PBX", "/frame/pbxs/new"),
        ("a PBX", f"/frame/pbxs/{PBX}"),
        ("a PBX, edit", f"/frame/pbxs/{PBX}/edit"),
        ("a PBX, address", f"/frame/pbxs/{PBX}/address"),
        ("a PBX, pulse", f"/frame/pbxs/{PBX}/pulse"),
        ("a PBX, remove", f"/frame/pbxs/{PBX}/remove"),
        ("employees", f"/frame/pbxs/{PBX}/employees"),
        ("employees, unmapped", f"/frame/pbxs/{PBX}/employees?unmapped=1"),
        ("employees, file", f"/frame/pbxs/{PBX}/employees/file"),
        ("lines", f"/frame/pbxs/{PBX}/lines"),
        ("rules", "/frame/rules"),
        ("handling of calls", "/frame/policy"),
        ("history", "/frame/history"),
        ("a version", "/frame/history/1"),
        ("back to a version", "/frame/history/1/back"),
        ("back-fill", "/frame/backfill"),
        ("back-fill, progress", "/frame/backfill/progress"),
    ]
    requests = [PageRequest(name, address, admin) for name, address in addresses]
    requests += [
        PageRequest("my calls", "/frame", own),
        PageRequest("my calls, missed", f"{listed}?outcome=missed", own),
    ]
    return requests + [PageRequest(name, "/place/calls", header) for name, header in tabs]


def _tabs(portal: Portal, number: str, contact: int) -> list[tuple[str, dict[str, str]]]:
    def header(records: tuple[tuple[str, int], ...], number: str) -> dict[str, str]:
        proof = records[0] if number and records else None
        claim = PlacementSession(portal.id, portal.member_id, 1, "en", records, number, proof)
        return {session.HEADER: session.issue_placement(claim)}

    return [
        ("tab in a record", header((("contact", contact),), "")),
        ("tab in the call card", header((("contact", contact),), number)),
        ("tab in the call card, own calls", header((), number)),
    ]


@contextmanager
def recorded_queries() -> Iterator[list[tuple[float, str, Any]]]:
    """Collects seconds, text and parameters of every query inside the block."""
    queries: list[tuple[float, str, Any]] = []

    def before(connection: Any, *_: Any) -> None:
        connection.info["began"] = perf_counter()

    def after(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        queries.append((perf_counter() - connection.info["began"], statement, parameters))

    event.listen(db.engine, "before_cursor_execute", before)
    event.listen(db.engine, "after_cursor_execute", after)
    try:
        yield queries
    finally:
        event.remove(db.engine, "before_cursor_execute", before)
        event.remove(db.engine, "after_cursor_execute", after)


def measure(app: Flask, page: PageRequest, times: int) -> PageResult:
    """Measures one page after a warm-up request."""
    result, client = PageResult(page.name), app.test_client()
    for number in range(times + 1):
        with app.app_context(), recorded_queries() as queries:
            began = perf_counter()
            answer = client.get(page.address, headers=page.header)
            taken = (perf_counter() - began) * 1000
        if answer.status_code != 200:
            raise RuntimeError(f"{page.address} answered {answer.status_code}: {answer.text[:300]}")
        if number:
            result.taken.append(taken)
            result.queries = len(queries)
    if queries:
        seconds, statement, parameters = max(queries, key=lambda one: one[0])
        result.query_ms, result.query = seconds * 1000, " ".join(statement.split())
        with app.app_context():
            result.plan = plan(statement, parameters)
    return result


def plan(statement: str, parameters: Any) -> str:
    """The nodes of PostgreSQL's plan that read tables."""
    if not statement.lstrip().startswith("SELECT"):
        return ""
    with db.engine.connect() as connection:
        [[root]] = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).all()
    return ", ".join(dict.fromkeys(_reads(root[0]["Plan"])))


def _reads(node: dict[str, Any]) -> Iterator[str]:
    if "Relation Name" in node:
        yield f"{node['Node Type']} {node.get('Index Name') or node['Relation Name']}"
    elif "Index Name" in node:
        yield f"{node['Node Type']} {node['Index Name']}"
    for below in node.get("Plans", ()):
        yield from _reads(below)


def weight(client: FlaskClient, shell: str) -> float:
    """Kilobytes, compressed, of the scripts and styles that a whole page loads, with imported modules, without the SDK.
    """
    open_, seen, total = _LOADED.findall(shell), set(), 0
    while open_:
        address = open_.pop()
        if address in seen or address.endswith(SDK):
            continue
        seen.add(address)
        answer = client.get(address, headers={"Accept-Encoding": "gzip"})
        total += len(answer.data)
        source = gzip.decompress(answer.data).decode() if "vendor" not in address else ""
        wanted = re.findall(r"""(?:from|import)\s*\(?\s*['"](\.[\w./]+)['"]""", source)
        if "data-chart" not in shell:
            wanted = [name for name in wanted if "chart.umd" not in name]  # loaded only where a chart is drawn
        open_ += [posixpath.normpath(posixpath.join(posixpath.dirname(address), name)) for name in wanted]
    return total / 1024


def _run(quick: bool) -> list[Figure]:
    calls, times = (20_000, 3) if quick else (CALLS, TIMES)
    with filled(calls, EACH, quick) as (app, portal_id):
        return figures(app, portal_id, times)


def figures(app: Flask, portal_id: int, times: int) -> list[Figure]:
    """Measures all pages of a filled app. The table with the queries is printed to stderr."""
    results = [measure(app, page, times) for page in pages(app, portal_id)]
    shells, painted = paint.measure(app, portal_id)
    heavy = {name: weight(app.test_client(), html) for name, html in shells.items()}
    _print(results)
    measured = [
        Figure(
            f"page: {one.name}",
            one.p95,
            "ms",
            f"under {REACH_MS:.0f} ms",
            one.p95 < REACH_MS,
            note=f"median {one.median:.0f} ms",
        )
        for one in results
    ]
    measured += [
        Figure(f"weight: {name}", size, "KB", f"{REACH_KB:.0f} KB", size <= REACH_KB) for name, size in heavy.items()
    ]
    return measured + [
        Figure(f"first paint: {name}", ms, "ms", "under 1000 ms", ms < 1000) for name, ms in painted.items()
    ]


def _print(results: list[PageResult]) -> None:
    print("| page | median ms | p95 ms | queries | slowest query ms | its plan |", file=sys.stderr)
    print("|---|---:|---:|---:|---:|---|", file=sys.stderr)
    for one in sorted(results, key=lambda one: -one.p95):
        words = f"| {one.name} | {one.median:.0f} | {one.p95:.0f} | {one.queries} | {one.query_ms:.1f} | {one.plan} |"
        print(words, file=sys.stderr)
        if one.p95 >= REACH_MS:
            print(f"    {one.query[:1500]}", file=sys.stderr)


MEASURES = (Measure("pages", "every page with a million calls, 10,000 employees, 500 lines", _run),)
