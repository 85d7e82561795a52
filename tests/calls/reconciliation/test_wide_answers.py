"""While the zone is unknown a window is asked wider than it is wanted: calls from outside it are not taken."""

from __future__ import annotations

from typing import Any, cast

import pytest

from bx24app.calls.reconciliation import statistics_requests, zone_learning
from bx24app.calls.reconciliation.statistics_requests import StatisticsAnswer, StatisticsRequest
from bx24app.mango.client import MangoClient
from bx24app.models import Pbx, Portal, db
from tests.mango.test_statistics_users import OUTGOING

START, END = 1_772_420_000, 1_772_423_600
LONG_TALK = 1_500
"""Seconds: such a call shows no zone, so the wide answer is the last one."""


class _Mango:
    def fetch_calls(self, key: str) -> list[dict[str, Any]]:
        return [_entry("before", START - 7_200), _entry("within", START + 600), _entry("after", END + 60)]


def _entry(name: str, start: int) -> dict[str, Any]:
    end = start + LONG_TALK
    times = {"call_start_time": start, "call_answer_time": start + 5, "call_end_time": end}
    leg = {**cast(list[dict[str, Any]], OUTGOING["context_calls"])[0], **times, "call_abonent_extension": "101"}
    return {
        **OUTGOING, "entry_id": name, "context_start_time": start, "duration": LONG_TALK,
        "talk_duration": LONG_TALK - 5, "context_calls": [leg],
    }  # fmt: skip


@pytest.mark.parametrize("zone", [zone_learning.ANY_ZONE, zone_learning.NO_ZONE])
def test_calls_from_outside_the_wanted_window_are_left_out(portal: Portal, zone: str) -> None:
    portal_id, pbx_id = portal.id, db.session.query(Pbx.id).scalar()
    order = StatisticsRequest(pbx_id, START, END, key="k", zone=zone)
    answer = statistics_requests._fetch_result(cast(MangoClient, _Mango()), order, portal_id)
    assert isinstance(answer, StatisticsAnswer)
    assert [entry.entry_id for entry in answer.entries] == ["within"]
