"""Notifications acknowledged while the workers work: sixteen calls are always under way over eight portals, as in life.

The baseline is a bare INSERT and COMMIT by the same kind of server under the same other load: those calls go on while
it is measured. The program's workers also work on what is sent to measure it.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import requests

from benchmarks.acknowledge import CONNECTIONS, RATE, REACH, bare_insert
from benchmarks.measure import Figure, Measure
from benchmarks.rig import Rig, call, post, rig
from benchmarks.servers import load
from bx24app.mango import vpbx
from tests.conftest import KEY, SALT
from tests.support.servers import postgres, valkey

PORTALS, P99_MS = 8, 50
AT_ONCE, GAP_SECONDS = 16, 0.4
"""Calls under way; from one notification of a call to its next."""
TURNS = 5
FASTEST = 2000
"""Notifications a second for which requests are made before the clock runs."""


def _wires(made: Rig, count: int) -> Iterator[bytes]:
    """Signed requests of whole calls, sixteen of them at a time, over all portals."""
    hooks, left = cycle(made.hooks), count
    while left > 0:
        calls = [(urlsplit(next(hooks)).path, call().notices) for _ in range(CONNECTIONS)]
        for index in range(len(calls[0][1])):
            for path, notices in calls:
                notice, left = notices[index], left - 1
                form = {"vpbx_api_key": KEY, "json": notice.raw, "sign": vpbx.sign_text(KEY, SALT, notice.raw)}
                yield load.request(f"{path}/{notice.name}", urlencode(form).encode())


@contextmanager
def _calls_under_way(made: Rig) -> Iterator[list[int]]:
    """Sends calls until the end of the block. Yields a list that holds a number for each notification sent."""
    done, sent = threading.Event(), list[int]()

    def send(number: int) -> None:
        done.wait(number * GAP_SECONDS / AT_ONCE)
        with requests.Session() as session:
            while not done.is_set():
                for notice in call().notices:
                    post(session, made.hooks[number % PORTALS], notice)
                    sent.append(number)
                    if done.wait(GAP_SECONDS):
                        return

    with ThreadPoolExecutor(AT_ONCE) as pool:
        sending = [pool.submit(send, number) for number in range(AT_ONCE)]
        try:
            yield sent
        finally:
            done.set()
        for future in sending:
            future.result()


def _over(name: str, quick: bool) -> list[Figure]:
    seconds = 2.0 if quick else 20.0
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder, servers = Path(place), dict[str, str]()
        if name == "PostgreSQL":
            servers["DATABASE_URL"] = stack.enter_context(postgres(folder))
            servers["REDIS_URL"] = stack.enter_context(valkey(folder))
        made = stack.enter_context(rig(PORTALS, "ru_selfhosted", recordings=False, **servers))
        base_port, base_path = stack.enter_context(bare_insert(folder, servers.get("DATABASE_URL", "")))
        port = urlsplit(made.url).port or 0
        wires = iter([*_wires(made, int(FASTEST * (seconds + 1)) + int(RATE * seconds))])
        with _calls_under_way(made) as sent:
            load.closed(base_port, base_path, CONNECTIONS, 0.5)  # warm
            load.closed(port, "", CONNECTIONS, 0.5, wires)
            base_paced = load.paced(base_port, base_path, RATE, seconds)
            paced = load.paced(port, "", RATE, seconds, wires)
            turns = [
                (
                    load.closed(base_port, base_path, CONNECTIONS, seconds / TURNS),
                    load.closed(port, "", CONNECTIONS, seconds / TURNS, wires),
                )
                for _ in range(TURNS)
            ]  # fmt: skip
    base, ours = sorted(turns, key=lambda turn: turn[1].rate / turn[0].rate)[TURNS // 2]
    share, p99, base_p99 = ours.rate / base.rate, paced.quantile(0.99), base_paced.quantile(0.99)
    note = f"{AT_ONCE} calls under way over {PORTALS} portals meanwhile ({len(sent)} notifications of theirs)"
    return [
        Figure(
            f"acknowledged while workers work, {name}", ours.rate, "/s", f"at least {REACH} of it", share >= REACH,
            base.rate, note,
        ),
        Figure(
            f"acknowledged at {RATE}/s while workers work, p99, {name}", p99, "ms", f"under {P99_MS} ms", p99 < P99_MS,
            base_p99, note,
        ),
    ]  # fmt: skip


def _run(quick: bool) -> list[Figure]:
    return [figure for name in (("SQLite",) if quick else ("SQLite", "PostgreSQL")) for figure in _over(name, quick)]


MEASURES = (Measure("acknowledge-working", "notifications a second while the workers work", _run, 12, False),)
