"""What people wait for, of the last quarter of an hour: cards and recordings. Made at the scrape, from the newest rows only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import func, select

from bx24app.models import Call, Delivery, Notification, Recording, db

WINDOW = timedelta(minutes=15)
NEWEST_ROWS = 5000
"""So many rows from the table's end are looked at, however large it is."""
QUANTILES = (0.5, 0.95, 0.99)


def collect_families(now: datetime) -> list[GaugeMetricFamily]:
    """`bx24app_card_seconds`, `bx24app_recording_seconds` by quantile; without a sample nothing is said."""
    found = []
    for name, words, values in (
        ("bx24app_card_seconds", "From the notification that decided it to the portal's answer to register", _card_delays(now)),
        ("bx24app_recording_seconds", "From the notice of a recording to its attachment", _recording_delays(now)),
    ):
        family = GaugeMetricFamily(name, f"{words}, last 15 minutes", labels=["quantile"])
        ordered = sorted(values)
        for quantile in QUANTILES:
            if ordered:
                family.add_metric([str(quantile)], ordered[min(len(ordered) - 1, int(quantile * len(ordered)))])
        found.append(family)
    return found


def _among_newest(column: Any) -> Any:
    return column > select(func.coalesce(func.max(column), 0) - NEWEST_ROWS).scalar_subquery()


def _card_delays(now: datetime) -> Iterable[float]:
    # The last notification of the call that was there when register was decided is the one that decided it.
    cause = (
        select(func.max(Notification.received_at))
        .where(
            Notification.portal_id == Call.portal_id,
            Notification.pbx_id == Call.pbx_id,
            Notification.entry_id == Call.entry_id,
            Notification.received_at <= Delivery.created_at,
        )
        .scalar_subquery()
    )
    query = (
        select(cause, Delivery.done_at)
        .join(Call, Call.id == Delivery.call_id)
        .where(_among_newest(Delivery.id), Delivery.kind == "Register", Delivery.state == "done", Delivery.done_at > now - WINDOW)
    )
    return [(done - heard).total_seconds() for heard, done in db.session.execute(query) if heard and done]


def _recording_delays(now: datetime) -> Iterable[float]:
    lag = Recording.lag_seconds
    query = select(lag).where(lag.is_not(None), Recording.attached_at > now - WINDOW)
    return list(db.session.scalars(query))
