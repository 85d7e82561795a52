"""Makes the client for BX24APP_REDIS_URL: one server, plain or with TLS, or the master that Sentinel names."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from bx24app.config import SENTINEL_SCHEMES, sentinel_parts

PATIENT: dict[str, Any] = {"socket_timeout": 5, "socket_connect_timeout": 5, "health_check_interval": 30}
"""Options of workers and commands. redis-py tries three times more by itself."""
_WEB_SECONDS = 1.0


def impatient() -> dict[str, Any]:
    """Options of the web process: one second, and another try only where Redis closed a kept connection."""
    retry = Retry(NoBackoff(), 1, (redis.ConnectionError,))
    return PATIENT | {"socket_timeout": _WEB_SECONDS, "socket_connect_timeout": _WEB_SECONDS, "retry": retry}


class SilentRedis:
    """When Redis last did not answer this process (monotonic seconds), so that not every notification finds it out."""

    def __init__(self) -> None:
        self._failed_at = float("-inf")

    def note(self) -> None:
        self._failed_at = time.monotonic()

    def is_recent(self, seconds: float) -> bool:
        """Did it not answer within the last `seconds`?"""
        return time.monotonic() - self._failed_at < seconds


def connect(url: str, ca_bundle: Path | None = None, **options: Any) -> redis.Redis:
    """A pooled, thread-safe client that connects at first use.

    With `redis+sentinel://[user:password@]host[:port][,host…]/MASTER[/DB]` it asks these sentinels for the master each
    time it opens a connection; user and password are the master's. With `rediss+sentinel` the master speaks TLS. For
    TLS, `ca_bundle` replaces the system's authorities.

    Raises:
        ValueError: the URL cannot be understood.
    """
    scheme = url.partition("://")[0]
    if scheme.startswith("rediss") and ca_bundle is not None:
        options["ssl_ca_certs"] = str(ca_bundle)
    if scheme not in SENTINEL_SCHEMES:
        return redis.Redis.from_url(url, **options)
    user, password, hosts, master, number = sentinel_parts(url)
    if scheme.startswith("rediss"):
        options = {**options, "ssl": True}
    timeouts = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout") if name in options}
    sentinel = Sentinel(hosts, sentinel_kwargs={"socket_timeout": 3, **timeouts})  # type: ignore[no-untyped-call]
    client: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
        master, db=number, username=user, password=password, **options
    )
    return client
