"""Metrics of what people wait for: call cards and recordings, over the last 15 minutes.

Computed at each scrape from the newest rows.
"""

from __future__ import annotations

from datetime import datetime

from prometheus_client.core import GaugeMetricFamily

from bx24app.domain.statistics import percentile
from bx24app.operations import system_counts

QUANTILES = (0.5, 0.95, 0.99)


def collect_families(now: datetime) -> list[GaugeMetricFamily]:
    """`bx24app_card_seconds` and `bx24app_recording_seconds` by quantile; a family without samples has no values."""
    families = []
    for name, text, values in (
        (
            "bx24app_card_seconds",
            "From the notification that decided it to the portal's answer to register",
            system_counts.card_delays(now),
        ),
        (
            "bx24app_recording_seconds",
            "From the notice of a recording to its attachment",
            system_counts.recording_delays(now),
        ),
    ):
        family = GaugeMetricFamily(name, f"{text}, last 15 minutes", labels=["quantile"])
        for quantile in QUANTILES:
            seconds = percentile(values, quantile)
            if seconds is not None:
                family.add_metric([str(quantile)], seconds)
        families.append(family)
    return families
