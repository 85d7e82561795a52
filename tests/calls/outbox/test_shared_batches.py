"""What leaves in one request where the budget is short: 25 s of work at most, cards never behind other calls' finishes.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest

from bx24app.calls import drain
from bx24app.calls.outbox import batches, pacing
from bx24app.calls.outbox.in_flight import SHARES, TO_PORTAL
from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import Command, CreateRecord, Finish, HideCard, Reassign, Record, Register, ShowCard
from bx24app.models import Call, Delivery, Portal, db, utcnow
from bx24app.portals import clients
from tests.calls.test_drain_budget import leave

FINISH, SHOW, HIDE = (
    Finish(key="finish", user_id=11, seconds=18, status="200"),
    ShowCard(key="show-1", users=(11,)),
    HideCard(key="hide-1", users=(11,)),
)
CREATE = CreateRecord(
    key="lead", entity="lead", title="t", responsible=11, number="+79160000001", source="CALL", origin="o"
)
_numbers = count(1)


@pytest.fixture
def number(portal: Portal) -> int:
    portal.state = "active"
    db.session.commit()
    return portal.id


def register(client: int | None = None) -> Register:
    each = next(_numbers)
    return Register(
        key="register", user_id=11, number=f"+7916{client or each:07d}", type=2, started_at=1, line=None,
        external_id=f"moscow:e{each}",
    )  # fmt: skip


def due(portal_id: int, *commands: Command, ago: float = 0.0, background: bool = False) -> int:
    """A call with these open commands, which wait for `ago` seconds. Returns its row id."""
    facts = {"background": True} if background else {}
    call = Call(
        portal_id=portal_id, pbx_id=1, pbx_key="moscow", entry_id=f"e{next(_numbers)}", started_at=utcnow(), facts=facts
    )
    db.session.add(call)
    db.session.flush()
    for command in commands:
        db.session.add(
            Delivery(
                portal_id=portal_id, call_id=call.id, key=command.key, kind=type(command).__name__,
                command=to_json(command), created_at=utcnow() - timedelta(seconds=ago),
            )
        )
    db.session.commit()
    return call.id


def claimed(portal_id: int, **how: object) -> list[list[str]]:
    """The kinds in each batch that leaves."""
    portal = db.session.get_one(Portal, portal_id)
    found, _ = batches.claim(db.session(), portal, **{"shared": True, **how})  # type: ignore[arg-type]
    return [[type(item.command).__name__ for item in batch.items] for batch in found]


def test_a_batch_closes_at_25_seconds_of_expected_work(number: int) -> None:
    for _ in range(30):
        due(number, FINISH)
    assert [len(kinds) for kinds in claimed(number)] == [10]


def test_the_seconds_are_those_of_this_portal(number: int) -> None:
    seconds = clients.method_load(number).seconds
    for _ in range(20):
        seconds.learn("telephony.externalcall.finish", {"processing": 5.0})
    for _ in range(30):
        due(number, FINISH)
    assert [len(kinds) for kinds in claimed(number)] == [5]
    for _ in range(80):
        seconds.learn("telephony.externalcall.finish", {"processing": 0.1})
    assert [len(kinds) for kinds in claimed(number)] == [25]


def test_a_batch_of_the_background_closes_too(number: int) -> None:
    for _ in range(20):
        due(number, register(), FINISH, background=True)
    assert [len(kinds) for kinds in claimed(number, shared=False)] == [14], "7 calls of 3.42 s each"


def test_one_call_with_much_to_do_does_not_fill_a_minute_either(number: int) -> None:
    due(number, *(Reassign(key=f"assign-{each}", record=Record("lead", each), user_id=41) for each in range(1, 20)))
    assert [len(kinds) for kinds in claimed(number, shared=False)] == [6], "3.66 s each"


def test_cards_leave_in_a_request_of_their_own(number: int) -> None:
    for _ in range(5):
        due(number, FINISH, ago=5)
        due(number, CREATE, ago=5)
    due(number, register(), SHOW)
    due(number, HIDE, FINISH)
    cards, work = claimed(number)
    assert sorted(cards) == ["HideCard", "Register", "ShowCard"]
    assert sorted(set(work)) == ["CreateRecord", "Finish"]


def test_what_follows_a_card_waits_for_its_answer(number: int) -> None:
    """A change of the responsible takes seconds: other calls' cards must not wait for it."""
    due(number, SHOW, Reassign(key="assign", record=Record("lead", 5), user_id=41))
    assert claimed(number) == [["ShowCard"]]


