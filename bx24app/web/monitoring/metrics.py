"""Prometheus metrics, made at the moment of the scrape from the tables and from Redis: no counter lives in a process, none is lost by a restart."""

from __future__ import annotations

from collections.abc import Iterator

import redis
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from bx24app.infra import circuit_breaker
from bx24app.infra.queue import QUEUES
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Delivery, Notification, Pbx, Portal, Recording, db, utcnow
from bx24app.portals.portal_events import REFUSED_COUNTER_KEY
from bx24app.web.monitoring import ack_latency, delay_metrics
from bx24app.web.monitoring.backlog import count_pending

CONTENT_TYPE = CONTENT_TYPE_LATEST


def render_text() -> str:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_TableCollector())
    registry.register(_QueueCollector())
    return generate_latest(registry).decode()


class _TableCollector(Collector):
    def describe(self) -> list[Metric]:
        return []  # so that registering asks nothing of the database

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("bx24app_database_up", "1 while the database answers")
        try:
            found = [*self._pending_metrics(), *self._total_metrics(), *self._state_metrics(), *delay_metrics.collect_families(utcnow())]
            up.add_metric([], 1)
        except SQLAlchemyError:
            found = []
            up.add_metric([], 0)
        finally:
            db.session.rollback()
        yield up
        yield from found

    @staticmethod
    def _pending_metrics() -> Iterator[Metric]:
        pending, oldest = count_pending(utcnow())
        waiting = GaugeMetricFamily("bx24app_pending", "Work that waits now", labels=["what"])
        for name, count in pending.items():
            waiting.add_metric([name], count)
        yield waiting
        age = GaugeMetricFamily("bx24app_oldest_pending_seconds", "Age of the oldest work that waits")
        age.add_metric([], oldest)
        yield age

    @staticmethod
    def _total_metrics() -> Iterator[Metric]:
        """The highest row id is what was ever taken in: asked of the primary key, whatever the size of the table."""
        for name, words, column in (
            ("bx24app_notifications", "Notifications taken in", Notification.id),
            ("bx24app_calls", "Calls begun", Call.id),
            ("bx24app_deliveries", "Commands decided", Delivery.id),
            ("bx24app_recordings", "Recordings heard of", Recording.id),
        ):
            counter = CounterMetricFamily(name, words)
            counter.add_metric([], db.session.scalar(select(func.max(column))) or 0)
            yield counter
        refused = GaugeMetricFamily(
            "bx24app_refused_notifications", "Wrong key or signature since the last good one, all PBXs"
        )
        refused.add_metric([], db.session.scalar(select(func.sum(Pbx.refused_count))) or 0)
        yield refused
        lost = CounterMetricFamily("bx24app_lost_found", "Lost calls, ends and recordings found in Mango's statistics")
        lost.add_metric([], db.session.scalar(select(func.sum(Pbx.lost_found))) or 0)
        yield lost
        silent = GaugeMetricFamily("bx24app_statistics_failing", "PBXs whose statistics could not be read last time")
        silent.add_metric([], db.session.scalar(select(func.count()).where(Pbx.ask_failures > 0)) or 0)
        yield silent

    @staticmethod
    def _state_metrics() -> Iterator[Metric]:
        portals = GaugeMetricFamily("bx24app_portals", "Portals by state", labels=["state"])
        for state, count in db.session.execute(select(Portal.state, func.count()).group_by(Portal.state)):
            portals.add_metric([state], count)
        yield portals
        dead = GaugeMetricFamily("bx24app_dead_deliveries", "Commands that the portal refused for good")
        dead.add_metric([], db.session.scalar(select(func.count()).where(Delivery.state == "dead")) or 0)
        yield dead


class _QueueCollector(Collector):
    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("bx24app_redis_up", "1 while Redis answers")
        jobs = GaugeMetricFamily("bx24app_queued_jobs", "Jobs that wait in a queue", labels=["queue"])
        dead = GaugeMetricFamily("bx24app_open_circuits", "Portals and PBXs that do not answer", labels=["of"])
        refused = CounterMetricFamily("bx24app_refused_events", "Bitrix24 events without proof, since Redis started")
        answered: list[Metric] = []
        try:
            answered = [ack_latency.collect_histogram()]
            refused.add_metric([], int(runtime().redis.get(REFUSED_COUNTER_KEY) or 0))
            for name in QUEUES:
                jobs.add_metric([name], int(runtime().redis.llen(f"rq:queue:{name}")))
            for kind, count in circuit_breaker.count_open().items():
                dead.add_metric([kind], count)
            up.add_metric([], 1)
        except (redis.RedisError, RuntimeError):
            up.add_metric([], 0)
        yield up
        yield dead
        yield jobs
        yield refused
        yield from answered
