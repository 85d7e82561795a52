"""Redis is flushed after the commit and before the job: what is due is queued again, because a row says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy import update

from bx24app import jobs
from bx24app.calls.reconciliation import backfill, schedule
from bx24app.infra import wake_list
from bx24app.infra.queue import BACKGROUND, CALLS, RECORDINGS
from bx24app.infra.runtime import runtime
from bx24app.models import Backfill, Call, Delivery, Notification, Pbx, Portal, Recording, db, utcnow
from tests.cli.test_journal import call
from tests.conftest import make_portal

AGO = timedelta(seconds=30)


def queued(queue: str) -> set[str]:
    """The functions of the jobs that wait; for woken portals `portal`."""
    if queue != BACKGROUND:
        return {"portal"} if wake_list.count(queue) else set()
    waiting = Queue(queue, connection=runtime().redis, serializer=JSONSerializer).jobs
    return {job.func_name.rpartition(".")[2] for job in waiting}


def _notification(portal: Portal) -> None:
    of = {"portal_id": portal.id, "pbx_id": 1, "dialect": "vpbx", "name": "events/call", "body": "{}"}
    db.session.add(Notification(**of, dedup_key="one", received_at=utcnow() - AGO))


def _call(portal: Portal) -> None:
    call(portal, "waits", state="open", due_at=utcnow() - AGO)


def _delivery(portal: Portal) -> None:
    made = call(portal, "waits")
    db.session.flush()
    db.session.add(Delivery(portal_id=portal.id, call_id=made.id, key="finish", kind="Finish", command={}))


def _recording(portal: Portal) -> None:
    made = call(portal, "waits")
    db.session.flush()
    of = {"portal_id": portal.id, "call_id": made.id, "recording_id": "r", "bitrix_call_id": "externalCall.1"}
    db.session.add(Recording(**of, due_at=utcnow() - AGO))


def _statistics(portal: Portal) -> None:
    """Asked, and its step was queued; then it is its turn again."""
    long_ago = utcnow() - timedelta(hours=2)
    db.session.execute(update(Pbx).values(created_at=long_ago, last_notification_at=utcnow()))
    db.session.commit()
    assert schedule.queue_due_pbxs() == 1
    runtime().redis.flushall()
    assert schedule.queue_due_pbxs() == 0
    db.session.execute(update(Pbx).values(asked_at=long_ago))


def _backfill(portal: Portal) -> None:
    backfill.begin(portal.id, utcnow() - timedelta(days=2), utcnow())
    db.session.execute(update(Backfill).values(due_at=utcnow() - AGO))


@pytest.mark.parametrize(
    ("plant", "periodic", "queue", "job"),
    [
        (_notification, jobs.sweep, CALLS, "portal"),
        (_call, jobs.sweep, CALLS, "portal"),
        (_delivery, jobs.sweep, CALLS, "portal"),
        (_recording, jobs.sweep, RECORDINGS, "portal"),
        (_statistics, jobs.reconcile, BACKGROUND, "reconcile_step"),
        (_backfill, jobs.reconcile, BACKGROUND, "backfill_step"),
    ],
)
def test_what_is_due_rings_again(
    app: Flask, plant: Callable[[Portal], None], periodic: Callable[[], None], queue: str, job: str
) -> None:
    portal = make_portal(state="active")
    db.session.execute(update(Call).values(due_at=None))
    plant(portal)
    db.session.commit()
    runtime().redis.flushall()
    assert queued(queue) == set()
    periodic()
    assert queued(queue) == {job}
