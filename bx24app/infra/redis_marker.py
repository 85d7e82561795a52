"""What Redis remembers of the database that works with it, and emptying it for another one.

`operations.adoption` decides; this module reads and writes. Nothing here is deleted that is not the app's: a Redis may
have other users.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from bx24app.domain.database_life import DatabaseMark
from bx24app.infra.own_keys import OLD_NAMES, PREFIX
from bx24app.infra.queue import QUEUES

MARKER_KEY, ALIVE_KEY, LOCK_KEY = "bx24app:database", "bx24app:alive", "bx24app:adoption"
"""The mark as JSON; the name of the process that said last that it works here; held while somebody compares."""
ALIVE_SECONDS = 30
"""How long after its last word a process counts as working here."""
LOCK_SECONDS = 5
"""How long a process that dies while it compares holds the others up."""
_STEP = 500


def read_mark(client: redis.Redis) -> DatabaseMark | None:
    """The database that Redis remembers."""
    text: Any = client.get(MARKER_KEY)
    if text is None:
        return None
    mark = json.loads(text)
    return DatabaseMark(mark["id"], mark["last_ids"])


def write_mark(client: redis.Redis, mark: DatabaseMark, process: str) -> None:
    """Remember this database; `process` works with it from now on. Empty: nobody says so yet."""
    client.set(MARKER_KEY, json.dumps({"id": mark.value, "last_ids": dict(mark.last_ids)}))
    if process:
        client.set(ALIVE_KEY, process, ex=ALIVE_SECONDS)


def is_other_alive(client: redis.Redis, process: str) -> bool:
    """Has another process than this one said lately that it works here?"""
    name: Any = client.get(ALIVE_KEY)
    return name is not None and name.decode() != process


def say_goodbye(client: redis.Redis, process: str) -> None:
    """`process` ends in good order."""
    if not is_other_alive(client, process):
        client.delete(ALIVE_KEY)


def empty(client: redis.Redis, go_on: Callable[[], object], *, old_names: bool) -> int:
    """Delete the app's keys and jobs; returns how many keys.

    `go_on` is called before each step. `old_names`: also those of versions before 0019, which say less clearly whose
    they are.
    """
    queues = [Queue(name, connection=client, serializer=JSONSerializer) for name in QUEUES]
    remaining, count = chain(_own_keys(client, old_names=old_names), *map(_keys_of_queue, queues)), 0
    while step := list(islice(remaining, _STEP)):
        go_on()
        count += int(client.unlink(*step))
    return count


def _own_keys(client: redis.Redis, *, old_names: bool) -> Iterator[bytes]:
    for key in client.scan_iter(count=1000) if old_names else client.scan_iter(match=f"{PREFIX}*", count=1000):
        is_old = old_names and OLD_NAMES.fullmatch(key.decode(errors="replace"))
        if (key.startswith(PREFIX.encode()) or is_old) and key.decode() not in (MARKER_KEY, ALIVE_KEY, LOCK_KEY):
            yield key


def _keys_of_queue(queue: Queue) -> list[bytes | str]:
    registries = (
        queue.scheduled_job_registry, queue.started_job_registry, queue.deferred_job_registry,
        queue.failed_job_registry, queue.finished_job_registry, queue.canceled_job_registry,
    )  # fmt: skip
    jobs: set[str] = set(queue.get_job_ids())
    for registry in registries:
        jobs.update(registry.get_job_ids(cleanup=False))
    keys = [f"rq:{kind}:{job}" for job in jobs for kind in ("job", "results", "executions")]
    return [*keys, queue.key, *(registry.key for registry in registries)]

