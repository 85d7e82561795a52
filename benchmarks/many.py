"""Ten thousand installed portals, a thousand of them active: the cost of periodic jobs, wake-ups and memory, against
ten portals.

The jobs run here one after the other, over PostgreSQL and Valkey, as cron queues them. The jobs that they queue are
counted, not run.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import Table, event, func, select, text, update

from benchmarks.filled import server
from benchmarks.large import peak
from benchmarks.measure import Figure, Measure
from bx24app import jobs, settings
from bx24app.calls import drain
from bx24app.calls.statistics import aggregation
from bx24app.domain.settings import Settings
from bx24app.infra import wake_list
from bx24app.infra.runtime import runtime
from bx24app.infra.worker import PERIODIC_JOBS
from bx24app.models import Call, Grant, Pbx, Portal, SettingsVersion, db, utcnow

FEW, MANY, QUICK = 10, 10_000, 1_000
ACTIVE = 10
"""One portal of this number is active: it had calls within the hour."""
SHARE = 0.01
"""Share of one core that all idle portals of an installation may cost together."""
OWN = {
    "id",
    "portal_id",
    "member_id",
    "hook_key",
    "hook_hash",
    "api_key",
    "settings_version_id",
    "last_notification_at",
}
DOCUMENT = {"pbxs": [{"key": "moscow", "name": "Moscow", "default_user_id": 1, "lines": [{"number": "74950000001"}]}]}


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of an installation.

    Attributes:
        queries: of every periodic job once.
        milliseconds: of all periodic jobs in a minute, at cron's pace.
        woken: queries and milliseconds of a sweep that finds something due for every active portal, and the jobs it
            queued.
        drained: milliseconds of one drain.
        memory: MB at the peak.
    """

    queries: int
    milliseconds: float
    woken: tuple[int, float, int]
    drained: float
    memory: float


