"""Answers and secrets of other tenants that once ended work for all: they stand first in every queue while the day's
calls go on, and while the day's own portal needs the periodic jobs."""

from __future__ import annotations

import time
from datetime import timedelta

import requests
from sqlalchemy import delete, update

from bx24app.models import Grant, Notification, Pbx, Portal, db, portal_loop, utcnow
from tests.stress.chaos.processes import ChaosStack
from tests.support.poisoned_portals import POISONS, answer_for, make_poisoned
from tests.support.scripted_server import scripted
from tests.support.stack import until

RESUMED_WITHIN_SECONDS = 90


def unreadable(stack: ChaosStack, seconds: float) -> None:
    """Portals with a secret that no key opens, or with a poisoned answer; ours needs to be resumed behind them."""
    world = stack.world
    fault = world.sandbox.call(world.portal.switches.switch_on, "payment_required")
    with scripted() as server:
        server.answer_with(answer_for)
        with world.app.app_context():
            poisoned = make_poisoned(server.url)
            hook = db.session.query(Pbx).filter_by(portal_id=poisoned["api_salt"]).one().hook_key
            db.session.rollback()
        try:
            until(lambda: world.portal_row()["trouble"], "no request met the switch: nothing was tried", 60)
            _make_due(stack, list(poisoned.values()))
            time.sleep(seconds)
            world.sandbox.call(world.portal.switches.switch_off)
            assert fault.hits
            assert requests.post(f"{world.url}/mango/{hook}/events/call", {"json": "{}"}, timeout=20).status_code == 503
            _make_due(stack, list(poisoned.values()))
            until(lambda: world.portal_row()["state"] == "active", "ours was not resumed", RESUMED_WITHIN_SECONDS)
            with world.app.app_context():
                failing = portal_loop.failing_ids("probe")
            if poisoned["access_token"] not in failing or world.portal_row()["id"] in failing:
                raise RuntimeError(f"the poisoned portals were not asked: nothing was tried ({failing})")
        finally:
            _remove(stack, list(poisoned.values()))


def _make_due(stack: ChaosStack, poisoned: list[int]) -> None:
    """Everything of the poisoned portals is due, before everything of ours."""
    past = utcnow() - timedelta(hours=1)
    with stack.world.app.app_context():
        ours = stack.world.portal_row()["id"]
        db.session.execute(update(Portal).where(Portal.id == ours).values(probe_at=utcnow()))
        values = {"state": "needs_admin", "state_before": "active", "trouble": "payment", "probe_at": past}
        db.session.execute(update(Portal).where(Portal.id.in_(poisoned[: len(POISONS) - 1])).values(**values))
        db.session.execute(
            update(Grant).where(Grant.portal_id.in_(poisoned)).values(refreshed_at=past - timedelta(days=30))
        )
        shared = {"pbx_id": 0, "dialect": "bitrix24", "name": "X", "body": "{}", "received_at": past}
        stamp = str(time.monotonic_ns())
        db.session.add_all(Notification(portal_id=number, dedup_key=stamp, **shared) for number in poisoned)
        db.session.commit()


def _remove(stack: ChaosStack, poisoned: list[int]) -> None:
    """Later faults begin without them."""
    with stack.world.app.app_context():
        for table in (Notification, Pbx, Grant):
            db.session.execute(delete(table).where(table.portal_id.in_(poisoned)))
        db.session.execute(update(Portal).where(Portal.id.in_(poisoned)).values(state="removed", probe_at=None))
        db.session.commit()
