"""A portal that refused requests resumes as soon as it accepts one, whoever sends it."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
import requests
from sqlalchemy import update

from bx24app.bitrix24.errors import NeedsAdmin
from bx24app.calls import drain
from bx24app.domain import probing
from bx24app.infra import circuit_breaker
from bx24app.infra.runtime import runtime
from bx24app.models import Audit, Call, Delivery, Grant, Portal, db, utcnow
from bx24app.operations.alerts import monitor
from bx24app.portals import clients, lifecycle, probes
from bx24app.web.base import session
from bx24app.web.base.session import FrameSession
from tests.support.installations import change, installed, opened, row, rows, w
from tests.support.stack import World

__all__ = ["w"]


def lock(portal_id: int, code: str = "payment", days: int = 0) -> None:
    lifecycle.mark_needs_admin(portal_id, NeedsAdmin(code))
    if days:
        change(portal_id, trouble_at=utcnow() - timedelta(days=days))
        lifecycle.mark_needs_admin(portal_id, NeedsAdmin(code))


def add_delivery(portal_id: int, state: str = "waiting") -> None:
    call = Call(portal_id=portal_id, pbx_id=1, pbx_key="moscow", entry_id="e", state="open", started_at=utcnow())
    db.session.add(call)
    db.session.flush()
    command = {"key": "notify", "user_id": 1, "text": "x", "tag": "t"}
    values: dict[str, Any] = {"kind": "Notify", "key": "notify", "command": command, "state": state}
    db.session.add(Delivery(portal_id=portal_id, call_id=call.id, **values))
    db.session.commit()


def seconds_to_probe(portal_id: int) -> float:
    at = row(portal_id).probe_at
    assert at is not None
    return (at - utcnow()).total_seconds()


def test_any_request_that_succeeds_ends_the_state(w: World) -> None:
    portal_id = installed(w)
    lock(portal_id)
    clients.client_by_id(portal_id).call("crm.settings.mode.get")
    assert (row(portal_id).state, row(portal_id).trouble) == ("active", None)


def test_an_administrators_opening_asks_at_once(w: World) -> None:
    portal_id = installed(w)
    opened(w)  # the rights are cached: nothing else asks the portal
    lock(portal_id)
    opened(w, user_id=12)
    assert row(portal_id).state == "needs_admin", "anybody may open the page"
    opened(w)
    assert (row(portal_id).state, row(portal_id).trouble) == ("active", None)


def test_check_now_asks_at_once_and_says_what_came_of_it(w: World) -> None:
    portal_id = installed(w)
    lock(portal_id)
    change(portal_id, probe_at=utcnow() + timedelta(minutes=9))
    header = {session.HEADER: session.issue(FrameSession(portal_id, w.portal.member_id, 1, True, "en"))}
    w.portal.switches.switch_on("payment_required")
    text = requests.post(f"{w.url}/frame/portal/check", headers=header, timeout=20).text
    assert "still denied" in text
    assert "The next automatic try is at" in text
    assert seconds_to_probe(portal_id) <= 35
    w.portal.switches.switch_off()
    text = requests.post(f"{w.url}/frame/portal/check", headers=header, timeout=20).text
    assert "Bitrix24 accepts the application again" in text
    assert row(portal_id).state == "active"


def test_a_portal_locked_for_weeks_is_asked_seldom_until_a_call_comes(w: World) -> None:
    portal_id = installed(w)
    lock(portal_id, days=21)
    assert seconds_to_probe(portal_id) > 400
    add_delivery(portal_id)
    drain.drain(portal_id)
    assert seconds_to_probe(portal_id) <= 0, "the next run of the job asks it"
    lock(portal_id)
    assert seconds_to_probe(portal_id) <= 35, "with something waiting it is asked as often as on the first day"


def test_a_single_method_is_tried_by_a_delivery(w: World) -> None:
    """`profile` accepts all the while: nobody is told of an end that is none."""
    portal_id = installed(w)
    add_delivery(portal_id)
    w.portal.switches.switch_on("right_removed", method="im.*")
    lock(portal_id, "rights")
    for _ in range(3):
        lifecycle.resume(portal_id)
        assert (row(portal_id).state, row(portal_id).trouble) == ("active", "rights")
        lock(portal_id, "rights")
    assert [entry.what for entry in rows(Audit, portal_id=portal_id)].count("needs an administrator") == 1
    assert "resumed" not in [entry.what for entry in rows(Audit, portal_id=portal_id)]
    w.portal.switches.switch_off()
    lifecycle.resume(portal_id)
    monitor.check_portal(portal_id)
    drain.drain(portal_id)
    assert (row(portal_id).state, row(portal_id).trouble) == ("active", None)
    assert [entry.what for entry in rows(Audit, portal_id=portal_id)].count("resumed") == 1


def test_a_trial_without_anything_to_deliver_ends_after_two_minutes(w: World) -> None:
    portal_id = installed(w)
    lock(portal_id, "rights")
    clients.client_by_id(portal_id).call("crm.settings.mode.get")
    assert row(portal_id).state == "needs_admin", "another method shows nothing"
    probes.probe_now(portal_id)
    probes.probe_due_portals()
    assert (row(portal_id).state, row(portal_id).trouble) == ("active", "rights")
    assert 60 < seconds_to_probe(portal_id) <= probing.TRIAL_LASTS.total_seconds()
    change(portal_id, probe_at=utcnow() - timedelta(seconds=1))
    probes.probe_due_portals()
    assert (row(portal_id).state, row(portal_id).trouble) == ("active", None)


def test_a_pause_ends_with_a_question(w: World) -> None:
    portal_id = installed(w)
    lock(portal_id)
    change(portal_id, probe_at=None)
    lifecycle.pause(portal_id, 1, paused=True)
    lifecycle.pause(portal_id, 1, paused=False)
    probes.probe_due_portals()
    assert row(portal_id).state == "active"


def test_a_silent_portal_is_asked_at_the_pace_of_its_circuit_breaker(w: World) -> None:
    portal_id = installed(w)
    lock(portal_id)
    w.portal.switches.switch_on("http502")
    for _ in range(9):
        probes.probe_now(portal_id)
        runtime().redis.hset(f"circuit:portal:{portal_id}", "until", 0)  # its pause is over
    probes.probe_now(portal_id)
    assert 35 < seconds_to_probe(portal_id) <= probing.LONGEST_SILENCE.total_seconds()
    w.portal.switches.switch_off()
    probes.probe_now(portal_id)
    assert row(portal_id).state == "active"
    assert circuit_breaker.of_portal(portal_id).read_state().failures == 0


def test_many_portals_are_asked_side_by_side_those_with_calls_first(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    busy, most, guard = 0, 0, threading.Lock()

    def ask(portal_id: int) -> None:
        nonlocal busy, most
        with guard:
            asked.append(portal_id)
            busy += 1
            most = max(most, busy)
        time.sleep(0.1)
        with guard:
            busy -= 1

    monkeypatch.setattr(probes, "probe_now", ask)
    shared: dict[str, Any] = {"client_endpoint": "", "server_endpoint": "", "client_id": "", "state": "needs_admin"}
    due = utcnow() - timedelta(minutes=1)
    db.session.add_all(
        Portal(member_id=str(number), domain=str(number), probe_at=due, **shared) for number in range(18)
    )
    db.session.commit()
    last = max(portal.id for portal in rows(Portal))
    add_delivery(last)
    probes.probe_due_portals()
    assert sorted(asked) == sorted(portal.id for portal in rows(Portal, state="needs_admin"))
    assert 1 < most <= probes.PROBE_THREADS
    assert last in asked[: probes.PROBE_THREADS]
    probes.probe_due_portals()
    assert len(asked) == 18, "each has its next time"


def test_a_portal_that_pays_and_has_moved_meanwhile_is_found_by_the_probe(w: World) -> None:
    """Unpaid as documented: the authorisation server gives no tokens until the payment (oauth/error-codes)."""
    portal_id = installed(w)
    w.sandbox.oauth.switches.switch_on("payment_required", method="token")
    w.sandbox.call(w.sandbox.oauth.expire_tokens, w.portal)
    change_grant_expiry(portal_id)
    probes.probe_now(portal_id)
    with pytest.raises(NeedsAdmin) as met:
        clients.client_by_id(portal_id).call("profile")
    lifecycle.mark_needs_admin(portal_id, met.value)
    assert row(portal_id).trouble == "payment"
    probes.probe_now(portal_id)
    assert row(portal_id).state == "needs_admin"
    new = w.sandbox.move_portal(w.portal)
    w.sandbox.oauth.switches.switch_off()
    probes.probe_now(portal_id)
    assert (row(portal_id).state, row(portal_id).trouble, row(portal_id).domain) == ("active", None, new)


def change_grant_expiry(portal_id: int) -> None:
    db.session.execute(update(Grant).where(Grant.portal_id == portal_id).values(expires_at=utcnow()))
    db.session.commit()
