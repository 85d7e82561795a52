"""The two pairs of statistics requests: a request returns a key, the key is polled, the data is kept for a minute.

The older pair (`stats/request`, `stats/result`) returns CSV with a row per leg. The newer one (`stats/calls/request`,
`stats/calls/result`) returns JSON with an object per entry; the times of its order are texts in the zone of
`Board.statistics_shape`, which the documentation does not name.
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

from bx24app.sandbox.mango import entry_report, report
from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.call_log import Entry, Leg
from bx24app.sandbox.mango.rest import RequestRefused, require_fields

if TYPE_CHECKING:
    from bx24app.sandbox.mango.cloud import MangoCloud

PAGE_SIZES = (1, 5, 10, 20, 50, 100, 500, 1000, 2000, 5000)
MAX_PERIOD_SECONDS = 31 * 86400
MAX_PERIOD = timedelta(days=30)


@dataclass
class StatisticsJob:
    """A requested report. With `should_fail` it ends as `error`, as real ones do after arguments of a wrong type."""

    api_key: str
    make_data: Callable[[], Any]
    polls: int = 0
    ready_at: float = 0.0
    data: Any = None
    should_fail: bool = False


def _create_job(cloud: MangoCloud, board: Board, make_data: Callable[[], Any]) -> tuple[str, StatisticsJob]:
    key = base64.b64encode(f"{board.pbx.product_id}:{secrets.token_hex(12)}".encode()).decode()
    job = cloud.jobs[key] = StatisticsJob(board.pbx.api_key, make_data)
    return key, job


def _poll_job(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> StatisticsJob | None:
    """Counts one poll of the job with this key. None when the key is wrong, expired or another product's."""
    (key,) = require_fields(body, "key")
    job: StatisticsJob | None = cloud.jobs.get(str(key))
    if job is None or job.api_key != board.pbx.api_key:
        return None
    if job.ready_at and time.monotonic() - job.ready_at > cloud.stats_keep:
        del cloud.jobs[str(key)]
        return None
    job.polls += 1
    if job.polls > cloud.stats_polls and not job.ready_at:
        job.ready_at, job.data = time.monotonic(), job.make_data()
    return job


