"""Orders of statistics at Mango: placed, asked for until they are ready, read. A key waits in the queue, never in a thread."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from random import uniform

from bx24app.bitrix24.budget import Budget
from bx24app.calls.reconciliation import missing_calls
from bx24app.infra import queue
from bx24app.infra.logs import log
from bx24app.infra.runtime import runtime
from bx24app.mango import errors
from bx24app.mango.client import WINDOW, Mango
from bx24app.mango.notification import Malformed
from bx24app.models import Pbx, db, utcnow

_log = log(__name__)

LONGEST = timedelta(seconds=WINDOW) - timedelta(hours=1)
"""Of one order."""
PAGE = 2000
"""Entries of one order of the newer pair."""
FIRST_POLL, POLL = 2.0, 5.0
"""Seconds before the result of an order is asked for, and between two askings (Mango's own advice)."""
POLLS = 60
RATE = 10.0
"""Requests a second, all PBXs together (limit of Mango's `stats` for all products)."""


@dataclass(frozen=True, slots=True)
class Order:
    """One order on its way; travels as a job's argument. `key` empty: not placed yet. Times: epoch seconds."""

    pbx_id: int
    start: int
    end: int
    pair: str = "calls"
    key: str = ""
    offset: int = 0
    polls: int = 0
    errand: int | None = None
    """The back-fill that it belongs to; None: the look for lost notifications."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Go on with `order` in so many seconds."""

    order: Order
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What Mango told. `next`: the order of the next page; None: that was all."""

    portal_id: int
    told: list[missing_calls.Told]
    next: Order | None


def later(job: str, order: Order, seconds: float) -> None:
    """Queue `job` with the order."""
    queue.later(job, asdict(order), when=utcnow() + timedelta(seconds=seconds) if seconds else None)


def limiter() -> Budget:
    """One for all PBXs, evenly spaced."""
    return Budget(runtime().redis, "mango:statistics", rate=RATE, capacity=RATE * 1.5 + 1)


def advance(order: Order) -> Waiting | Answer | None:
    """One request at the most. None: the PBX is gone, or has no key any more.

    Raises:
        bx24app.mango.errors.MangoError
    """
    wait = limiter().take()
    if wait > 0:
        return Waiting(order, wait + uniform(0, 1))  # noqa: S311 - jitter, not a secret
    found = _client(order.pbx_id)
    if found is None:
        return None
    portal_id, mango = found
    try:
        if not order.key:
            return Waiting(_placed(mango, order), FIRST_POLL)
        answer = _read(mango, order, portal_id)
    except (errors.NotPermitted, errors.Missing, errors.Refused) as error:
        if order.pair == "legs":
            raise
        _log.info("newer statistics not to be had, the older ones are asked", pbx=order.pbx_id, why=str(error))
        return Waiting(replace(order, pair="legs", key="", polls=0, offset=0), 0)
    except Malformed as error:
        raise errors.Refused(str(error)) from None
    if answer is not None:
        return answer
    if order.polls >= POLLS:
        raise errors.Later("Mango does not come to an end with the statistics.")
    return Waiting(replace(order, polls=order.polls + 1), POLL)


def _client(pbx_id: int) -> tuple[int, Mango] | None:
    row = db.session.get(Pbx, pbx_id)
    try:
        if row is None or row.removed_at is not None or not row.api_key or not row.api_salt:
            return None
        config = runtime().config
        return row.portal_id, Mango(config.mango_api_url, row.api_key, row.api_salt, session=runtime().http)
    finally:
        db.session.rollback()
        db.session.remove()


def _placed(mango: Mango, order: Order) -> Order:
    if order.pair == "calls":
        return replace(order, key=mango.calls_request(order.start, order.end, PAGE, order.offset))
    return replace(order, key=mango.legs_request(order.start, order.end))


def _read(mango: Mango, order: Order, portal_id: int) -> Answer | None:
    if order.pair == "legs":
        text = mango.legs_result(order.key)
        return None if text is None else Answer(portal_id, missing_calls.read_rows(text), None)
    entries = mango.calls_result(order.key)
    if entries is None:
        return None
    full = len(entries) >= PAGE
    more = replace(order, key="", offset=order.offset + PAGE, polls=0) if full else None
    return Answer(portal_id, missing_calls.read_calls(entries), more)
