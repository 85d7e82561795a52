"""A ring's way to portal B while portal A is flooded, and while A's recordings wait; against B alone on an idle system."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import redis
import requests

from benchmarks.contact_centre import COMMAND_SECONDS, RATE, RECORDING, installation
from benchmarks.latency import RINGS, percentiles, taken_off
from benchmarks.measure import Figure, Measure
from benchmarks.rig import Rig, call, post, until
from bx24app.models import Call, Notification, Portal, Recording, db, utcnow
from bx24app.models import Pbx as PbxRow
from bx24app.processes_child import die_with_parent
from tests.mango.scenarios import Notice

A, B = 0, 1
FLOOD, RECORDINGS, SAMPLES = (5000, 1300), (1000, 100), (100, 20)
"""Notifications, recordings, and calls of B at the most; whole and quick."""
FEWEST = 3
TIMES = 2.0
CONNECTIONS = 8
AT_ONCE = 25
"""Calls that one batch makes in the portal."""
TELEPHONY = "telephony.externalCall."


@dataclass
class Neighbours:
    """Two portals of one installation; `client`: its Redis."""

    made: Rig
    client: redis.Redis

    def once(self, session: requests.Session) -> float:
        """Milliseconds of one call of B, from the moment its notification leaves Mango."""
        # B is a small office whose budget is full: not its own calls are measured here.
        self.client.delete(f"budget:{self.made.cloud.ask('member_id', B)}")
        told = call()
        for notice in told.notices[:RINGS]:
            post(session, self.made.hooks[B], notice)
        until(lambda: not self.unread(B), "what was told to B before its ring was never read", 120, 0.1)
        since = time.time()
        post(session, self.made.hooks[B], told.notices[RINGS])
        seen: list[tuple[float, float, bool]] = []

        def registered() -> bool:
            seen[:] = self.made.cloud.ask("requests", B, since)
            return any(register for _, _, register in seen)

        until(registered, "a call was never registered", 120)
        return taken_off(seen, since) * 1000

    def sample(self, most: int, going: Callable[[], bool] = lambda: True) -> list[float]:
        """So many calls of B, or as many as there is time for while it goes on."""
        found: list[float] = []
        with requests.Session() as session:
            while len(found) < most and going():
                found.append(self.once(session))
        return found

    def unread(self, number: int) -> int:
        """Notifications of a portal that no drain has taken yet."""
        with self.made.app.app_context():
            found = db.session.query(Notification).filter_by(portal_id=self._pbx(number).portal_id, state="new").count()
            db.session.remove()
            return found

    def _pbx(self, number: int) -> PbxRow:
        portal = db.session.query(Portal).filter_by(member_id=self.made.cloud.ask("member_id", number)).one()
        return db.session.query(PbxRow).filter_by(portal_id=portal.id).one()

    @contextmanager
    def flood(self, count: int) -> Iterator[Callable[[], bool]]:
        """A is told so many notifications from a process of its own; the answer of what it gives: does it go on?"""
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_flood, args=(self.made.hooks[A], count, os.getpid()))
        process.start()
        try:
            until(lambda: self.unread(A) or not process.is_alive(), "the flood never began")
            yield lambda: process.is_alive() or bool(self.unread(A))
        finally:
            process.join()

    def waiting(self) -> int:
        """Recordings that are not attached yet."""
        with self.made.app.app_context():
            found = db.session.query(Recording).filter_by(state="waiting").count()
            db.session.remove()
            return found

    def leave(self, count: int) -> None:
        """So many finished calls of A, whose recordings are due now; the next sweep rings for them."""
        ids = self._finished(count)
        names = [f"left{number}" for number in range(count)]
        self.made.cloud.ask("stored", names, RECORDING)
        now = utcnow()
        with self.made.app.app_context():
            pbx = self._pbx(A)
            for name, number in zip(names, ids, strict=True):
                row = Call(
                    portal_id=pbx.portal_id,
                    pbx_id=pbx.id,
                    pbx_key=pbx.key,
                    entry_id=name,
                    started_at=now,
                    state="finished",
                )
                db.session.add(row)
                db.session.flush()
                db.session.add(
                    Recording(
                        portal_id=pbx.portal_id, call_id=row.id, recording_id=name, part=1, bitrix_call_id=number, due_at=now, noticed_at=now
                    )
                )  # fmt: skip
            db.session.commit()
            db.session.remove()

    def _finished(self, count: int) -> list[str]:
        """Told to the portal directly, as another program would."""
        base, token = self.made.cloud.ask("grant", A)
        found: list[str] = []
        with requests.Session() as session:
            for first in range(0, count, AT_ONCE):
                cmd = {}
                for number in range(first, min(first + AT_ONCE, count)):
                    phone = {"USER_ID": 11, "PHONE_NUMBER": f"+7936{number:07d}", "TYPE": 2, "SHOW": 0}
                    done = {
                        "CALL_ID": f"$result[r{number}][CALL_ID]",
                        "USER_ID": 11,
                        "DURATION": 60,
                        "STATUS_CODE": 200,
                    }
                    cmd[f"r{number}"] = f"{TELEPHONY}register?{urlencode(phone)}"
                    cmd[f"f{number}"] = f"{TELEPHONY}finish?{urlencode(done)}"
                answer = session.post(f"{base}batch", json={"cmd": cmd, "auth": token}, timeout=60)
                answer.raise_for_status()
                found += [one["CALL_ID"] for key, one in answer.json()["result"]["result"].items() if key[0] == "r"]
        return found


def _flood(hook: str, count: int, parent: int) -> None:
    """Whole calls, as fast as they are taken."""
    die_with_parent(parent)
    calls = [call().notices for _ in range(-(-count // 13))]

    def one(notices: list[Notice]) -> None:
        with requests.Session() as session:
            for notice in notices:
                post(session, hook, notice)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(one, calls))


def _run(quick: bool) -> list[Figure]:
    count, recordings, most = FLOOD[quick], RECORDINGS[quick], SAMPLES[quick]
    with installation(2) as (made, client):
        both = Neighbours(made, client)
        both.sample(5)  # warm: connections, caches, tokens
        idle = both.sample(most)
        both.leave(recordings)
        made.cloud.ask("limit", A, RATE, COMMAND_SECONDS)
        until(lambda: both.waiting() < recordings, "no recording was ever attached", 120, 0.2)
        tapes = both.sample(most, lambda: bool(both.waiting()))
        left = both.waiting()
        until(lambda: not both.waiting(), "recordings were never attached", 900, 1)
        with both.flood(count) as going:
            flooded = both.sample(most, going)
    return [
        *_figures("while a neighbour is flooded", flooded, idle, f"{count} notifications"),
        *_figures(
            "while a neighbour's recordings wait", tapes, idle, f"{recordings} recordings, {left} left at the end"
        ),
    ]


def _figures(name: str, found: list[float], idle: list[float], note: str) -> list[Figure]:
    """Raises: RuntimeError, where too few calls were measured to say anything."""
    if len(found) < FEWEST:
        raise RuntimeError(f"{name}: it was over after {len(found)} calls")
    (p50, p95), (idle_p50, idle_p95) = percentiles(found), percentiles(idle)
    return [
        Figure(
            f"ring to register {name}, p95", p95, "ms", f"{TIMES:.0f} times the idle one", p95 <= TIMES * idle_p95, idle_p95,
            f"p50 {p50:.0f} ms, idle {idle_p50:.0f} ms; {len(found)} calls; {note}",
        )
    ]  # fmt: skip


MEASURES = (Measure("neighbours", "a ring's way to a portal beside a busy one", _run),)
