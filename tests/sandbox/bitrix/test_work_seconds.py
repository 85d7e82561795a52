"""The documentation's seconds of each command, and the end of a request after 60 of them."""

from __future__ import annotations

import pytest
import requests

from bx24app.sandbox.bitrix.control import documented_seconds
from bx24app.sandbox.bitrix.work_seconds import Durations
from tests.sandbox.bitrix.conftest import Raw

ADD = "crm.item.add?entityTypeId=1&fields[title]=Lead"
"""1.83 s; 33 of them take more than a request may."""


@pytest.fixture
def slow(raw: Raw) -> Raw:
    raw.sandbox.call(documented_seconds, raw.portal, {"scale": 0.001})
    return raw


def commands(count: int) -> dict[str, str]:
    return {f"c{number}": ADD for number in range(count)}


def test_off_unless_it_is_asked_for(raw: Raw) -> None:
    assert len(raw.batch(**commands(50))["result"]) == 50
    assert raw.portal.durations.longest_request == 0


def test_a_command_costs_what_its_page_says(slow: Raw) -> None:
    single = slow.post("telephony.externalCall.searchCrmEntities", PHONE_NUMBER="+79061234567").json()["time"]
    assert (single["duration"], single["operating"]) == (0.25, 0.25)
    times = slow.batch(**commands(2))["result_time"]
    assert [round(times[key]["operating"], 2) for key in ("c0", "c1")] == [1.83, 3.66], "it is summed up by method"
    assert [times[key]["processing"] for key in ("c0", "c1")] == [1.83, 1.83]


@pytest.mark.parametrize(
    ("method", "seconds", "whole"),
    [
        ("telephony.externalcall.register", 0.22, 1.12),
        ("telephony.externalcall.show", 0.29, 1.2),
        ("telephony.externalcall.finish", 1.41, 2.3),
        ("telephony.externalcall.attachrecord", 1.94, 2.4),
        ("crm.item.add", 1.83, 2.31),
    ],
)
def test_the_seconds_are_those_of_the_pages_samples(method: str, seconds: float, whole: float) -> None:
    """`time.operating` and `time.duration` there."""
    assert Durations(scale=1.0).seconds_of(method) == seconds
    assert Durations(scale=1.0, whole=True).seconds_of(method) == whole
    assert Durations().seconds_of(method) == 0


@pytest.mark.parametrize(("answer", "status"), [("internal_error", 500), ("http504", 504), ("close", 0)])
def test_a_request_ends_after_sixty_seconds_and_what_is_done_stays(raw: Raw, answer: str, status: int) -> None:
    raw.sandbox.call(documented_seconds, raw.portal, {"scale": 0.001, "cut_answer": answer})
    assert len(raw.batch(**commands(32))["result"]) == 32
    before = len(raw.portal.crm.records[1])
    if status:
        assert raw.post("batch", cmd=commands(50), halt=0).status_code == status
    else:
        with pytest.raises(requests.ConnectionError):
            raw.post("batch", cmd=commands(50), halt=0)
    assert len(raw.portal.crm.records[1]) == before + 33, "the last one was done, and nobody was told"
    assert raw.portal.durations.cut_requests == 1
    assert raw.portal.request_log[-1].commands[-1][2] == "cut"


def test_the_command_that_meets_the_end_may_not_be_done(slow: Raw) -> None:
    """A method that writes at its end has written nothing."""
    call = slow.register(EXTERNAL_CALL_ID="a")["CALL_ID"]
    finish = f"telephony.externalCall.finish?CALL_ID={call}&USER_ID=12&DURATION=5&STATUS_CODE=200"
    assert slow.post("batch", cmd={**commands(32), "f": "profile", "g": finish}, halt=0).status_code == 500
    assert call in slow.portal.calls
    slow.finish(call)


def test_the_window_of_work_follows_the_scale(slow: Raw) -> None:
    block = slow.post("crm.item.list", entityTypeId=1).json()["time"]
    assert block["operating_reset_at"] - slow.portal.now() <= 0.6


def test_a_register_that_meets_the_end_leaves_no_half_of_a_call(slow: Raw) -> None:
    register = "telephony.externalCall.register?USER_ID=12&PHONE_NUMBER=89990000001&TYPE=2&CRM_CREATE=1"
    slow.portal.durations.slower["telephony.externalcall.register"] = 5.0
    assert slow.post("batch", cmd={**commands(32), "r": register}, halt=0).status_code == 500
    assert not slow.portal.calls
