"""Who holds what: the name of this process, and leases in Redis that last as long as their holder lives.

Rows that a worker has in hand carry its name (`calls.leases` frees them when it dies). What only one process may do at
a time, such as a refresh of a grant, is held here under a key of 15 s, which the process renews every 5 s: a holder
that dies is followed within 15 s, and at once where its death is seen (`release_leases_of`).
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis
from redis.lock import Lock

from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime

_log = get_logger(__name__)

STATISTICS = "figures"
"""Name of the lease of whoever counts the statistics."""
LEASE_SECONDS, RENEW_SECONDS = 15.0, 5.0
"""How long a lease outlives its holder, and how often the holder renews it."""
_REGISTRY_TTL_SECONDS = 3600

_RELEASE_SCRIPT = """
local holder = redis.call('GET', KEYS[1])
if holder and string.sub(holder, 1, string.len(ARGV[1])) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class ProcessName:
    """The name of this process among all of all machines. Never used twice."""

    def __init__(self) -> None:
        self._pid, self._name = 0, ""

    def read_name(self) -> str:
        """Another name after a fork."""
        pid = os.getpid()
        if self._pid != pid:
            self._pid, self._name = pid, f"{os.uname().nodename[:40]}-{pid}-{secrets.token_hex(6)}"
        return self._name


def worker_name() -> str:
    """The name that leases of this process carry."""
    return runtime().get(ProcessName).read_name()


class LeaseKeeper:
    """Renews the leases in Redis that this process holds, in a thread that begins with the first of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[Lock, float] = {}
        """Lease -> moment of the monotonic clock after which it is not renewed any more: its holder hangs."""
        self._is_running = False

    def add(self, lease: Lock, seconds: float) -> None:
        with self._lock:
            self._leases[lease] = time.monotonic() + seconds
            if not self._is_running:
                threading.Thread(target=self._renew_all, name="leases", daemon=True).start()
                self._is_running = True

    def discard(self, lease: Lock) -> None:
        with self._lock:
            self._leases.pop(lease, None)

    def _renew_all(self) -> None:
        while True:
            time.sleep(RENEW_SECONDS)
            with self._lock:
                now = time.monotonic()
                leases = [lease for lease, until in self._leases.items() if until > now]
                if not leases:
                    self._is_running = False
                    return
            for lease in leases:
                try:
                    lease.reacquire()
                except redis.RedisError as error:  # lost with Redis, or released this very moment
                    _log.info("lease not renewed", lease=str(lease.name), error=type(error).__name__)


@contextmanager
def hold_lease(name: str, *, wait_seconds: float, at_most: float) -> Iterator[bool]:
    """Hold the lease of this name during the block, renewed for `at_most` seconds. False: somebody else has it still
    after `wait_seconds`.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    client, keeper, owner = runtime().redis, runtime().get(LeaseKeeper), worker_name()
    lease = client.lock(name, timeout=LEASE_SECONDS, thread_local=False)
    token = f"{owner}:{secrets.token_hex(8)}"
    if not lease.acquire(blocking=wait_seconds > 0, blocking_timeout=wait_seconds or None, token=token):
        yield False
        return
    try:
        client.sadd(_registry_key(owner), name)
        client.expire(_registry_key(owner), _REGISTRY_TTL_SECONDS)
        keeper.add(lease, at_most)
        yield True
    finally:
        keeper.discard(lease)
        with suppress(redis.RedisError):
            client.srem(_registry_key(owner), name)
            lease.release()


def _registry_key(owner: str) -> str:
    """Redis key of the set of lease names that this process may hold."""
    return f"leases:{owner}"


def release_leases_of(owner: str) -> list[str]:
    """Free the leases of a process that has died; returns their names. Without Redis there is nothing to free: they
    end by themselves within 15 s.
    """
    client = runtime().redis
    try:
        names: set[bytes] = client.smembers(_registry_key(owner))  # type: ignore[assignment]
        freed = [name.decode() for name in names if client.eval(_RELEASE_SCRIPT, 1, name, f"{owner}:")]
        client.delete(_registry_key(owner))
    except redis.RedisError as error:
        _log.warning("leases of a dead process not freed, they end by themselves", error=type(error).__name__)
        return []
    return freed
