"""Both pairs of statistics requests by raw HTTP."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from .conftest import Mango

MOSCOW = ZoneInfo("Europe/Moscow")


@pytest.fixture
def played(mango: Mango) -> Mango:
    """S1 (answered), S2 (missed) and S6 (outgoing), which have just ended."""
    mango.cloud.limits.is_enabled = mango.cloud.limits.has_lockout = False
    for name in ("S1", "S2", "S6"):
        mango.run(mango.cloud.play_sequence(name, "Moscow"))
    return mango


def order_rows(mango: Mango, **more: Any) -> Any:
    now = int(time.time())
    return mango.post("stats/request", {"date_from": now - 3600, "date_to": now + 60, **more}).json()


def rows(mango: Mango, **more: Any) -> list[list[str]]:
    key = order_rows(mango, **more)["key"]
    while (answer := mango.post("stats/result", {"key": key})).status_code == 204:
        pass
    assert answer.headers["Content-Type"] == "text/csv; charset=UTF-8"
    assert not answer.text or answer.text.endswith("\r\n")
    return [line.split(";") for line in answer.text.split("\r\n")[:-1]]


def test_rows(played: Mango) -> None:
    csv_rows = rows(played, fields="records,start,answer,to_extension,disconnect_reason,location,entry_id")
    assert len(csv_rows) == 4 + 5 + 1
    talk = next(row for row in csv_rows if row[3] == "101" and row[2] != "0")
    assert talk[0].startswith("[MT")
    assert talk[4:6] == ["1110", "abonent"]
    assert len({row[6] for row in csv_rows}) == 3
    assert all(len(row) == 11 for row in rows(played))


def test_rows_of_one_party(played: Mango) -> None:
    assert len(rows(played, call_party={"extension": "103"})) == 1
    assert len(rows(played, **{"from": {"extension": "101"}})) == 1
    assert rows(played, to={"extension": "999"}) == []


def test_old_pair_waits_and_forgets(played: Mango) -> None:
    played.cloud.stats_polls = 2
    key = order_rows(played)["key"]
    answers = [played.post("stats/result", {"key": key}).status_code for _ in range(3)]
    assert answers == [204, 204, 200]
    played.cloud.stats_keep = 0
    assert played.post("stats/result", {"key": key}).status_code == 404
    assert played.post("stats/result", {"key": "nonsense"}).status_code == 404


def test_old_pair_refuses(played: Mango) -> None:
    assert played.post("stats/request", {"date_from": 1}).json()["result"] == 3103
    assert played.post("stats/request", {"date_from": 1, "date_to": 90 * 86400}).json()["result"] == 3100
    assert played.post("stats/request", {"date_from": "01.01.2026", "date_to": 2}).json()["result"] == 3104
    assert order_rows(played, fields="records,nonsense")["result"] == 3104


def order_calls(mango: Mango, **more: Any) -> dict[str, Any]:
    now = datetime.now(MOSCOW)
    text = "%d.%m.%Y %H:%M:%S"
    period = {
        "start_date": (now - timedelta(hours=2)).strftime(text),
        "end_date": (now + timedelta(minutes=1)).strftime(text),
    }
    answer: dict[str, Any] = mango.post("stats/calls/request", {**period, "limit": 100, "offset": 0, **more}).json()
    return answer


def poll(mango: Mango, key: str) -> dict[str, Any]:
    answer: dict[str, Any] = mango.post("stats/calls/result", {"key": key}).json()
    return answer


def entries(mango: Mango, **more: Any) -> list[dict[str, Any]]:
    key = order_calls(mango, **more)["key"]
    while (answer := poll(mango, key))["status"] != "complete":
        pass
    return [entry for day in answer["data"] for entry in day["list"]]


def test_entries(played: Mango) -> None:
    answered, outgoing, missed = entries(played)  # in the order of their start: the longest call first
    assert [entry["context_type"] for entry in (answered, outgoing, missed)] == [1, 2, 1]
    assert answered["context_status"] == 1
    assert answered["talk_duration"] == 84
    group = answered["context_calls"][0]
    assert group["call_type"] == "group"
    assert [member["call_abonent_extension"] for member in group["members"]] == ["101", "102"]
    assert group["recording_id"] == group["members"][0]["recording_id"]
    assert missed["context_status"] == 0
    assert missed["context_calls"][0]["call_answer_time"] is None
    leg = outgoing["context_calls"][0]
    assert (leg["call_type"], leg["call_abonent_extension"], leg["call_abonent_number"]) == ("number", "101", None)
    assert leg["external_call_id"] in {body.get("call_id") for _, body in played.bodies}


def test_pages_and_filters(played: Mango) -> None:
    assert len(entries(played, limit=1)) == 1
    assert len(entries(played, limit=5, offset=2)) == 1
    assert len(entries(played, context_type=1)) == 2
    assert len(entries(played, context_status=0)) == 1


def test_states_of_the_new_pair(played: Mango) -> None:
    played.cloud.stats_polls = 2
    key = order_calls(played)["key"]
    answers = [poll(played, key) for _ in range(3)]
    assert [answer["status"] for answer in answers] == ["request", "work", "complete"]
    sizes = [sum(len(day["list"]) for day in answer["data"]) for answer in answers]
    assert sizes == [0, 2, 3]
    assert poll(played, "nonsense")["status"] == "not-found"


def test_new_pair_refuses(played: Mango) -> None:
    assert order_calls(played, limit=7)["result"] == 3100
    assert order_calls(played, offset=None)["result"] == 3103
    assert order_calls(played, start_date="2026-01-01T00:00:00")["result"] == 3104
    assert order_calls(played, start_date="01.01.2020 00:00:00")["result"] == 3100
    key = order_calls(played, group_ids=["1"])["key"]
    played.cloud.stats_polls = 0
    assert poll(played, key)["status"] == "error"


def test_window_is_less_than_thirty_days(played: Mango) -> None:
    exact = order_calls(played, start_date="01.03.2026 00:00:00", end_date="31.03.2026 00:00:00")
    assert exact["result"] == 3100
    assert "key" in order_calls(played, start_date="01.03.2026 00:00:01", end_date="31.03.2026 00:00:00")


def example(name: str) -> list[dict[str, Any]]:
    text = (Path(__file__).parents[2] / "mango" / "statistics" / f"{name}.json").read_text()
    return [entry for day in json.loads(text)["data"] for entry in day["list"]]


def kinds(value: Any) -> Any:
    """Names and types; null fits every type, as the documentation's own example has it."""
    if isinstance(value, dict):
        return {name: kinds(item) for name, item in value.items()}
    return [kinds(item) for item in value[:1]] if isinstance(value, list) else type(value).__name__


