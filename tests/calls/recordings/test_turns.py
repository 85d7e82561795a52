"""Recordings of portals take turns: two threads for a portal at most, one queued turn, chosen from the table."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from flask import Flask

from bx24app import jobs
from bx24app.calls import sweep
from bx24app.calls.recordings import transfer, turns
from bx24app.infra import circuit_breaker, queue, wake_list
from bx24app.infra.circuit_breaker import FAILURE_THRESHOLD
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Portal, Recording, db, utcnow


class Transfers:
    """Stands for `transfer.transfer_recording`: claims a row and waits for `go_on`; a row in `broken` raises."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.broken: set[int] = set()
        self.under_way = self.most = 0
        self.go_on = threading.Event()
        self.go_on.set()
        self._lock = threading.Lock()

    def transfer(self, row_id: int) -> bool:
        with self._lock:
            if row_id in self.rows:
                return False
            self.rows.append(row_id)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        assert self.go_on.wait(20)
        state = {"claimed_at": utcnow()} if row_id in self.broken else {"state": "attached", "due_at": None}
        db.session.query(Recording).filter_by(id=row_id).update(state)
        db.session.commit()
        db.session.remove()
        with self._lock:
            self.under_way -= 1
        if row_id in self.broken:
            raise ValueError("x")
        return True


@pytest.fixture
def transfers(monkeypatch: pytest.MonkeyPatch) -> Transfers:
    made = Transfers()
    monkeypatch.setattr(transfer, "transfer_recording", made.transfer)
    return made


def add(portal_id: int, count: int, due_in: float = -60.0) -> list[int]:
    db.session.query(Portal).filter_by(id=portal_id).update({"state": "active"})
    call = Call(portal_id=portal_id, pbx_id=1, pbx_key="moscow", entry_id=f"e{due_in}", started_at=utcnow())
    db.session.add(call)
    db.session.flush()
    due_at = utcnow() + timedelta(seconds=due_in)
    known = {"portal_id": portal_id, "call_id": call.id, "bitrix_call_id": "x"}
    rows = [Recording(recording_id=f"r{number}", due_at=due_at, **known) for number in range(count)]
    db.session.add_all(rows)
    db.session.commit()
    ids = [row.id for row in rows]
    db.session.remove()  # SQLite: the turns of other threads would wait for this transaction
    return ids


def count_jobs() -> int:
    return wake_list.count(queue.RECORDINGS)


def test_a_sweep_queues_one_turn_for_a_thousand_recordings(app: Flask, portal: Portal) -> None:
    add(portal.id, 1000)
    for _ in range(3):
        sweep.sweep()
    assert count_jobs() == 1


def test_a_turn_takes_what_is_due_longest_and_queues_the_next(
    portal: Portal, transfers: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal_id = portal.id
    newer, older, later = add(portal_id, 2, -10), add(portal_id, 2, -60), add(portal_id, 1, 3600)
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0001)
    turns.take_turn(portal_id)
    assert transfers.rows == older[:1], "a turn ends after its time"
    assert count_jobs() == 1
    monkeypatch.setattr(turns, "TURN_SECONDS", 20)
    turns.take_turn(portal_id)
    assert transfers.rows == [*older, *newer]
    assert later[0] not in transfers.rows
    assert float(runtime().redis.get(f"alarm-recordings:{portal_id}") or 0) > utcnow().timestamp() + 3500


def test_what_failed_before_comes_last(
    portal: Portal, transfers: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are: else recordings that Mango has lost would hold back all others of their PBX."""
    portal_id = portal.id
    monkeypatch.setattr(turns, "TURN_SECONDS", 20)  # a busy machine does not get through them in one second
    failed, fresh, later = add(portal_id, 20, -60), add(portal_id, 10, -10), add(portal_id, 12, 3600)
    db.session.query(Recording).filter(Recording.id.in_(failed)).update({"tries": 1})
    db.session.commit()
    db.session.remove()
    turns.take_turn(portal_id)
    assert transfers.rows == [*fresh, *failed]
    assert not {*later} & {*transfers.rows}


def test_a_portal_has_two_threads_at_most(
    app: Flask, portal: Portal, transfers: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.5)
    portal_id = portal.id
    rows = add(portal_id, 5)
    transfers.go_on.clear()

    def turn() -> None:
        with app.app_context():
            turns.take_turn(portal_id)

    threads = [threading.Thread(target=turn, daemon=True) for _ in range(4)]
    for thread in threads:
        queue.wake_recordings(portal_id)
        thread.start()
    for thread in threads:
        thread.join(1)
    assert sum(thread.is_alive() for thread in threads) == turns.THREADS_PER_PORTAL
    runtime().redis.delete("wakeups:recordings")  # those of these turns
    transfers.go_on.set()
    for thread in threads:
        thread.join(20)
    assert len(transfers.rows) == turns.THREADS_PER_PORTAL
    assert count_jobs() == 1, "a turn that found no room does not hold back the next one"
    monkeypatch.setattr(turns, "TURN_SECONDS", 20)
    turns.take_turn(portal_id)  # what the turns have queued
    assert sorted(transfers.rows) == rows
    assert transfers.most == turns.THREADS_PER_PORTAL


def test_one_that_fails_does_not_stop_those_behind_it(portal: Portal, transfers: Transfers) -> None:
    portal_id = portal.id
    rows = add(portal_id, 3)
    transfers.broken = {rows[0]}
    with pytest.raises(ValueError, match="x"):
        turns.take_turn(portal_id)
    assert count_jobs() == 1, "the next turn is queued"
    turns.take_turn(portal_id)
    assert transfers.rows == rows


def test_a_portal_that_does_not_answer_or_is_paused_is_left_alone(portal: Portal, transfers: Transfers) -> None:
    portal_id = portal.id
    add(portal_id, 3)
    for _ in range(FAILURE_THRESHOLD):
        circuit_breaker.of_portal(portal_id).record_failure()
    turns.take_turn(portal_id)
    assert (transfers.rows, count_jobs()) == ([], 0)
    assert runtime().redis.exists(f"alarm-recordings:{portal_id}"), "it comes back when the circuit lets it"
    circuit_breaker.of_portal(portal_id).record_success()
    db.session.query(Portal).update({"state": "paused"})
    db.session.commit()
    turns.take_turn(portal_id)
    assert (transfers.rows, count_jobs()) == ([], 0)


def test_a_job_of_an_older_version_is_a_turn_of_its_portal(portal: Portal, transfers: Transfers) -> None:
    rows = add(portal.id, 2)
    jobs.carry_recording(rows[1])
    assert transfers.rows == rows
    jobs.carry_recording(10**9)  # a row that was deleted meanwhile
