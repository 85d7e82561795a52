"""Both pairs of statistics: an order gives a key, the key is polled, the data lives a minute.

The old pair answers CSV, a row a leg; the new one JSON, an object an entry. Their texts of time are Moscow's wall clock.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from aiohttp import web

from bx24app.sandbox.mango import report
from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.facts import Entry, Leg
from bx24app.sandbox.mango.rest import Refused, need

if TYPE_CHECKING:
    from bx24app.sandbox.mango.cloud import MangoCloud

MOSCOW = ZoneInfo("Europe/Moscow")
LIMITS = (1, 5, 10, 20, 50, 100, 500, 1000, 2000, 5000)
MONTH = 31 * 86400
WINDOW = timedelta(days=30)


@dataclass
class Job:
    """An ordered report. `fails` makes it end as `error`, as live ones do after arguments of a wrong type."""

    api_key: str
    make: Callable[[], Any]
    polls: int = 0
    ready_at: float = 0.0
    data: Any = None
    fails: bool = False


def _order(cloud: MangoCloud, board: Board, make: Callable[[], Any]) -> tuple[str, Job]:
    key = base64.b64encode(f"{board.pbx.product_id}:{secrets.token_hex(12)}".encode()).decode()
    job = cloud.jobs[key] = Job(board.pbx.api_key, make)
    return key, job


def _poll(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> Job | None:
    """The job of a key, one poll older; None for a key that is wrong, another product's or expired."""
    (key,) = need(body, "key")
    job: Job | None = cloud.jobs.get(str(key))
    if job is None or job.api_key != board.pbx.api_key:
        return None
    if job.ready_at and time.monotonic() - job.ready_at > cloud.stats_keep:
        del cloud.jobs[str(key)]
        return None
    job.polls += 1
    if job.polls > cloud.stats_polls and not job.ready_at:
        job.ready_at, job.data = time.monotonic(), job.make()
    return job


async def order_rows(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> dict[str, Any]:
    """`stats/request`."""
    date_from, date_to = (
        _seconds(name, value)
        for name, value in zip(("date_from", "date_to"), need(body, "date_from", "date_to"), strict=True)
    )
    if date_to < date_from or date_to - date_from > MONTH:
        raise Refused(3100, "bad period", date_to=3111)
    fields = body.get("fields") or ",".join(report.DEFAULT_COLUMNS)
    columns = [str(name).strip() for name in (fields.split(",") if isinstance(fields, str) else fields)]
    if unknown := [name for name in columns if name not in report.COLUMNS]:
        raise Refused(3104, f"unknown field {unknown[0]}", fields=3104)
    if body.get("call_party") and (body.get("from") or body.get("to")):
        raise Refused(3100, "call_party excludes from and to")

    def wanted(leg: Leg) -> bool:
        return date_from <= leg.start <= date_to and leg.end > 0 and _parties(body, leg)

    key, _ = _order(cloud, board, lambda: report.csv(board.facts, columns, wanted))
    return {"key": key}


def _seconds(name: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise Refused(3104, f"{name} is seconds of the Unix epoch", **{name: 3111}) from None


def _parties(body: dict[str, Any], leg: Leg) -> bool:
    def same(wish: dict[str, Any], side: dict[str, Any]) -> bool:
        return all(str(side.get(name, "")) == str(value) for name, value in wish.items() if value not in (None, ""))

    either = body.get("call_party") or {}
    if either:
        return any(same(either, side) for side in leg.sides.values())
    return all(same(body.get(name) or {}, leg.sides.get(name, {})) for name in ("from", "to"))


async def rows(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> web.StreamResponse:
    """`stats/result`: 204, 404, or 200 with the rows."""
    job = _poll(cloud, board, body)
    if job is None:
        return web.Response(status=404)
    if not job.ready_at:
        return web.Response(status=204)
    return web.Response(text=job.data, content_type="text/csv", charset="UTF-8")


async def order_calls(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> dict[str, Any]:
    """`stats/calls/request`."""
    start, end = (
        _wall_clock(name, value)
        for name, value in zip(("start_date", "end_date"), need(body, "start_date", "end_date"), strict=True)
    )
    limit, offset = need(body, "limit", "offset")
    if end < start or end - start >= WINDOW:
        raise Refused(3100, "bad period", end_date=3111)
    if limit not in LIMITS or not isinstance(offset, int) or offset < 0:
        raise Refused(3100, "bad limit or offset", limit=3100)
    first, last = start.timestamp(), end.timestamp()

    def wanted(entry: Entry) -> bool:
        return entry.summary is not None and first <= entry.started <= last and report.matches(entry, body)

    def make() -> list[dict[str, Any]]:
        entries = sorted(
            (entry for entry in board.facts.entries.values() if wanted(entry)), key=lambda one: one.started
        )
        return [report.entry_object(board, entry) for entry in entries[offset : offset + limit]]

    key, job = _order(cloud, board, make)
    job.fails = any(not isinstance(one, int) for name in ("user_ids", "group_ids") for one in body.get(name) or [])
    return {"key": key}


def _wall_clock(name: str, value: Any) -> datetime:
    try:
        return datetime.strptime(str(value), "%d.%m.%Y %H:%M:%S").replace(tzinfo=MOSCOW)
    except ValueError:
        raise Refused(3104, f"{name} is DD.MM.YYYY HH:MM:SS", **{name: 3104}) from None


async def calls(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> web.StreamResponse | dict[str, Any]:
    """`stats/calls/result`: `request`, then `work` with the first half of the data, then `complete`."""
    job = _poll(cloud, board, body)
    if job is None:
        return {"result": 1000, "status": "not-found", "data": []}
    if job.ready_at:
        if job.fails:
            return {"result": 5004, "status": "error", "data": []}
        return {"result": 1000, "status": "complete", "data": _by_day(job.data)}
    if cloud.stats_calls_204:
        return web.Response(status=204)
    if job.polls == 1 and cloud.stats_polls > 1:
        return {"result": 1000, "status": "request", "data": []}
    so_far = job.make()
    return {"result": 1000, "status": "work", "data": _by_day(so_far[: (len(so_far) + 1) // 2])}


def _by_day(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    days: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        day = datetime.fromtimestamp(entry["context_start_time"], MOSCOW).strftime("%Y-%m-%d")
        days.setdefault(day, []).append(entry)
    return [
        {
            "list": items,
            "period": day,
            "total_talks_duration": sum(item["talk_duration"] for item in items),
            "total_calls_duration": sum(item["duration"] for item in items),
            "total_calls_count": len(items),
        }
        for day, items in days.items()
    ]