def test_the_register_of_a_call_that_is_over_is_no_card(number: int) -> None:
    """After an outage: a call that rings now comes before all that are over, and not into their request."""
    for _ in range(3):
        due(number, register(), FINISH, ago=600)
    due(number, register(), SHOW)
    assert claimed(number) == [["Register", "ShowCard"], ["Register", "Finish"] * 3]


def test_it_comes_first_where_each_call_leaves_alone_too(number: int) -> None:
    for _ in range(3):
        due(number, register(), FINISH, ago=600)
    due(number, register(), SHOW)
    assert claimed(number, shared=False, most=1) == [["Register", "ShowCard"]]


def test_beside_cards_fresh_work_gathers_for_a_moment(number: int) -> None:
    due(number, FINISH)
    due(number, register(), SHOW)
    assert claimed(number) == [["Register", "ShowCard"]]
    assert claimed(number) == [["Finish"]], "no cards: it leaves"


def test_a_full_batch_does_not(number: int) -> None:
    for _ in range(18):
        due(number, FINISH)
    due(number, register(), SHOW)
    assert [len(kinds) for kinds in claimed(number)] == [2, 10]


def test_calls_of_one_client_are_never_asked_side_by_side(number: int) -> None:
    """Two registers of one unknown number in two requests would make two clients."""
    due(number, register(7), FINISH, ago=5)
    due(number, register(8), FINISH, ago=5)
    due(number, register(7), SHOW)
    assert claimed(number) == [["Register", "ShowCard"], ["Register", "Finish"]]
    assert claimed(number) == [], "the other one is under way"


def test_a_place_is_kept_for_cards(number: int) -> None:
    for _ in range(40):
        due(number, FINISH, ago=5)
    due(number, register(), SHOW)
    assert claimed(number, may_work=False) == [["Register", "ShowCard"]]
    assert claimed(number, may_work=False) == []


def test_a_drain_keeps_it(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With five requests under way only cards leave, and nobody asks again before an answer comes."""
    requests = drain._Requests(number)
    leave(clients.portal_budget(number), pacing.AMPLE_BUDGET - 3)
    for _ in range(40):
        due(number, FINISH, ago=5)
    monkeypatch.setattr(requests, "count_free", lambda to: 1 if to == TO_PORTAL else SHARES[to])
    step = drain._run_step(number, [], requests)
    assert (step.claimed_batches, step.wait_seconds, step.next_claim_at) == ([], 0.0, None)
    due(number, register(), SHOW)
    step = drain._run_step(number, [], requests)
    assert [len(batch.items) for batch in step.claimed_batches] == [2]
    assert step.next_claim_at is None


def test_after_two_requests_the_next_one_gathers_twice_as_long(number: int) -> None:
    budget = clients.portal_budget(number)
    leave(budget, pacing.AMPLE_BUDGET - 3)
    due(number, FINISH, ago=5)
    due(number, register(), SHOW)
    step = drain._run_step(number, [], drain._Requests(number))
    assert len(step.claimed_batches) == 2
    due(number, register(), SHOW)
    wait = drain._run_step(number, [], drain._Requests(number)).wait_seconds
    assert pacing.BATCH_SPACING / budget.rate < wait <= 2 * pacing.BATCH_SPACING / budget.rate
