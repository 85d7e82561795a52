"""Where the portal's budget is short, calls wait a moment for company; while it is comfortable, nobody waits."""

from __future__ import annotations

import time
from datetime import timedelta
from itertools import count

import pytest

from bx24app.bitrix24.budget import MARGIN_SECONDS, RequestBudget
from bx24app.calls import drain
from bx24app.calls.outbox import pacing
from bx24app.domain.calls import batch_sizes
from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import Register
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Delivery, Portal, db, utcnow
from bx24app.portals import clients

_numbers = count(1)


def ring(portal_id: int) -> None:
    """A call whose card is due."""
    number = next(_numbers)
    call = Call(portal_id=portal_id, pbx_id=1, pbx_key="moscow", entry_id=f"e{number}", started_at=utcnow())
    db.session.add(call)
    db.session.flush()
    command = Register(
        key="register", user_id=11, number=f"+7916{number:07d}", type=2, started_at=int(time.time()),
        line="74950000001", external_id=f"moscow:e{number}",
    )  # fmt: skip
    db.session.add(
        Delivery(portal_id=portal_id, call_id=call.id, key="register", kind="Register", command=to_json(command))
    )
    db.session.commit()
    db.session.remove()


def leave(budget: RequestBudget, requests: float) -> None:
    """So many requests are left in store."""
    seconds, microseconds = runtime().redis.time()  # type: ignore[misc]
    filled = budget.capacity - budget.rate * MARGIN_SECONDS - requests
    runtime().redis.hset(f"budget:{budget.name}", mapping={"filled": filled, "at": seconds + microseconds / 1e6})


@pytest.fixture
def busy(portal: Portal) -> tuple[int, RequestBudget]:
    portal.state = "active"
    db.session.commit()
    number = portal.id
    return number, clients.portal_budget(number)


def claimed(portal_id: int) -> tuple[list[int], float]:
    """(calls in each parcel that may leave now, seconds until the next may)."""
    step = drain._run_step(portal_id, [], drain._Requests(portal_id))
    return [len(parcel.items) for parcel in step.claimed_batches], step.wait_seconds


def test_a_comfortable_budget_waits_for_nobody(busy: tuple[int, RequestBudget]) -> None:
    number, _ = busy
    for _ in range(2):
        ring(number)
        assert claimed(number) == ([1], 0.0)


def test_a_short_budget_waits_for_company(busy: tuple[int, RequestBudget]) -> None:
    number, budget = busy
    leave(budget, pacing.AMPLE_BUDGET - 3)
    ring(number)
    assert claimed(number) == ([1], 0.0), "who comes alone after a while leaves at once"
    ring(number)
    parcels_now, wait = claimed(number)
    assert parcels_now == []
    assert 0 < wait <= pacing.BATCH_SPACING / budget.rate
    ring(number)
    runtime().redis.delete(f"gather:{number}")  # the time is over
    assert claimed(number) == ([2], 0.0)


def test_a_whole_batch_waits_for_nobody(busy: tuple[int, RequestBudget]) -> None:
    number, budget = busy
    for _ in range(20):  # the portal is as quick as its working time says
        clients.method_load(number).seconds.learn("telephony.externalCall.register", {"processing": 0.22})
    leave(budget, pacing.AMPLE_BUDGET - 3)
    ring(number)
    assert claimed(number)[0] == [1]
    for _ in range(batch_sizes.MAX_COMMANDS):
        ring(number)
    leave(budget, pacing.AMPLE_BUDGET - 3)  # so many rings take seconds, in which it fills
    assert claimed(number)[0] == [batch_sizes.MAX_COMMANDS]


def test_an_empty_budget_tells_when_it_will_not_be(busy: tuple[int, RequestBudget]) -> None:
    number, budget = busy
    leave(budget, 0.0)
    ring(number)
    parcels_now, wait = claimed(number)
    assert parcels_now == []
    assert 0 < wait <= 1 / budget.rate


def test_an_empty_budget_keeps_the_time_of_what_is_not_due_yet(busy: tuple[int, RequestBudget]) -> None:
    """After QUERY_LIMIT_EXCEEDED the budget is empty and the command waits a second: something must wake it then."""
    number, budget = busy
    ring(number)
    due_at = utcnow() + timedelta(seconds=30)
    db.session.query(Delivery).update({"due_at": due_at})
    db.session.commit()
    leave(budget, 0.0)
    step = drain._run_step(number, [], drain._Requests(number))
    assert (step.claimed_batches, step.wait_seconds, step.next_claim_at) == ([], 0.0, due_at)
    assert float(runtime().redis.get(f"alarm:{number}")) >= due_at.timestamp()
