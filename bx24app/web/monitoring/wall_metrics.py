"""Metrics of what fails for single tenants while all others go on: periodic work, secrets that no key decrypts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from bx24app.infra.runtime import runtime
from bx24app.models import portal_loop
from bx24app.operations import secret_checks


def collect_families() -> Iterator[Metric]:
    """Raises redis.RedisError: Redis does not answer."""
    failures = CounterMetricFamily(
        "bx24app_portal_failures", "Periodic work that failed for one tenant, since Redis started", labels=["loop"]
    )
    failing = GaugeMetricFamily(
        "bx24app_failing_portals", "Tenants for which the work of a periodic job failed last time", labels=["loop"]
    )
    for loop, count in portal_loop.count_failures().items():
        failures.add_metric([loop], count)
        failing.add_metric([loop], len(portal_loop.failing_ids(loop)))
    yield failures
    yield failing
    undecryptable: Any = runtime().redis.get(secret_checks.COUNT_KEY)
    secrets = GaugeMetricFamily("bx24app_undecryptable_secrets", "Stored secrets that no key decrypts, counted hourly")
    secrets.add_metric([], int(undecryptable or 0))
    yield secrets
