"""One tenant stops no periodic job for the others: every job is tried with portals before whose turn it once ended.

The first portals hold a poison each (`support.poisoned_portals`); the last one is ordinary, and must be served. A new
periodic job without a case here fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from bx24app import jobs
from bx24app.calls.recordings import spool_files
from bx24app.infra import spool
from bx24app.infra.runtime import runtime
from bx24app.infra.worker import MACHINE_JOBS, PERIODIC_JOBS
from bx24app.models import (
    Call,
    Figure,
    Grant,
    Intent,
    Notice,
    Notification,
    Pbx,
    Portal,
    Recording,
    db,
    portal_loop,
    utcnow,
)
from bx24app.operations import retention
from bx24app.portals import probes, sync
from tests.support.poisoned_portals import SECRETS, answer_for, make_poisoned, make_tenant, secret_columns
from tests.support.scripted_server import scripted

LONG_AGO = timedelta(days=100)


@dataclass(frozen=True)
class Case:
    """A periodic job: what makes it due for all portals, and whether it was done for one."""

    make_due: Callable[[list[int]], None]
    is_served: Callable[[int], bool]


def set_portals(ids: list[int], **values: Any) -> None:
    db.session.execute(update(Portal).where(Portal.id.in_(ids)).values(**values))
    db.session.commit()


def add_calls(ids: list[int], **values: Any) -> None:
    at = utcnow() - timedelta(days=2)
    pbxs = {row.portal_id: row.id for row in db.session.execute(select(Pbx.portal_id, Pbx.id))}
    shared = {"pbx_key": "moscow", "entry_id": "e", "started_at": at, "direction": "in", "heard_at": at, "users": []}
    db.session.add_all(Call(portal_id=number, pbx_id=pbxs[number], **shared, **values) for number in ids)
    db.session.commit()


def await_sweep(ids: list[int]) -> None:
    received = utcnow() - timedelta(minutes=1)
    shared = {"pbx_id": 0, "dialect": "bitrix24", "name": "X", "dedup_key": "k", "body": "{}", "received_at": received}
    db.session.add_all(Notification(portal_id=number, **shared) for number in ids)
    db.session.commit()


def await_statistics(ids: list[int]) -> None:
    db.session.execute(update(Pbx).values(created_at=utcnow() - timedelta(hours=2)))
    db.session.commit()


def await_administrators(ids: list[int]) -> None:
    due = utcnow() - timedelta(seconds=1)
    set_portals(ids, state="needs_admin", state_before="active", trouble="payment", trouble_at=due, probe_at=due)


def await_sync(ids: list[int]) -> None:
    set_portals(ids, state="active", looked_at=None)


def await_end(ids: list[int]) -> None:
    add_calls(ids, state="open", due_at=None)


def await_retention(ids: list[int]) -> None:
    """Plain hook keys of an old version that nobody needs any more; a portal that has been silent for long."""
    over = utcnow() - timedelta(seconds=1)
    db.session.execute(update(Pbx).values(plain_until=over, old_hook_until=over))
    set_portals(ids, answered_at=utcnow() - LONG_AGO)


def is_pruned(portal_id: int) -> bool:
    pbx = db.session.execute(select(Pbx.plain_until, Pbx.old_hook_until).where(Pbx.portal_id == portal_id)).one()
    return tuple(pbx) == (None, None) and value_of(portal_id, Portal.state) == "removed"


def value_of(portal_id: int, column: Any) -> Any:
    own = column.class_.id if column.class_ is Portal else column.class_.portal_id
    return db.session.scalar(select(column).where(own == portal_id))


CASES = {
    "sweep": Case(await_sweep, lambda number: runtime().redis.zscore("wakeups:calls", number) is not None),
    "reconcile": Case(await_statistics, lambda number: value_of(number, Pbx.asked_at) is not None),
    "look_after_portals": Case(await_sync, lambda number: value_of(number, Intent.job) is not None),
    "probe_portals": Case(await_administrators, lambda number: value_of(number, Portal.state) == "active"),
    "count_figures": Case(
        lambda ids: add_calls(ids, state="finished", outcome="answered"),
        lambda number: value_of(number, Figure.calls) is not None,
    ),
    "watch": Case(await_administrators, lambda number: value_of(number, Notice.key) is not None),
    "close_silent": Case(await_end, lambda number: value_of(number, Call.due_at) is not None),
    "prune": Case(await_retention, is_pruned),
}


@pytest.fixture
def tenants(app: Flask) -> Iterator[dict[str, int]]:
    """Poison -> portal; `good`: the ordinary one behind them."""
    with scripted() as server:
        server.answer_with(answer_for)
        ids = make_poisoned(server.url)
        yield {**ids, "good": make_tenant(server.url, "good")}


def test_every_periodic_job_and_every_secret_has_a_case() -> None:
    assert set(CASES) == {job for job, _, _ in PERIODIC_JOBS}
    assert {job for job, _ in MACHINE_JOBS} == {"clean_spool"}, "see test_the_spool_of_each_machine"
    assert set(SECRETS) | {"old_hook_sealed"} == secret_columns()


@pytest.mark.parametrize("job", CASES)
def test_the_portals_before_it_keep_no_portal_from_its_turn(tenants: dict[str, int], job: str) -> None:
    CASES[job].make_due(list(tenants.values()))
    getattr(jobs, job)()
    db.session.rollback()
    assert CASES[job].is_served(tenants["good"])


@pytest.mark.parametrize(("job", "loop"), [("probe_portals", "probe"), ("watch", "watch"), ("prune", "hook_keys")])
def test_what_raises_is_counted_and_remembered_until_it_succeeds(tenants: dict[str, int], job: str, loop: str) -> None:
    CASES[job].make_due(list(tenants.values()))
    getattr(jobs, job)()
    failed = portal_loop.failing_ids(loop)
    column = {"hook_keys": "hook_sealed"}.get(loop, "access_token")
    own = value_of(tenants[column], Pbx.id) if loop == "hook_keys" else tenants[column]
    assert failed == {own}, "answers are read with care, so that only the secret raises"
    assert portal_loop.count_failures()[loop] == 1
    values = {Pbx.hook_sealed: "key"} if loop == "hook_keys" else {Grant.access_token: "b"}
    table = Pbx if loop == "hook_keys" else Grant
    db.session.execute(update(table).where(table.portal_id == tenants[column]).values(values))
    db.session.commit()
    CASES[job].make_due(list(tenants.values()))
    getattr(jobs, job)()
    assert portal_loop.failing_ids(loop) == set()


def test_a_portal_that_raises_is_asked_again_after_its_pause_only(
    tenants: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of the next probe is moved before the portal is asked."""
    monkeypatch.setattr(probes, "client_by_id", lambda portal_id: 1 / 0)
    await_administrators(list(tenants.values()))
    probes.probe_due_portals()
    assert portal_loop.failing_ids("probe") == set(tenants.values())
    assert all(value_of(number, Portal.probe_at) > utcnow() for number in tenants.values())


