"""One background job of a tenant at a time in a process, so that a portal or PBX that hangs holds one thread.

`bx24app.jobs` marks the jobs of a tenant with `one_per_tenant`. Periodic jobs belong to no tenant and are not marked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from bx24app.infra import queue
from bx24app.infra.clock import utcnow
from bx24app.infra.runtime import runtime

BUSY_RETRY = timedelta(seconds=2)
"""When a job is tried again that met another one of its tenant."""


class BusyTenants:
    """The tenants for which a background job runs in this process."""

    def __init__(self) -> None:
        self._lock, self._busy = threading.Lock(), set[str]()

    def enter(self, tenant: str) -> bool:
        """False: a job of this tenant runs."""
        with self._lock:
            is_free = tenant not in self._busy
            self._busy.add(tenant)
            return is_free

    def leave(self, tenant: str) -> None:
        with self._lock:
            self._busy.discard(tenant)


def one_per_tenant(job: Callable[..., None]) -> Callable[..., None]:
    """Run this job unless another one of the tenant runs in this process; then put it off.

    The first argument is a portal's row id, or a dictionary that names a PBX.
    """

    @wraps(job)
    def run(*args: Any) -> None:
        busy, first = runtime().get(BusyTenants), args[0]
        tenant = f"pbx:{first['pbx_id']}" if isinstance(first, dict) else f"portal:{first}"
        if not busy.enter(tenant):
            queue.enqueue_background(job.__name__, *args, when=utcnow() + BUSY_RETRY)
            return
        try:
            job(*args)
        finally:
            busy.leave(tenant)

    return run
