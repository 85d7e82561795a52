"""The wake-up lists: which portals a worker shall look at now. One sorted set in Redis for calls, one for recordings.

A portal is in a list once, however often it is added. Whoever takes it out looks at the tables, so a wake-up that comes
meanwhile is a new entry. The tables are the truth: what a lost list held is added again by the sweep.
"""

from __future__ import annotations

from typing import Any

import redis

from bx24app.infra.clock import utcnow
from bx24app.infra.runtime import runtime

CALLS, RECORDINGS, BACKGROUND = "calls", "recordings", "background"
"""The names of RQ's queues."""
LISTS = (CALLS, RECORDINGS)
"""Those that have a wake-up list as well."""


def list_key(name: str) -> str:
    """The key of the sorted set: portal -> when it was added (Unix time)."""
    return f"wakeups:{name}"


def add(name: str, portal_id: int) -> None:
    """Put the portal at the end of the list, unless it is there already.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    runtime().redis.zadd(list_key(name), {str(portal_id): utcnow().timestamp()}, nx=True)


def take(client: redis.Redis, name: str, seconds: float) -> int | None:
    """Take out the portal that waits longest; wait up to `seconds` for one. None: there is none.

    `client`: one whose connections may be read for so long.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    entry: Any = client.bzpopmin(list_key(name), seconds)
    return None if entry is None else int(entry[1])


def count(name: str) -> int:
    """How many portals wait. Raises redis.RedisError."""
    return int(runtime().redis.zcard(list_key(name)))
