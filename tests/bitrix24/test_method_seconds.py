"""What one command of a method is expected to take: the documentation's seconds first, then the portal's own."""

from __future__ import annotations

import pytest

from bx24app.bitrix24.method_load import PortalMethodLoad
from bx24app.bitrix24.method_seconds import CUT_SECONDS, LONGEST_SECONDS, OTHER_SECONDS, MethodSeconds

FINISH, SHOW = "telephony.externalCall.finish", "telephony.externalCall.show"


def after(*answers: float) -> float:
    seconds = MethodSeconds()
    for answer in answers:
        seconds.learn(FINISH, {"processing": answer, "duration": answer + 1})
    return seconds.expect(FINISH.lower())


def test_the_documentation_is_where_it_begins() -> None:
    assert (after(), MethodSeconds().expect("crm.unknown.method")) == (2.3, OTHER_SECONDS)


def test_a_slow_portal_is_believed_sooner_than_a_fast_one() -> None:
    assert after(3.41) == pytest.approx(2.855)
    assert after(0.3) == pytest.approx(2.1)
    assert after(*[6.0] * 10) == pytest.approx(6.0, abs=0.1)
    assert after(*[0.1] * 60) == pytest.approx(0.1, abs=0.01)


def test_without_usable_numbers_nothing_is_learnt() -> None:
    seconds = MethodSeconds()
    for times in ({}, {"processing": 0, "duration": 0}, {"processing": "soon"}, {"processing": float("nan")}):
        seconds.learn(FINISH, times)
    assert seconds.expect(FINISH) == 2.3
    seconds.learn(FINISH, {"processing": 1e9})
    assert seconds.expect(FINISH) == LONGEST_SECONDS


def test_a_request_that_was_cut_was_slower_than_expected() -> None:
    seconds = MethodSeconds()
    seconds.learn_from_loss([FINISH] * 17 + [SHOW], CUT_SECONDS - 1)
    assert seconds.expect(FINISH) == 2.3, "lost early: the network, not the portal's limit"
    seconds.learn_from_loss([FINISH] * 17 + [SHOW], 60)
    assert 17 * seconds.expect(FINISH) + seconds.expect(SHOW) == pytest.approx(60)
    seconds.learn_from_loss([FINISH] * 50, 60)
    assert 17 * seconds.expect(FINISH) + seconds.expect(SHOW) == pytest.approx(60), "it was too long by our own count"


def test_the_load_of_a_portal_learns_from_each_answer() -> None:
    load = PortalMethodLoad()
    load.record_time(FINISH, {"processing": 3.41, "operating": 3.41}, 0)
    load.record_time(SHOW, {"processing": 1.29}, 0)
    assert load.seconds.expect(FINISH) == pytest.approx(2.855)
    assert load.seconds.expect(SHOW) == pytest.approx(1.245), "a portal on premise counts no working time"
