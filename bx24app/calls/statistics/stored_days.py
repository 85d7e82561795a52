"""The stored rows of one day or one month of a portal. `aggregation` decides which are counted again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import delete, func, insert, literal, or_, select

from bx24app.calls.statistics.counts import KeyedCounts, count_day
from bx24app.domain import statistics
from bx24app.models import Figure, db

MONTHLY_KINDS = ("line", "person")
"""Kinds that are stored by month too, for the portal and each PBX: they have more rows a day than the others."""
MEASURES = tuple(name for name in statistics.CallCounts.__slots__)


def store_day(portal_id: int, day: date, zone: ZoneInfo) -> None:
    """Count one day of a portal and replace its rows. The caller commits."""
    rows: list[dict[str, Any]] = [
        {"portal_id": portal_id, "grain": "day", "kind": kind, "day": day, "key": key, **asdict(counts)}
        for kind, key, _, counts in _merge_counts(count_day(portal_id, day, zone))
    ]
    db.session.execute(delete(Figure).where(Figure.portal_id == portal_id, Figure.grain == "day", Figure.day == day))
    if rows:
        db.session.execute(insert(Figure), rows)


def _merge_counts(rows: Iterable[KeyedCounts]) -> list[KeyedCounts]:
    """Add up the counts of the same kind, key and day."""
    merged: dict[tuple[str, str, date], statistics.CallCounts] = {}
    for kind, key, day, counts in rows:
        merged.setdefault((kind, key, day), statistics.CallCounts()).add(counts)
    return [(*name, counts) for name, counts in merged.items()]


def store_month(portal_id: int, first: date) -> None:
    """Store a finished month as the sum of its days. `first`: its first day. The caller commits."""
    last = statistics.month_end(first)
    old = (Figure.portal_id == portal_id, Figure.grain == "month", Figure.day == first)
    db.session.execute(delete(Figure).where(*old))
    columns = [getattr(Figure, name) for name in MEASURES]
    by_month = or_(*(Figure.kind.startswith(kind) for kind in MONTHLY_KINDS))
    summed = (
        select(
            literal(portal_id), literal("month"), Figure.kind, literal(first, Figure.day.type), Figure.key,
            *(func.sum(column) for column in columns),
        )
        .where(Figure.portal_id == portal_id, Figure.grain == "day", by_month, Figure.day.between(first, last))
        .group_by(Figure.kind, Figure.key)
    )  # fmt: skip
    names = ["portal_id", "grain", "kind", "day", "key", *MEASURES]
    db.session.execute(insert(Figure).from_select(names, summed))
