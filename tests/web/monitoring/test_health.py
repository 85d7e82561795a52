"""`/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

import resource
from datetime import timedelta

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from bx24app.models import Call, Delivery, Notification, Recording, db, utcnow
from bx24app.web.monitoring import ack_latency, health, metrics
from tests.web.conftest import HOOK


def waiting(portal: int) -> None:
    """One of each that waits, one of each that does not."""
    now = utcnow()
    old = now - timedelta(seconds=90)
    common = {"portal_id": portal, "pbx_id": 1, "dialect": "vpbx", "name": "events/call", "body": "{}"}
    db.session.add(Notification(**common, dedup_key="1", state="new", received_at=old))
    db.session.add(Notification(**common, dedup_key="2", state="handled", received_at=old))
    call = Call(portal_id=portal, pbx_id=1, pbx_key="moscow", entry_id="e", started_at=now)
    db.session.add(call)
    db.session.flush()
    for key, state in (("a", "waiting"), ("b", "sent"), ("c", "done"), ("d", "dead")):
        db.session.add(Delivery(portal_id=portal, call_id=call.id, key=key, kind="Finish", command={}, state=state))
    for name, due in (("r1", old), ("r2", now + timedelta(hours=1)), ("r3", None)):
        db.session.add(Recording(portal_id=portal, call_id=call.id, recording_id=name, state="waiting", due_at=due))
    db.session.commit()


def test_alive(client: FlaskClient) -> None:
    assert client.get("/healthz").status_code == 200


def test_ready_tells_what_waits(site: Flask, client: FlaskClient, portal: int) -> None:
    with site.app_context():
        waiting(portal)
    said = client.get("/readyz")
    body = said.get_json()
    assert said.status_code == 200
    assert (body["status"], body["database"], body["redis"]) == ("ok", "ok", "ok")
    assert body["pending"] == {"notifications": 1, "deliveries": 2, "recordings": 1}
    assert 90 <= body["oldest_pending_seconds"] < 900


def test_nothing_waits(client: FlaskClient) -> None:
    body = client.get("/readyz").get_json()
    assert body["pending"] == {"notifications": 0, "deliveries": 0, "recordings": 0}
    assert body["oldest_pending_seconds"] == 0


def test_not_ready_without_redis(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "redis_answers", lambda: False)
    said = client.get("/readyz")
    assert (said.status_code, said.get_json()["redis"], said.get_json()["database"]) == (503, "down", "ok")


def test_not_ready_without_database(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(now: object) -> None:
        raise OperationalError("select", {}, Exception("host db.local"))

    for module in (health, metrics):
        monkeypatch.setattr(module, "count_pending", dead)
    said = client.get("/readyz")
    assert (said.status_code, said.get_json()["database"]) == (503, "down")
    assert set(said.get_json()) == {"status", "database", "redis", "disk", "pending", "oldest_pending_seconds"}
    assert "db.local" not in said.text
    scrape = client.get("/metrics")
    assert scrape.status_code == 200
    assert "bx24app_database_up 0.0" in scrape.text
    assert client.get("/healthz").status_code == 200


def test_what_people_wait_for_is_measured(site: Flask, client: FlaskClient, portal: int) -> None:
    """Two cards after 0.2 s and 1 s, one of yesterday; a recording after 12 s."""
    now = utcnow()
    with site.app_context():
        for entry, seconds, ago in (("fast", 0.2, 60), ("slow", 1.0, 60), ("old", 9.0, 86400)):
            began = now - timedelta(seconds=ago)
            call = Call(portal_id=portal, pbx_id=1, pbx_key="moscow", entry_id=entry, started_at=began)
            common = {
                "portal_id": portal,
                "pbx_id": 1,
                "dialect": "vpbx",
                "name": "events/call",
                "body": "{}",
                "entry_id": entry,
            }
            db.session.add_all(
                [call, Notification(**common, dedup_key=f"{entry} late", received_at=began + timedelta(seconds=5))]
            )
            db.session.add(Notification(**common, dedup_key=entry, received_at=began))
            db.session.flush()
            done = {"created_at": began + timedelta(seconds=0.1), "done_at": began + timedelta(seconds=seconds)}
            row = {"portal_id": portal, "call_id": call.id, "command": {}, "state": "done"}
            db.session.add(Delivery(**row, **done, key="register", kind="Register"))
            db.session.add(Delivery(**row, created_at=began, done_at=now, key="finish", kind="Finish"))
        tape = {"portal_id": portal, "call_id": call.id, "state": "attached", "attached_at": now}
        db.session.add(Recording(**tape, recording_id="r", lag_seconds=12.0))
        db.session.commit()
    said = client.get("/metrics").text
    for line in (
        'bx24app_card_seconds{quantile="0.5"} 1.0', 'bx24app_card_seconds{quantile="0.95"} 1.0',
        'bx24app_recording_seconds{quantile="0.95"} 12.0',
    ):  # fmt: skip
        assert line in said, said


def test_answers_are_counted_over_all_processes(site: Flask, client: FlaskClient, portal: int) -> None:
    def counted() -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("bx24app_ack_seconds_count"))

    before = counted()
    for _ in range(3):
        assert client.post(f"/mango/{HOOK}/ping").status_code == 200
    assert counted() == before + 3
    with site.app_context():  # another process
        site.extensions["bx24app"].redis.hincrby(ack_latency.REDIS_KEY, "3", 2)
    said = client.get("/metrics").text
    assert 'bx24app_ack_seconds_bucket{le="+Inf"}' in said
    assert counted() == before + 5


def test_answers_are_kept_while_redis_is_down(
    site: Flask, client: FlaskClient, portal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down() -> None:
        raise redis.ConnectionError

    with site.app_context(), monkeypatch.context() as patched:
        ack_latency.flush_counts()
        ack_latency.record_latency(0.001)
        patched.setattr(site.extensions["bx24app"].redis, "pipeline", down)
        ack_latency.flush_counts()
    assert 'bx24app_ack_seconds_bucket{le="0.0025"} 1.0' in client.get("/metrics").text


def test_metrics_are_made_of_the_tables(site: Flask, client: FlaskClient, portal: int) -> None:
    with site.app_context():
        waiting(portal)
    said = client.get("/metrics")
    assert said.mimetype == "text/plain"
    for line in (
        "bx24app_database_up 1.0", "bx24app_redis_up 1.0", 'bx24app_pending{what="deliveries"} 2.0',
        "bx24app_notifications_total 2.0", "bx24app_dead_deliveries 1.0", 'bx24app_portals{state="active"} 1.0',
        'bx24app_queued_jobs{queue="calls"} 0.0',
    ):  # fmt: skip
        assert line in said.text


def test_not_ready_while_the_disk_is_full(client: FlaskClient) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # the kernel refuses longer files, as a full disk does
    try:
        said = client.get("/readyz")
        alive = client.get("/healthz").status_code
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (said.status_code, said.get_json()["disk"], said.get_json()["database"]) == (503, "full", "ok")
    assert alive == 200, "a load balancer keeps the machine"
    assert client.get("/readyz").get_json()["disk"] == "ok"