async def order_rows(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> dict[str, Any]:
    """`stats/request`: checks period and columns, returns the key."""
    date_from, date_to = (
        _parse_seconds(name, value)
        for name, value in zip(("date_from", "date_to"), require_fields(body, "date_from", "date_to"), strict=True)
    )
    if date_to < date_from or date_to - date_from > MAX_PERIOD_SECONDS:
        raise RequestRefused(3100, "bad period", date_to=3111)
    fields = body.get("fields") or ",".join(report.DEFAULT_COLUMNS)
    columns = [str(name).strip() for name in (fields.split(",") if isinstance(fields, str) else fields)]
    if unknown := [name for name in columns if name not in report.COLUMNS]:
        raise RequestRefused(3104, f"unknown field {unknown[0]}", fields=3104)
    if body.get("call_party") and (body.get("from") or body.get("to")):
        raise RequestRefused(3100, "call_party excludes from and to")

    def is_wanted(leg: Leg) -> bool:
        return date_from <= leg.start <= date_to and leg.end > 0 and _matches_parties(body, leg)

    key, _ = _create_job(cloud, board, lambda: report.format_csv(board.call_log, columns, is_wanted))
    return {"key": key}


def _parse_seconds(name: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise RequestRefused(3104, f"{name} is seconds of the Unix epoch", **{name: 3111}) from None


def _matches_parties(body: dict[str, Any], leg: Leg) -> bool:
    def is_same_side(filters: dict[str, Any], side: dict[str, Any]) -> bool:
        return all(str(side.get(name, "")) == str(value) for name, value in filters.items() if value not in (None, ""))

    either = body.get("call_party") or {}
    if either:
        return any(is_same_side(either, side) for side in leg.sides.values())
    return all(is_same_side(body.get(name) or {}, leg.sides.get(name, {})) for name in ("from", "to"))


async def answer_rows(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> web.StreamResponse:
    """`stats/result`: 204 while the data is not ready, 404 for an unknown key, 200 with the rows."""
    job = _poll_job(cloud, board, body)
    if job is None:
        return web.Response(status=404)
    if not job.ready_at:
        return web.Response(status=204)
    return web.Response(text=job.data, content_type="text/csv", charset="UTF-8")


async def order_calls(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> dict[str, Any]:
    """`stats/calls/request`: checks period, filters and page, returns the key."""
    start, end = (
        _parse_wall_clock(name, value, ZoneInfo(board.statistics_shape.zone))
        for name, value in zip(("start_date", "end_date"), require_fields(body, "start_date", "end_date"), strict=True)
    )
    limit, offset = require_fields(body, "limit", "offset")
    if end < start or end - start >= MAX_PERIOD:
        raise RequestRefused(3100, "bad period", end_date=3111)
    if limit not in PAGE_SIZES or not isinstance(offset, int) or offset < 0:
        raise RequestRefused(3100, "bad limit or offset", limit=3100)
    first, last = start.timestamp(), end.timestamp()

    def is_wanted(entry: Entry) -> bool:
        is_inside = entry.summary is not None and first <= entry.started_at <= last
        return is_inside and entry_report.matches_filters(entry, body)

    def make_entries() -> list[dict[str, Any]]:
        entries = sorted(
            (entry for entry in board.call_log.entries.values() if is_wanted(entry)), key=lambda entry: entry.started_at
        )
        return [entry_report.entry_object(board, entry) for entry in entries[offset : offset + limit]]

    key, job = _create_job(cloud, board, make_entries)
    job.should_fail = any(
        not isinstance(value, int) for name in ("user_ids", "group_ids") for value in body.get(name) or []
    )
    return {"key": key}


def _parse_wall_clock(name: str, value: Any, zone: ZoneInfo) -> datetime:
    try:
        return datetime.strptime(str(value), "%d.%m.%Y %H:%M:%S").replace(tzinfo=zone)
    except ValueError:
        raise RequestRefused(3104, f"{name} is DD.MM.YYYY HH:MM:SS", **{name: 3104}) from None


async def answer_calls(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> web.StreamResponse | dict[str, Any]:
    """`stats/calls/result`: first `request`, then `work` with the first half of the data, then `complete`."""
    job = _poll_job(cloud, board, body)
    if job is None:
        return {"result": 1000, "status": "not-found", "data": []}
    if job.ready_at:
        if job.should_fail:
            return {"result": 5004, "status": "error", "data": []}
        return {"result": 1000, "status": "complete", "data": _write_data(board, job.data)}
    if cloud.stats_calls_204:
        return web.Response(status=204)
    if job.polls == 1 and cloud.stats_polls > 1:
        return {"result": 1000, "status": "request", "data": []}
    so_far = job.make_data()
    return {"result": 1000, "status": "work", "data": _write_data(board, so_far[: (len(so_far) + 1) // 2])}


def _write_data(board: Board, entries: list[dict[str, Any]]) -> list[dict[str, Any]] | dict[str, Any]:
    """An object for each day, or one for all of them."""
    shape = board.statistics_shape
    days: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        day = datetime.fromtimestamp(entry["context_start_time"], ZoneInfo(shape.zone)).strftime("%Y-%m-%d")
        days.setdefault("" if shape.is_object else day, []).append(entry)
    written = [
        {
            "list": items,
            "period": day,
            "total_talks_duration": sum(item["talk_duration"] for item in items),
            "total_calls_duration": sum(item["duration"] for item in items),
            "total_calls_count": len(items),
        }
        for day, items in days.items()
    ]
    return (written[0] if written else {"list": []}) if shape.is_object else written