def fits(found: Any, wanted: Any) -> bool:
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(fits(found[name], wanted[name]) for name in found)
    if isinstance(found, list) and isinstance(wanted, list):
        return not found or not wanted or fits(found[0], wanted[0])
    return found == wanted or "NoneType" in (found, wanted)


@pytest.mark.parametrize("has_extensions", [False, True])
def test_names_and_types_are_those_of_the_example(played: Mango, has_extensions: bool) -> None:
    shape = played.cloud.board("Moscow").statistics_shape
    shape.has_extensions = has_extensions
    outgoing, answered, missed = example("live" if has_extensions else "official")
    found = {(entry["context_type"], entry["context_status"]): kinds(entry) for entry in entries(played)}
    for kind, wanted in {(2, 1): outgoing, (1, 1): answered, (1, 0): missed}.items():
        assert fits(found[kind], kinds(wanted)), (found[kind], kinds(wanted))


def consultations(mango: Mango) -> list[dict[str, Any]]:
    return [entry for entry in entries(mango) if any(leg["ConsultTransfer"] for leg in entry["context_calls"])]


def test_a_consultation_has_three_legs_the_last_two_of_one_employee(played: Mango) -> None:
    played.run(played.cloud.play_sequence("S4", "Moscow"))
    [transferred] = consultations(played)
    first, consultation, bridge = transferred["context_calls"]
    assert first["call_abonent_id"] != consultation["call_abonent_id"] == bridge["call_abonent_id"]
    assert consultation["call_end_time"] == bridge["call_start_time"] == bridge["call_answer_time"]
    played.cloud.board("Moscow").statistics_shape.has_bridge_leg = False
    [transferred] = consultations(played)
    assert len(transferred["context_calls"]) == 2


def test_the_window_is_read_in_the_zone_of_the_switch(played: Mango) -> None:
    shape = played.cloud.board("Moscow").statistics_shape
    assert len(entries(played)) == 3
    shape.zone = "Asia/Krasnoyarsk"
    assert entries(played) == [], "the window lies four hours earlier"


def test_the_leg_to_a_number_is_its_employee_s(played: Mango) -> None:
    """D26, 3.4.2.3: the abonent of an outgoing leg is the caller."""
    [outgoing] = [entry for entry in entries(played) if entry["context_type"] == 2]
    dialled = [leg for leg in outgoing["context_calls"] if leg["call_type"] == "number"]
    assert dialled
    assert {leg["call_abonent_id"] for leg in dialled} == {outgoing["caller_id"]} != {None}


def test_data_may_be_one_object(played: Mango) -> None:
    board = played.cloud.board("Moscow")
    board.statistics_shape.is_object = True
    next(iter(board.call_log.entries.values())).started_at -= 86400
    start = datetime.now(MOSCOW) - timedelta(days=2)
    key = order_calls(played, start_date=f"{start:%d.%m.%Y %H:%M:%S}")["key"]
    while (answer := poll(played, key))["status"] != "complete":
        pass
    assert len(answer["data"]["list"]) == 3


def test_a_call_through_a_trunk_names_the_trunk(mango: Mango) -> None:
    mango.cloud.limits.is_enabled = mango.cloud.limits.has_lockout = False
    mango.run(mango.cloud.play_sequence("S1", "Moscow", line="office-trunk"))
    assert [entry["called_number"] for entry in entries(mango)] == ["office-trunk"]
