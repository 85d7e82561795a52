"""A portal's REST client for whoever may be a page: what a page asks, it asks inside a gate, and not of a portal that
is known not to answer. In a worker it is an ordinary client.

`clients` makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import Bitrix24Client, RestResult
from bx24app.bitrix24.errors import NotSent, PortalError
from bx24app.bitrix24.request_deadline import seconds_left
from bx24app.infra import circuit_breaker, gates, page_threads


class PageClient(Bitrix24Client):
    """Bitrix24Client inside gates. `portal_id`: None: the portal may not be installed yet."""

    portal_id: int | None = None
    on_success: Callable[[], None] | None = None
    """Called once, after the first request that succeeds; set where the portal needed an administrator."""

    def call(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        priority: Priority = Priority.CARD,
        patience: float = 0.0,
        leave_by: float | None = None,
    ) -> RestResult:
        with self._pass_gate():
            return super().call(method, params, priority, seconds_left(patience), leave_by)

    def batch(
        self,
        commands: list[tuple[str, str, dict[str, Any]]],
        halt: bool = False,
        priority: Priority = Priority.CARD,
        leave_by: float | None = None,
    ) -> dict[str, RestResult | PortalError]:
        with self._pass_gate():
            return super().batch(commands, halt, priority, leave_by)

    def probe_access(self, priority: Priority = Priority.BACKGROUND) -> dict[str, Any]:
        with self._pass_gate():
            return super().probe_access(priority)

    @contextmanager
    def _pass_gate(self) -> Iterator[None]:
        """Raises NotSent: the portal has not answered lately, or the gate is closed."""
        if self.portal_id is not None and page_threads.current_page() is not None:
            pause = circuit_breaker.of_portal(self.portal_id).read_state().pause
            if pause > 0:
                raise NotSent("the portal has not answered lately", pause)
        with gates.pass_gate(party=urlsplit(self.endpoint).netloc):
            yield
        report, self.on_success = self.on_success, None
        if report is not None:
            report()
