"""Requests for Mango's statistics: ordered, polled until they are ready, read. Reconciliation and backfill share them.

Mango answers an order with a key, under which the result can be fetched later. Between two polls the key waits in the
job queue, never in a thread.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from random import uniform
from typing import Any

import redis

from bx24app.bitrix24.budget import RequestBudget
from bx24app.calls.reconciliation import entry_people, missing_calls, zone_learning
from bx24app.infra import key_tries, mango_clients, queue
from bx24app.infra.encryption import UndecryptableSecret
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.mango import errors
from bx24app.mango.client import MAX_WINDOW, MangoClient
from bx24app.mango.notification import MalformedNotification
from bx24app.mango.statistics_zone import DEFAULT_ZONE, Span
from bx24app.mango.transport import WRONG_KEY_CODE
from bx24app.models import Pbx, db, utcnow

_log = get_logger(__name__)

MAX_PERIOD = timedelta(seconds=MAX_WINDOW) - timedelta(days=2)
"""The longest period of one order, so that its window fits in every zone."""
PAGE_SIZE = 2000
"""Entries of one page of `stats/calls`."""
FIRST_POLL_SECONDS, POLL_SECONDS = 2.0, 5.0
"""Seconds before the first poll and between two polls, as Mango advises."""
MAX_POLLS = 60
KEY_JITTER_SECONDS = 5.0
"""Over this time the requests are spread that wait for the same paused key."""
REFUSAL_MEMORY = timedelta(hours=6)
"""How long the older statistics are used after Mango refused the newer ones with a code 3xxx."""
REQUESTS_PER_SECOND = 10.0
"""Requests a second over all PBXs (Mango's limit of `stats` for all products)."""
_BACKFILL_IN_JOBS = "errand"
"""The name of `backfill_id` in jobs, which a process of an older version may read during an upgrade."""


@dataclass(frozen=True, slots=True)
class StatisticsRequest:
    """One order, as a job's argument.

    `key` empty: not placed yet. `start`, `end`: epoch seconds. `pair`: calls (newer), legs (older).
    """

    pbx_id: int
    start: int
    end: int
    pair: str = "calls"
    key: str = ""
    offset: int = 0
    polls: int = 0
    backfill_id: int | None = None
    """The backfill it belongs to; None: reconciliation."""
    zone: str = ""
    """The zone of the window's texts, or a name of `zone_learning`; empty: the PBX's learnt zone, or Moscow."""
    near: int = 0
    """The beginning of a call that is looked for in `zone`; 0: all calls of the window are wanted."""

    @classmethod
    def from_job(cls, raw: dict[str, Any]) -> StatisticsRequest:
        """The request that a job carries."""
        return cls(**{("backfill_id" if name == _BACKFILL_IN_JOBS else name): value for name, value in raw.items()})

    def as_job(self) -> dict[str, Any]:
        """The request as a job's argument."""
        fields = asdict(self)
        fields[_BACKFILL_IN_JOBS] = fields.pop("backfill_id")
        if self.zone in ("", DEFAULT_ZONE) and not self.near:  # what an older version can read
            del fields["zone"], fields["near"]
        return fields


@dataclass(frozen=True, slots=True)
class DelayedRequest:
    """Continue with `request` in `seconds`."""

    request: StatisticsRequest
    seconds: float


@dataclass(frozen=True, slots=True)
class StatisticsAnswer:
    """Entries that Mango returned. `next_request`: the next page; None: that was all."""

    portal_id: int
    entries: list[missing_calls.StatisticsEntry]
    next_request: StatisticsRequest | None


def queue_request(job: str, order: StatisticsRequest, seconds: float) -> None:
    """Queue `job` with the order, in `seconds`."""
    queue.enqueue_background(job, order.as_job(), when=utcnow() + timedelta(seconds=seconds) if seconds else None)


def rate_limiter() -> RequestBudget:
    """One limiter for all PBXs; requests are spaced evenly."""
    capacity = REQUESTS_PER_SECOND * 1.5 + 1
    return RequestBudget(runtime().redis, "mango:statistics", rate=REQUESTS_PER_SECOND, capacity=capacity)


def advance(order: StatisticsRequest) -> DelayedRequest | StatisticsAnswer | None:
    """Send one request for the order, and at times one for the PBX's employees, whom entries may name by their ids.

    None: the PBX was removed, has no key any more, or none of its dialects has statistics.

    Raises:
        bx24app.mango.errors.MangoError: Mango refused, or does not answer.
    """
    wait = rate_limiter().acquire()
    if wait > 0:
        return DelayedRequest(order, wait + uniform(0, 1))  # noqa: S311 - jitter, not a secret
    connection = _mango_client(order.pbx_id)
    if connection is None:
        return None
    order = _choose_pair(order)
    try:
        if not order.key:
            return _try_key(connection, order)
        answer = _fetch_result(connection.client, order, connection.portal_id)
    except errors.KeyPaused as error:
        # Mango keeps a result for a minute (D26, 3.4.1.2), so the order is placed anew.
        later = replace(order, key="", polls=0)
        return DelayedRequest(later, error.seconds + uniform(0, KEY_JITTER_SECONDS))  # noqa: S311 - not a secret
    except (errors.NotPermitted, errors.ResourceNotFound, errors.RequestRefused) as error:
        if order.pair == "legs":
            raise
        _log.info("stats/calls not available, using stats/request", pbx=order.pbx_id, why=str(error))
        _remember_refusal(order.pbx_id, error)
        return DelayedRequest(replace(order, pair="legs", key="", polls=0, offset=0), 0)
    except MalformedNotification as error:
        raise errors.RequestRefused(str(error)) from None
    if answer is not None:
        return answer
    if order.polls >= MAX_POLLS:
        raise errors.TemporaryFailure("Mango does not finish the statistics.")
    return DelayedRequest(replace(order, polls=order.polls + 1), POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class _Connection:
    """`has_failed`: the last request did, and perhaps since its key is wrong."""

    portal_id: int
    client: MangoClient
    api_key: str
    has_failed: bool


def _mango_client(pbx_id: int) -> _Connection | None:
    row = db.session.get(Pbx, pbx_id)
    try:
        if row is None or row.removed_at is not None or not row.api_key or not row.api_salt:
            return None
        if not any(traits.has_statistics for traits in row.traits):
            return None
        client = mango_clients.build_client(row.api_key, row.api_salt)
        return _Connection(row.portal_id, client, row.api_key, row.ask_failures > 0)
    except UndecryptableSecret:
        raise errors.WrongKey("The stored keys of this PBX cannot be read.", WRONG_KEY_CODE) from None
    finally:
        db.session.rollback()
        db.session.remove()


def _choose_pair(order: StatisticsRequest) -> StatisticsRequest:
    """The older statistics at once where Mango refused the newer ones lately."""
    if order.key or order.pair == "legs":
        return order
    try:
        is_refused = runtime().redis.exists(_refusal_name(order.pbx_id))
    except redis.RedisError as error:
        _log.warning("refused statistics not known, redis away", error=type(error).__name__)
        return order
    return replace(order, pair="legs", offset=0) if is_refused else order


def _remember_refusal(pbx_id: int, error: errors.MangoError) -> None:
    """Each 3xxx is a wrong request (`infra.key_guard`): it is not asked for again and again."""
    if not 3000 <= error.code < 4000:
        return
    try:
        runtime().redis.set(_refusal_name(pbx_id), 1, ex=REFUSAL_MEMORY)
    except redis.RedisError as redis_error:
        _log.warning("refused statistics not noted, redis away", error=type(redis_error).__name__)


def _refusal_name(pbx_id: int) -> str:
    return f"statistics:refused:{pbx_id}"


def _try_key(connection: _Connection, order: StatisticsRequest) -> DelayedRequest:
    """Place a request; with a key that may be wrong, when it cannot be the second wrong one in two minutes."""
    wait = key_tries.acquire(None, connection.api_key) if connection.has_failed else 0
    if wait:
        return DelayedRequest(order, wait + uniform(0, 30))  # noqa: S311 - jitter, not a secret
    try:
        placed = _place_request(connection.client, order)
    except errors.MangoError as error:
        is_wrong = isinstance(error, errors.WrongKey | errors.WrongSignature | errors.AddressRefused)
        if is_wrong or connection.has_failed:
            key_tries.report(None, connection.api_key, is_wrong)
        raise
    if connection.has_failed:
        key_tries.report(None, connection.api_key, is_wrong=False)
    return DelayedRequest(placed, FIRST_POLL_SECONDS)


def _place_request(mango: MangoClient, order: StatisticsRequest) -> StatisticsRequest:
    if order.pair == "calls":
        state = zone_learning.load_state(order.pbx_id)
        order = zone_learning.with_zone(order, state)
        start, end, zones = zone_learning.window_to_ask(order, state)
        return replace(order, key=mango.request_calls(start, end, PAGE_SIZE, order.offset, zones))
    return replace(order, key=mango.request_legs(order.start, order.end))


def _fetch_result(
    mango: MangoClient, order: StatisticsRequest, portal_id: int
) -> StatisticsAnswer | DelayedRequest | None:
    if order.pair == "legs":
        text = mango.fetch_legs(order.key)
        return None if text is None else StatisticsAnswer(portal_id, missing_calls.read_legs(text), None)
    entries = mango.fetch_calls(order.key)
    if entries is None:
        return None
    full = len(entries) >= PAGE_SIZE
    read = missing_calls.read_calls(entry_people.name_people(mango, order.pbx_id, entries))
    spans = [Span(int(entry.started_at.timestamp()), int(entry.ended_at.timestamp())) for entry in read]
    instead = zone_learning.find_next_order(order, zone_learning.load_state(order.pbx_id), spans)
    if instead is not None:
        return DelayedRequest(instead, 0)
    if zone_learning.is_wide(order):
        read = [entry for entry in read if order.start <= entry.started_at.timestamp() <= order.end]
    more = replace(order, key="", offset=order.offset + PAGE_SIZE, polls=0) if full else None
    return StatisticsAnswer(portal_id, read, more)
