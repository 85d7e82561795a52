"""Prometheus metrics, computed at each scrape from the tables and from Redis.

No counter lives in a process, so a restart loses none and all web processes report the same. `health.scrape_metrics`
serves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import redis
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from bx24app.infra import circuit_breaker, wake_list
from bx24app.infra.queue import QUEUES
from bx24app.infra.runtime import runtime
from bx24app.infra.wake_list import LISTS
from bx24app.models import db, utcnow
from bx24app.models.set_aside import RowKind
from bx24app.operations import system_counts
from bx24app.operations.system_counts import count_pending
from bx24app.portals.portal_events import REFUSED_COUNTER_KEY
from bx24app.web.monitoring import ack_latency, delay_metrics, wall_metrics

CONTENT_TYPE = CONTENT_TYPE_LATEST


def render_text() -> str:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_TableCollector())
    registry.register(_QueueCollector())
    return generate_latest(registry).decode()


class _TableCollector(Collector):
    def describe(self) -> list[Metric]:
        return []  # otherwise registering would query the database

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("bx24app_database_up", "1 while the database answers")
        try:
            families = [
                *self._pending_metrics(),
                *self._total_metrics(),
                *self._state_metrics(),
                *delay_metrics.collect_families(utcnow()),
            ]
            up.add_metric([], 1)
        except SQLAlchemyError:
            families = []
            up.add_metric([], 0)
        finally:
            db.session.rollback()
        yield up
        yield from families

    @staticmethod
    def _pending_metrics() -> Iterator[Metric]:
        pending, oldest = count_pending(utcnow())
        waiting = GaugeMetricFamily("bx24app_pending", "Work that waits now", labels=["what"])
        for name, count in pending.items():
            waiting.add_metric([name], count)
        yield waiting
        yield _gauge("bx24app_oldest_pending_seconds", "Age of the oldest work that waits", oldest)

    @staticmethod
    def _total_metrics() -> Iterator[Metric]:
        totals = system_counts.highest_ids()
        for name, text in (
            ("notifications", "Notifications received"),
            ("calls", "Calls begun"),
            ("deliveries", "Commands decided"),
            ("recordings", "Recordings announced"),
        ):
            yield _counter(f"bx24app_{name}", text, totals[name])
        yield _gauge(
            "bx24app_refused_notifications",
            "Wrong key or signature since the last good one, all PBXs",
            system_counts.count_refused_notifications(),
        )
        yield _counter(
            "bx24app_lost_found",
            "Missing calls, ends and recordings found in Mango's statistics",
            system_counts.count_missing_calls(),
        )
        yield _gauge(
            "bx24app_statistics_failing",
            "PBXs whose statistics could not be read last time",
            system_counts.count_failing_statistics(),
        )

    @staticmethod
    def _state_metrics() -> Iterator[Metric]:
        portals = GaugeMetricFamily("bx24app_portals", "Portals by state", labels=["state"])
        for state, count in system_counts.count_portals_by_state().items():
            portals.add_metric([state], count)
        yield portals
        yield _gauge(
            "bx24app_dead_deliveries",
            "Commands that the portal refused for good",
            system_counts.count_dead_deliveries(),
        )
        aside = GaugeMetricFamily("bx24app_set_aside", "Rows on which the program failed", labels=["what"])
        counts = system_counts.count_set_aside()
        for kind in get_args(RowKind):
            aside.add_metric([kind], counts.get(kind, 0))
        yield aside


def _gauge(name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, text)
    family.add_metric([], value)
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    family = CounterMetricFamily(name, text)
    family.add_metric([], value)
    return family


class _QueueCollector(Collector):
    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("bx24app_redis_up", "1 while Redis answers")
        jobs = GaugeMetricFamily("bx24app_queued_jobs", "Jobs and portals that wait in a queue", labels=["queue"])
        circuits = GaugeMetricFamily("bx24app_open_circuits", "Portals and PBXs that do not answer", labels=["of"])
        refused = CounterMetricFamily("bx24app_refused_events", "Bitrix24 events without proof, since Redis started")
        latency: list[Metric] = []
        walls: list[Metric] = []
        try:
            latency = [ack_latency.collect_histogram()]
            refused.add_metric([], int(runtime().redis.get(REFUSED_COUNTER_KEY) or 0))
            for name in QUEUES:
                portals = wake_list.count(name) if name in LISTS else 0
                jobs.add_metric([name], int(runtime().redis.llen(f"rq:queue:{name}")) + portals)
            for kind, count in circuit_breaker.count_open().items():
                circuits.add_metric([kind], count)
            walls = list(wall_metrics.collect_families())
            up.add_metric([], 1)
        except (redis.RedisError, RuntimeError):
            up.add_metric([], 0)
        yield up
        yield from walls
        yield circuits
        yield jobs
        yield refused
        yield from latency