def _first() -> None:
    """Creates a portal as installation and settings leave it. The others are copies of its rows."""
    row = Portal(
        member_id="0" * 32, domain="bench.test", client_endpoint="https://bench.test/rest/", server_endpoint="https://oauth.bitrix.info",
        client_id="local.bench", state="active", application_token="bench", looked_at=utcnow(),
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    token = {"access_token": "a" * 70, "refresh_token": "r" * 70, "expires_at": utcnow(), "refreshed_at": utcnow()}
    db.session.add(Grant(portal_id=row.id, user_id=1, **token))
    settings.save_version(row, Settings.model_validate(DOCUMENT), {"moscow": ("k" * 32, "s" * 32)})
    db.session.commit()
    db.session.execute(update(Pbx).values(asked_at=utcnow(), ask_at=func.now() + text("interval '40 minutes'")))
    db.session.commit()


def install(count: int) -> None:
    """Creates `count` portals, with one finished call, half an hour old, for each active one."""
    _first()
    many = {"count": count, "active": ACTIVE}
    _copy(Portal, many, member_id="md5(n::text)")
    _copy(Grant, many)
    _copy(SettingsVersion, many)
    last_notification = "CASE WHEN n % :active = 0 THEN now() - interval '30 minutes' END"
    _copy(
        Pbx,
        many,
        hook_key="md5('h' || n)",
        hook_hash="md5('d' || n)",
        last_notification_at=last_notification,
        api_key="api_key",
    )
    db.session.execute(
        text(
            "UPDATE portal SET settings_version_id = v.id FROM settings_version AS v WHERE v.portal_id = portal.id; "
            "INSERT INTO call (portal_id, pbx_id, pbx_key, entry_id, visible, state, direction, started_at, ended_at, talk_seconds, users, crm,"  # noqa: E501
            " facts, heard_at, updated_at, settings_version_id) SELECT portal_id, id, key, 'entry', true, 'finished', 'in', last_notification_at,"  # noqa: E501
            " last_notification_at, 60, '[]', '[]', '{}', last_notification_at, last_notification_at,"
            " (SELECT v.id FROM settings_version AS v WHERE v.portal_id = pbx.portal_id)"
            " FROM pbx WHERE last_notification_at IS NOT NULL"
        )
    )
    db.session.commit()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _copy(model: Any, many: dict[str, int], **own: str) -> None:
    """Copies the first portal's row of a table for all others."""
    table: Table = model.__table__
    same = [column.name for column in table.columns if column.name not in OWN]
    theirs = dict(own)
    if "portal_id" in table.columns:
        theirs["portal_id"] = "n"
    names = [*same, *theirs]
    values = ", ".join([f'"{table.name}"."{name}"' for name in same] + list(theirs.values()))
    used = {name: value for name, value in many.items() if name == "count" or f":{name}" in values}
    columns = ", ".join(f'"{name}"' for name in names)
    db.session.execute(
        text(
            f'INSERT INTO "{table.name}" ({columns}) SELECT {values} FROM "{table.name}", generate_series(2, :count) AS n'  # noqa: E501, S608
        ),
        used,
    )
    db.session.commit()


def counted(work: Callable[[], object]) -> tuple[int, float]:
    """(queries, milliseconds) of a piece of work."""
    statements: list[str] = []

    def record(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", record)
    began = time.perf_counter()
    try:
        work()
    finally:
        event.remove(db.engine, "before_cursor_execute", record)
    return len(statements), (time.perf_counter() - began) * 1000


def cost(app: Flask, count: int) -> Cost:
    """The cost of an installation with `count` portals."""
    with app.app_context():
        install(count)
        aggregation.refresh_counts()
        db.session.remove()
        runtime().redis.flushall()
        work: dict[str, Callable[[], None]] = {name: getattr(jobs, name) for name, _, _ in PERIODIC_JOBS}
        for one in work.values():  # warm: connections, statements
            one()
        queries, minute = 0, 0.0
        for name, seconds, _ in PERIODIC_JOBS:
            query_count, taken = counted(work[name])
            queries, minute = queries + query_count, minute + taken * 60 / seconds
        runtime().redis.flushall()
        db.session.execute(update(Call).values(due_at=utcnow(), state="open"))
        db.session.commit()
        query_count, taken = counted(work["sweep"])
        queued = wake_list.count(wake_list.CALLS)
        portals = list(db.session.scalars(select(Call.portal_id)))
        db.session.rollback()
        began = time.perf_counter()
        for portal in portals:
            drain.drain(portal)
        drained = (time.perf_counter() - began) * 1000 / len(portals)
    gc.collect()
    return Cost(queries, minute, (query_count, taken, queued), drained, peak(os.getpid()))


def _run(quick: bool) -> list[Figure]:
    count = QUICK if quick else MANY
    costs: list[Cost] = []
    for portals in (FEW, count):
        with tempfile.TemporaryDirectory() as place, server(Path(place)) as app:
            costs.append(cost(app, portals))
    few, many = costs
    idle = (many.milliseconds - few.milliseconds) / count
    most = SHARE * 60_000 / MANY
    query_count, taken, woken = many.woken
    return [
        Figure(
            "many portals: queries of all sweeps, once each",
            many.queries,
            "",
            "as many as of ten",
            many.queries == few.queries,
            few.queries,
            f"{count} portals, {count // ACTIVE} active",
        ),
        Figure(
            "many portals: sweeps of a minute, one more portal",
            idle,
            "ms",
            f"under {most:.2f} ms: {SHARE:.0%} of a core for {MANY}",
            idle < most,
            note=f"{few.milliseconds:.0f} ms a minute of ten portals, {many.milliseconds:.0f} ms of {count}",
        ),
        Figure(
            "many portals: queries of a sweep that wakes all active ones",
            query_count,
            "",
            "as many as of ten",
            query_count == few.woken[0],
            few.woken[0],
            f"{woken} of {count // ACTIVE} woken in {taken:.0f} ms; then {many.drained:.1f} ms each, of ten {few.drained:.1f} ms",  # noqa: E501
        ),
        Figure(
            "many portals: memory of the process that did all that",
            many.memory - few.memory,
            "MB",
            "under 32 MB more than of ten",
            many.memory - few.memory < 32,
            note=f"{few.memory:.0f} MB of ten, {many.memory:.0f} MB of {count}",
        ),
    ]


MEASURES = (Measure("many", "ten thousand installed portals", _run, 7),)