def test_idle_grants_are_refreshed_behind_one_that_raises(
    tenants: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed: list[int] = []

    def refresh(portal_id: int, token: str) -> None:
        refreshed.append(portal_id)
        assert portal_id == tenants["good"], "anything may go wrong"

    monkeypatch.setattr(sync, "refresh_access_token", refresh)
    db.session.execute(update(Grant).values(refreshed_at=utcnow() - timedelta(days=30)))
    db.session.commit()
    sync.refresh_due_grants()
    assert refreshed[-1] == tenants["good"]
    sync.refresh_due_grants()
    assert len(refreshed) == len(tenants), "nobody is asked again at once"


@pytest.mark.usefixtures("app")
class TestLoop:
    """The helper itself."""

    def test_a_run_ends_by_itself_and_the_next_one_continues(self) -> None:
        served: list[int] = []

        def work(number: int) -> None:
            served.append(number)
            time.sleep(0.1)

        portal_loop.for_each("slow", [1, 2, 3], work, seconds=0.05)
        portal_loop.for_each("slow", [1, 2, 3], work, seconds=0.05)
        assert served == [1, 2]
        portal_loop.for_each("slow", [1, 2, 3], work)
        assert served == [1, 2, 3, 1, 2], "every tenant has its turn, those behind the last one first"
        portal_loop.for_each("slow", [1, 2, 3], work)
        assert served[5:] == [1, 2, 3]

    def test_a_run_whose_process_dies_is_continued_behind_the_tenant_that_killed_it(self) -> None:
        def die(number: int) -> None:
            raise SystemExit

        with pytest.raises(SystemExit):
            portal_loop.for_each("deadly", [1, 2], die)
        served: list[int] = []
        portal_loop.for_each("deadly", [1, 2], served.append)
        assert served == [2, 1]

    def test_requests_of_one_tenant_are_bounded_in_time(self) -> None:
        from bx24app.bitrix24.request_deadline import seconds_left

        left: list[float] = []
        portal_loop.for_each("bounded", [1], lambda _: left.append(seconds_left(75.0)))
        assert 0 < left[0] <= portal_loop.PORTAL_SECONDS

    def test_one_part_of_a_job_does_not_stop_the_others(self) -> None:
        done: list[str] = []
        with pytest.raises(ZeroDivisionError):
            portal_loop.run_parts("parts", (lambda: 1 / 0, lambda: done.append("second")))
        assert done == ["second"]

    def test_without_redis_everybody_is_served(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import redis

        dead = redis.Redis(port=1, socket_connect_timeout=0.1, retry=None)
        monkeypatch.setattr(runtime(), "_redis", dead)
        served: list[int] = []
        portal_loop.for_each("alone", [1, 2], served.append, pause=timedelta(minutes=1))
        assert served == [1, 2]


def test_the_spool_of_each_machine_loses_what_was_purged_anywhere(app: Flask) -> None:
    """A portal is purged by a worker of one machine; its recordings may lie in the spool of another one."""
    portal_id = make_tenant("http://127.0.0.1:9/", "good")
    add_calls([portal_id])
    call_id = value_of(portal_id, Call.id)
    recording = Recording(portal_id=portal_id, call_id=call_id, recording_id="r", state="waiting")
    db.session.add(recording)
    db.session.commit()
    wanted = spool_files.files_of([recording.id])[recording.id]
    purged = spool.path_of(recording.id + 1, "another")
    wanted.parent.mkdir()
    for path in (wanted, purged):
        path.write_bytes(b"voice")
    retention.clean_spool()
    assert (wanted.exists(), purged.exists()) == (True, False)
