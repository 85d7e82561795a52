"""A method's working time is spread over the time until it is given back, before the portal blocks the method."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.errors import NotSent
from bx24app.bitrix24.method_load import PortalMethodLoad
from tests.support.scripted_client import Rig, result, rig

NOW = 1_000_000.0
ATTACH = "telephony.externalCall.attachRecord"


@pytest.fixture
def portal() -> Iterator[Rig]:
    with rig() as made:
        yield made


def told(spent: float, reset: float = 300, cost: float = 2.0) -> dict[str, float]:
    return {"operating": spent, "operating_reset_at": NOW + reset, "processing": cost}


def heard(spent: float, **more: float) -> PortalMethodLoad:
    made = PortalMethodLoad()
    made.record_time(ATTACH, told(spent, **more), NOW)
    return made


def test_below_half_of_the_limit_nothing_waits() -> None:
    assert heard(239).seconds_until_free([ATTACH], Priority.BACKGROUND, NOW) == 0.0


def test_what_is_left_is_spread_over_the_time_until_the_reset() -> None:
    one = heard(256)  # 200 s are left of 456, each costs two: a hundred in 300 s
    assert one.seconds_until_free([ATTACH], Priority.RECORD, NOW) == pytest.approx(3.0)
    assert one.seconds_until_free([ATTACH], Priority.RECORD, NOW + 2) == pytest.approx(1.0)
    assert one.seconds_until_free([ATTACH], Priority.RECORD, NOW + 4) == 0.0
    assert heard(456).seconds_until_free([ATTACH], Priority.RECORD, NOW) == pytest.approx(300.0), "nothing is left"
    assert heard(479, reset=9999).seconds_until_free([ATTACH], Priority.RECORD, NOW) == pytest.approx(600.0), (
        "never longer than the ten minutes"
    )


def test_whoever_waits_for_a_person_is_not_held_and_the_end_of_a_call_last() -> None:
    assert heard(470).seconds_until_free([ATTACH], Priority.CARD, NOW) == 0.0
    assert heard(430).seconds_until_free([ATTACH], Priority.FINISH, NOW) == 0.0
    assert heard(440).seconds_until_free([ATTACH], Priority.FINISH, NOW) > 0


def test_other_methods_go_on_and_the_name_is_the_same_in_any_case() -> None:
    one = heard(400)
    assert one.seconds_until_free(["crm.item.add"], Priority.RECORD, NOW) == 0.0
    assert one.seconds_until_free(["crm.item.add", ATTACH.lower()], Priority.RECORD, NOW) > 0


@pytest.mark.parametrize("said", [None, [], {}, {"operating": "much"}, {"operating": float("nan")}, {"processing": 3}])
def test_an_answer_without_the_sum_says_nothing(said: Any) -> None:
    one = heard(400)
    one.record_time(ATTACH, said, NOW)
    assert one.seconds_until_free([ATTACH], Priority.RECORD, NOW) > 0


def test_it_is_over_when_the_portal_says_so() -> None:
    one = heard(400)
    one.record_time(ATTACH, told(12), NOW + 60)
    assert one.seconds_until_free([ATTACH], Priority.BACKGROUND, NOW + 60) == 0.0


def nearly(spent: float) -> dict[str, Any]:
    return {"operating": spent, "operating_reset_at": time.time() + 300, "processing": 2.0}


def test_a_request_waits_without_leaving(portal: Rig) -> None:
    portal.server.answer_with({"result": {"FILE_ID": 1}, "time": nearly(450)})
    portal.client.call(ATTACH, {}, Priority.RECORD)
    with pytest.raises(NotSent) as caught:
        portal.client.call(ATTACH, {}, Priority.RECORD)
    assert caught.value.is_rate_limited
    assert caught.value.retry_after is not None
    assert 50 < caught.value.retry_after <= 300
    assert len(portal.server.requests) == 1
    assert portal.budget.taken == [Priority.RECORD], "nothing of the budget was used either"
    portal.server.answer_with(result(True))
    assert portal.client.call(ATTACH, {}, Priority.CARD).result is True


def test_a_batch_tells_of_each_of_its_methods(portal: Rig) -> None:
    times = {"a": nearly(1), "b": nearly(455)}
    portal.server.answer_with(
        result(
            {
                "result": {"a": 1, "b": 2},
                "result_error": [],
                "result_total": [],
                "result_next": [],
                "result_time": times,
            }
        )
    )
    portal.client.batch([("a", "crm.item.add", {}), ("b", "crm.timeline.comment.add", {})], priority=Priority.RECORD)
    with pytest.raises(NotSent):
        portal.client.batch([("c", "crm.timeline.comment.add", {})], priority=Priority.RECORD)
    portal.server.answer_with(
        result({"result": {"c": 1}, "result_error": [], "result_total": [], "result_next": [], "result_time": []})
    )
    assert "c" in portal.client.batch([("c", "crm.item.add", {})], priority=Priority.RECORD)
