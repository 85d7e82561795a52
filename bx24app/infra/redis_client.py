"""Makes the client for BX24APP_REDIS_URL: one server, plain or with TLS, or the master that Sentinel names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis
from redis.sentinel import Sentinel

from bx24app.config import SENTINEL_SCHEMES, sentinel_parts


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
