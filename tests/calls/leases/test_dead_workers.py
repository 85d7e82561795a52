"""A worker process is killed with something in hand: it goes on at once, and not before the worker is dead."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from bx24app.calls.leases.heartbeat import Heartbeat
from bx24app.domain.calls.commands import AnyCommand, Dial, Finish, Register
from bx24app.domain.silence import SILENT_OBSERVATIONS
from bx24app.infra import circuit_breaker
from bx24app.infra.leases import LEASE_SECONDS, STATISTICS
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Delivery, Intent, Recording, WorkerProcess, db, utcnow
from bx24app.models.intents import RING_AFTER
from bx24app.portals import intents
from tests.cli.test_journal import call, sent
from tests.conftest import make_portal
from tests.infra.test_circuit_breaker import passed
from tests.support import commands
from tests.support.stack import until

ROOT = Path(__file__).resolve().parents[3]
KINDS = ("request", "dial", "recording", "upload", "intent", "trial", "refresh", "statistics")
SOON = timedelta(seconds=15)


@pytest.fixture(scope="module")
def fork_server() -> Iterator[subprocess.Popen[str]]:
    """Has loaded the program, and forks a worker process for each line."""
    command = [sys.executable, "-m", "tests.support.lease_holder"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environ, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield server
        server.kill()


class Holder:
    """Worker processes with one thing in hand each."""

    def __init__(self, app: Flask, fork_server: subprocess.Popen[str]) -> None:
        config = app.extensions["bx24app"].config
        self._environ = {**commands.environment_of(config), "BX24APP_DATABASE_URL": config.database_url}
        self._server, self._pid, self.name = fork_server, 0, ""

    def take(self, kind: str, **environ: str) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps([kind, self._environ | environ]) + "\n")
        self._server.stdin.flush()
        pid, _, self.name = self._server.stdout.readline().strip().partition(" ")
        self._pid = int(pid)
        assert self.name, "the worker did not get it"

    def kill(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            until(lambda: not Path(f"/proc/{self._pid}").exists(), "a killed process still runs")
            self._pid = 0


@pytest.fixture
def holder(app: Flask, fork_server: subprocess.Popen[str]) -> Iterator[Holder]:
    worker = Holder(app, fork_server)
    yield worker
    worker.kill()


@pytest.fixture
def planted(app: Flask) -> None:
    """A call whose finish, dial and recording wait; a portal whose circuit is open; a look that is due."""
    portal = make_portal(state="active")
    made = call(portal, "waits", state="open", client_number="+79160000001", started_at=utcnow(), heard_at=utcnow())
    db.session.flush()
    register = Register(
        key="register", user_id=11, number="+79160000001", type=2, started_at=0, line=None, external_id="moscow:waits",
        show=True,
    )  # fmt: skip
    sent(made, register, 0, state="done", answer={"call_id": "externalCall.1"})
    for command in (
        Finish(key="finish", user_id=11, seconds=5, status="200", number="+79160000001"),
        Dial(key="dial", command_id="bx24-1", to_number="+79160000001", extension="101", group=None, line=None),
    ):
        _wait(made, command)
    of = {"portal_id": portal.id, "call_id": made.id, "recording_id": "r", "bitrix_call_id": "externalCall.1"}
    db.session.add(Recording(**of, due_at=utcnow()))
    intents.ask(portal.id, "look")
    breaker = circuit_breaker.of_portal(portal.id)
    db.session.commit()
    for _ in range(circuit_breaker.FAILURE_THRESHOLD):
        breaker.record_failure()
    passed(breaker)
    db.session.remove()  # SQLite has one writer


def _wait(made: Call, command: AnyCommand) -> None:
    sent(made, command, 1, state="waiting", sent_at=None, done_at=None, answer=None)


def in_hand(kind: str) -> dict[str, Any]:
    """What there is to see of it."""
    db.session.expire_all()
    client = runtime().redis
    match kind:
        case "request" | "dial":
            row = db.session.query(Delivery).filter_by(key="finish" if kind == "request" else "dial").one()
            state = {"state": row.state, "due_at": row.due_at, "uncertain": row.uncertain, "answer": row.answer}
        case "recording" | "upload":
            recording = db.session.query(Recording).one()
            state = {"claimed_at": recording.claimed_at, "due_at": recording.due_at}
        case "intent":
            intent = db.session.query(Intent).filter_by(job="look").one()
            state = {"owner": intent.owner, "due_at": intent.due_at}
        case "trial":
            state = {"trial": client.hget("circuit:portal:1", "trial")}
        case _:
            state = {"lease": client.get(STATISTICS if kind == "statistics" else "refresh:1")}
    db.session.rollback()
    return state


def is_free(kind: str, state: dict[str, Any]) -> bool:
    soon = utcnow() + SOON
    match kind:
        case "request":
            due: datetime | None = state["due_at"]
            return (state["state"], state["uncertain"]) == ("waiting", True) and due is not None and due < soon
        case "dial":
            return (state["state"], state["answer"]) == ("done", {"lost": True})
        case "recording" | "upload":
            return state["claimed_at"] is None and state["due_at"] < soon
        case "intent":
            return state["owner"] is None and state["due_at"] < utcnow() + 2 * RING_AFTER  # the sweep has rung
        case _:
            return next(iter(state.values())) is None


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_when_its_worker_is_dead_and_not_before(planted: None, holder: Holder, kind: str) -> None:
    holder.take(kind)
    mine = Heartbeat()
    before = in_hand(kind)
    mine.beat_once()
    assert in_hand(kind) == before
    assert not is_free(kind, before)
    holder.kill()
    mine.beat_once()
    assert is_free(kind, in_hand(kind))
    assert holder.name not in [row.name for row in db.session.query(WorkerProcess)]
    db.session.rollback()


@pytest.mark.parametrize("kind", ["request", "dial", "recording", "intent"])
def test_a_flush_of_redis_frees_nothing_that_a_living_worker_holds(planted: None, holder: Holder, kind: str) -> None:
    holder.take(kind)
    before = in_hand(kind)
    runtime().redis.flushall()
    mine = Heartbeat()
    for _ in range(SILENT_OBSERVATIONS):
        mine.beat_once()
    assert in_hand(kind) == before


@pytest.mark.parametrize("kind", ["request", "recording"])
def test_a_worker_of_another_machine_is_dead_once_it_is_silent(
    planted: None, holder: Holder, kind: str, tmp_path: Path
) -> None:
    holder.take(kind, BX24APP_DATA_DIR=str(tmp_path / "another"))
    mine = Heartbeat()
    holder.kill()
    before = in_hand(kind)
    for _ in range(SILENT_OBSERVATIONS):
        mine.beat_once()
    assert in_hand(kind) == before
    mine.beat_once()
    assert is_free(kind, in_hand(kind))


@pytest.mark.parametrize("kind", ["refresh", "statistics"])
def test_a_lease_ends_by_itself_soon_after_its_holder(planted: None, holder: Holder, kind: str) -> None:
    holder.take(kind)
    remaining: Any = runtime().redis.pttl(STATISTICS if kind == "statistics" else "refresh:1")
    assert 0 < remaining <= LEASE_SECONDS * 1000
