"""A `Bitrix24Client` of one scripted portal, without the rest of the app.

A test opens `rig()`, scripts answers with `server.answer_with`, calls `client`, and reads `server.requests`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from bx24app.bitrix24.budget import Priority, RequestBudget
from bx24app.bitrix24.client import Bitrix24Client, TokenSource
from bx24app.bitrix24.ssrf_guard import AddressPolicy, GuardedAdapter
from bx24app.bitrix24.transport import Transport
from tests.support.scripted_server import ScriptedServer, scripted


class FakeBudget:
    """A request budget that returns the scripted `waits`, then 0.0 for every request."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.taken: list[Priority] = []
        self.penalties: list[float] = []

    def acquire(self, priority: Priority = Priority.CARD) -> float:
        wait = self.waits.pop(0) if self.waits else 0.0
        if not wait:
            self.taken.append(priority)
        return wait

    def available_requests(self) -> float:
        return 100.0

    def block_for(self, seconds: float) -> None:
        self.penalties.append(seconds)


@dataclass
class Rig:
    """A client and its surroundings. `tokens`: the last one is in use, and a refresh appends the next."""

    server: ScriptedServer
    client: Bitrix24Client
    budget: FakeBudget
    tokens: list[str] = field(default_factory=list)
    moves: list[str] = field(default_factory=list)
    refresh_error: Exception | None = None
    """The error that a refresh of the token raises, if any."""


@contextmanager
def rig() -> Iterator[Rig]:
    """A client whose portal answers what the test scripts."""
    with scripted() as server:
        budget = FakeBudget()
        client_rig: Rig

        def access() -> str:
            return client_rig.tokens[-1]

        def refresh(old: str) -> str:
            if client_rig.refresh_error is not None:
                raise client_rig.refresh_error
            assert old == client_rig.tokens[-1]
            client_rig.tokens.append(f"fresh-{len(client_rig.tokens)}")
            return client_rig.tokens[-1]

        def moved(location: str) -> str:
            client_rig.moves.append(location)
            return server.url + "moved/"

        transport = Transport(GuardedAdapter(AddressPolicy(may_use_loopback=True)), plain_http=True)
        client_rig = Rig(
            server,
            Bitrix24Client(
                server.url + "rest/", TokenSource(access, refresh, moved), cast(RequestBudget, budget), transport
            ),
            budget,
            ["first"],
        )
        yield client_rig
        transport.get_session().close()


def result(value: Any, **more: Any) -> dict[str, Any]:
    """The JSON of a successful answer."""
    return {"result": value, "time": {"start": 1, "finish": 2, "duration": 1.0, "processing": 0.9}, **more}
