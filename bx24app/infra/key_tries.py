"""Tries of keys at Mango Office that may be wrong: spaced so far apart that Mango does not lock this server's address.

Mango locks an address out for two minutes after two wrong requests (its manual), and all tenants share ours. Pages
`acquire` before they try a typed key, reconciliation before it tries a stored one that was wrong last time; both report
what came of it. One wrong try over all tenants, and one of the same key, within two minutes; a portal that was wrong
more than once waits longer, so that others have their turn. Counted in Redis; without it nothing is held back.
"""

from __future__ import annotations

import hashlib
from typing import Any

import redis

from bx24app.infra.runtime import runtime

LOCK_SECONDS = 120
"""How long Mango's lock lasts, and how long a wrong try holds back others."""
TRY_SECONDS = 30
"""How long a try under way holds back others; more than Mango needs to answer."""
LONGEST_PAUSE = 3600
"""How long a portal waits at most; its pause doubles with each wrong try within this time."""
_ALL = "key_tries:all"


def acquire(portal_id: int | None, api_key: str) -> int:
    """Begin a try. Returns 0, or the seconds to wait before the next one; then nothing may be tried.

    `portal_id` None: nobody of the portal typed the key; the try does not count against it.
    """
    client = runtime().redis
    names = [_of_key(api_key), *([] if portal_id is None else [_of_portal(portal_id)])]
    try:
        waits: list[Any] = [client.ttl(name) for name in names]
        if max(waits) <= 0 and client.set(_ALL, 1, nx=True, ex=TRY_SECONDS):
            return 0
        return int(max([1, *waits, client.ttl(_ALL)]))
    except redis.RedisError:
        return 0


def report(portal_id: int | None, api_key: str, is_wrong: bool) -> int:
    """End a try. A wrong one holds back all others for two minutes, and this portal for longer each time.

    Returns the seconds until the portal's next try.
    """
    client, pause = runtime().redis, 0
    try:
        if not is_wrong:
            client.delete(_ALL)
            return 0
        pause = LOCK_SECONDS
        client.set(_ALL, 1, ex=LOCK_SECONDS)
        client.set(_of_key(api_key), 1, ex=LOCK_SECONDS)
        if portal_id is not None:
            counter = f"{_of_portal(portal_id)}:count"
            count: Any = client.incr(counter)
            client.expire(counter, LONGEST_PAUSE)
            pause = min(LOCK_SECONDS * 2 ** (min(int(count), 10) - 1), LONGEST_PAUSE)
            client.set(_of_portal(portal_id), 1, ex=pause)
    except redis.RedisError:
        return pause
    return pause


def digest_api_key(api_key: str) -> str:
    """Stands for an API key in names of Redis, which must not hold the key itself."""
    return hashlib.sha256(api_key.encode(errors="surrogatepass")).hexdigest()[:24]


def _of_key(api_key: str) -> str:
    return f"key_tries:key:{digest_api_key(api_key)}"


def _of_portal(portal_id: int) -> str:
    return f"key_tries:portal:{portal_id}"
