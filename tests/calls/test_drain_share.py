"""A portal that answers slowly has a bounded share of a worker: six requests under way, one drain, 120 seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from flask import Flask

from bx24app.bitrix24.client import Bitrix24Client
from bx24app.calls import concurrency, drain
from bx24app.calls.outbox import portal_request
from bx24app.calls.outbox.batch import Batch
from bx24app.calls.outbox.in_flight import SHARES, TO_MANGO, TO_PORTAL, RequestsInFlight
from bx24app.calls.outbox.sender import BatchOutcome
from bx24app.infra.runtime import runtime
from bx24app.models import Delivery, Portal, db
from bx24app.portals import clients
from tests.calls.test_drain_budget import ring
from tests.support.stack import until


class SlowPortal:
    """Requests that wait until `answer` is set."""

    def __init__(self) -> None:
        self.request_count = self.most = self.under_way = 0
        self.answer, self._lock = threading.Event(), threading.Lock()

    def send(self, _client: Bitrix24Client, batch: Batch) -> BatchOutcome:
        with self._lock:
            self.request_count, self.under_way = self.request_count + 1, self.under_way + 1
            self.most = max(self.most, self.under_way)
        assert self.answer.wait(30)
        with self._lock:
            self.under_way -= 1
        answers = {item.delivery_id: {"CALL_ID": f"c{item.delivery_id}"} for item in batch.items}
        return BatchOutcome(batch, answers)


@pytest.fixture
def slow(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowPortal]:
    """The portal of the test, self-hosted by its own word: it has no request budget."""
    portal.state, portal.license = "active", "ru_selfhosted"
    db.session.commit()
    made = SlowPortal()
    monkeypatch.setattr(portal_request.sender, "send", made.send)
    monkeypatch.setattr(clients, "client_by_id", lambda _: None)
    yield made
    made.answer.set()


def drain_in_thread(app: Flask, portal_id: int) -> threading.Thread:
    def work() -> None:
        with app.app_context():
            drain.drain(portal_id)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def waiting(portal_id: int) -> int:
    count = db.session.query(Delivery).filter_by(portal_id=portal_id, state="waiting").count()
    db.session.remove()
    return count


def test_six_requests_of_a_portal_are_under_way_and_its_second_drain_takes_no_thread(
    app: Flask, portal: Portal, slow: SlowPortal
) -> None:
    portal_id, calls = portal.id, SHARES[TO_PORTAL] * 2 + 1
    for _ in range(calls - 1):
        ring(portal_id)
    thread = drain_in_thread(app, portal_id)
    until(lambda: slow.under_way == SHARES[TO_PORTAL], "six requests never left", 10)
    ring(portal_id)
    drain.drain(portal_id)  # what a wake-up does meanwhile: it returns although nothing was answered
    assert waiting(portal_id) == calls - SHARES[TO_PORTAL]
    assert slow.request_count == SHARES[TO_PORTAL]
    slow.answer.set()
    thread.join(20)
    assert waiting(portal_id) == 0
    assert slow.most == SHARES[TO_PORTAL]


def test_a_ring_leaves_at_once_while_another_request_waits(app: Flask, portal: Portal, slow: SlowPortal) -> None:
    portal_id = portal.id
    ring(portal_id)
    thread = drain_in_thread(app, portal_id)
    until(lambda: slow.under_way == 1, "the first never left", 10)
    ring(portal_id)
    drain.drain(portal_id)
    until(lambda: slow.under_way == 2, "the second waits for the first", 10)
    slow.answer.set()
    thread.join(20)
    assert waiting(portal_id) == 0


def test_a_drain_hands_over_after_its_time_and_loses_no_answer(
    app: Flask, portal: Portal, slow: SlowPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal_id = portal.id
    for _ in range(SHARES[TO_PORTAL] + 1):
        ring(portal_id)
    monkeypatch.setattr(drain, "MAX_DRAIN_SECONDS", 0.5)
    thread = drain_in_thread(app, portal_id)
    until(lambda: slow.under_way == SHARES[TO_PORTAL], "six requests never left", 10)
    until(lambda: runtime().redis.zscore("wakeups:calls", portal_id), "it never handed over", 10)
    assert thread.is_alive(), "it waits for what is under way"
    drain.drain(portal_id)  # its successor finds no place free
    assert slow.request_count == SHARES[TO_PORTAL], "nothing was claimed beyond the portal's share"
    slow.answer.set()
    thread.join(20)
    assert waiting(portal_id) == 1, "it stores, and claims no more"
    drain.drain(portal_id)
    assert db.session.query(Delivery).filter_by(portal_id=portal_id, state="done").count() == SHARES[TO_PORTAL] + 1


def test_a_failing_drain_stores_the_answers_that_are_under_way(
    app: Flask, portal: Portal, slow: SlowPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal_id = portal.id
    ring(portal_id)
    send = drain._send

    def send_and_fail(portal_id: int, step: drain._DrainStep, requests: drain._Requests) -> None:
        send(portal_id, step, requests)
        slow.answer.set()
        raise ValueError("x")

    monkeypatch.setattr(drain, "_send", send_and_fail)
    with pytest.raises(ValueError, match="x"):
        drain.drain(portal_id)
    assert db.session.query(Delivery).filter_by(portal_id=portal_id).one().state == "done"
    assert concurrency.drain_slot(portal_id).enter(lambda: None)


def test_clicks_have_a_share_of_their_own(app: Flask) -> None:
    release = threading.Event()
    requests, other = RequestsInFlight[bool](7), RequestsInFlight[bool](8)
    for _ in range(SHARES[TO_PORTAL]):
        requests.submit(TO_PORTAL, release.wait, 10)
    assert [requests.count_free(receiver) for receiver in (TO_PORTAL, TO_MANGO)] == [0, SHARES[TO_MANGO]]
    assert RequestsInFlight[bool](7).count_free(TO_PORTAL) == 0, "the share is the portal's, not the drain's"
    assert other.count_free(TO_PORTAL) == SHARES[TO_PORTAL]
    began = time.monotonic()
    requests.nudge()
    assert requests.wait(0.0) == []
    requests.nudge()
    assert requests.wait(20, lambda: True) == []
    assert time.monotonic() - began < 10
    release.set()
    done: list[bool] = []
    while requests.count:
        done += requests.wait(10)
    assert done == [True] * SHARES[TO_PORTAL]
    assert requests.count_free(TO_PORTAL) == SHARES[TO_PORTAL]
