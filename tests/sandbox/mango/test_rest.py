"""The REST API by raw HTTP: checks, limits, queries and commands."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from bx24app.sandbox.mango import Party, RestFault
from bx24app.sandbox.mango.limits import Limits, TokenBucket

from .conftest import KEY, SALT, Mango


def wait_for(condition: Any, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.01)


@pytest.fixture
def calm(mango: Mango) -> Mango:
    """The cloud without limits and lock-out."""
    mango.cloud.limits.is_enabled = mango.cloud.limits.has_lockout = False
    return mango


def test_balance_and_request_id(calm: Mango) -> None:
    answer = calm.post("account/balance", {})
    assert answer.json()["result"] == 1000
    assert answer.json()["currency"] == "RUB"
    assert answer.headers["X-Uuid"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"sign": "0" * 64}, 3102), ({"vpbx_api_key": "f" * 32}, 3105), ({"json": ""}, 3103), ({"sign": ""}, 3103),
        ({"json": "{"}, 3102),
    ],
)  # fmt: skip
def test_refusals(calm: Mango, change: dict[str, str], code: int) -> None:
    from bx24app.sandbox.mango.signing import build_form

    fields = build_form(KEY, SALT, "{}") | change
    answer = requests.post(calm.cloud.api_url + "account/balance", data=fields, timeout=20)
    assert (answer.status_code, answer.json()["result"]) == (200, code)
    calm.cloud.errors = "code420"
    answer = requests.post(calm.cloud.api_url + "account/balance", data=fields, timeout=20)
    assert (answer.status_code, answer.json()) == (420, {"code": code})


def test_method_json_and_path(calm: Mango) -> None:
    assert requests.get(calm.cloud.api_url + "account/balance", timeout=20).json()["result"] == 3101
    assert calm.post("account/balance", None, text="{not json").json()["result"] == 3400
    assert calm.post("roles", {}).json()["result"] == 5201
    assert calm.post("nothing/here", {}).status_code == 404
    assert calm.post("queries/recording/post/", {}).json()["result"] == 3103  # a slash at the end is fine


def test_lockout_after_two_malformed_requests(mango: Mango) -> None:
    mango.cloud.limits.is_enabled = False
    assert mango.post("account/balance", {}, salt="wrong").json()["result"] == 3102
    assert mango.post("account/balance", {}).status_code == 200
    assert mango.post("account/balance", {}, salt="wrong").status_code == 401
    assert mango.post("account/balance", {}).status_code == 401


@pytest.mark.parametrize("every_3xxx_counts", [False, True])
def test_both_readings_of_what_counts_for_the_lock(mango: Mango, every_3xxx_counts: bool) -> None:
    """D26, 1.4.1: a request that is answered 3xxx is wrong. 3320 is in that class, and so are the codes of 31xx."""
    mango.cloud.limits.is_enabled = False
    mango.cloud.limits.every_3xxx_counts = every_3xxx_counts
    ask = {"recording_id": "unknown", "action": "download"}
    assert mango.post("queries/recording/post", ask).json()["result"] == 3320
    second = mango.post("queries/recording/post", ask)
    assert second.status_code == (401 if every_3xxx_counts else 200)
    assert mango.post("account/balance", {}).status_code == second.status_code, "the whole key is locked"


def test_lockout_ends_two_minutes_after_the_first() -> None:
    now = [0.0]
    limits = Limits(lambda: now[0])
    limits.count_malformed("k")
    now[0] = 60
    limits.count_malformed("k")
    assert limits.is_locked_out("k")
    now[0] = 121
    assert not limits.is_locked_out("k")
    limits.count_malformed("k")
    assert not limits.is_locked_out("k")


def test_rate_limits(mango: Mango) -> None:
    answers = [mango.post("account/balance", {}) for _ in range(4)]
    over = [answer for answer in answers if answer.status_code == 429]
    assert over
    assert over[0].json() == {
        "name": "Service Unavailable",
        "message": "Rate limit exceeded.",
        "code": 0,
        "status": 429,
    }
    assert int(over[0].headers["Retry-After"]) >= 1


def test_buckets_refill() -> None:
    now = [0.0]
    bucket = TokenBucket(0.5, lambda: now[0])
    assert bucket.take_token() == 0
    assert bucket.take_token() == pytest.approx(2)
    now[0] = 2
    assert bucket.take_token() == 0


def test_addresses(calm: Mango) -> None:
    calm.board.pbx.allowed_addresses = ["10.0.*"]
    assert calm.post("account/balance", {}).status_code == 403
    calm.board.pbx.allowed_addresses = ["127.0.0.*"]
    assert calm.post("account/balance", {}).status_code == 200


def test_users_groups_lines(calm: Mango) -> None:
    users = calm.post("config/users/request", {"ext_fields": ["general.user_id", "general.mobile", "groups"]}).json()
    assert list(users) == ["users"]
    first = users["users"][0]
    assert first["telephony"]["extension"] == "101"
    assert first["general"]["mobile"] == "79160000101"
    assert first["groups"] == [calm.board.pbx.groups[0].id]
    assert "mobile" not in calm.post("config/users/request", {"extension": "102"}).json()["users"][0]["general"]
    groups = calm.post("groups", {"show_users": 1}).json()["groups"]
    assert [one["extension"] for one in groups[0]["operators"]] == ["101", "102", "103"]
    assert "operators" not in calm.post("groups", {"show_users": 0}).json()["groups"][0]
    assert calm.post("groups", {"operator_extension": "999"}).json()["groups"] == []
    lines = calm.post("incominglines", {}).json()["lines"]
    assert [(line["number"], line["name"]) for line in lines] == [("74950000001", "Москва")]


def test_callback_really_calls(calm: Mango) -> None:
    calm.board.plan.speed = 40
    calm.board.plan.talk = 30
    calm.board.plan.others = Party(4)
    body = {
        "command_id": "crm-1",
        "from": {"extension": "101"},
        "to_number": "79160000001",
        "line_number": "74950000001",
    }
    assert calm.post("commands/callback", body).json() == {"result": 1000}
    wait_for(lambda: any(path.endswith("summary") for path, _ in calm.bodies))
    assert ("hook/result/callback", {"command_id": "crm-1", "result": 1000}) in calm.bodies
    summary = next(body for path, body in calm.bodies if path.endswith("summary"))
    assert summary["call_direction"] == 2
    assert summary["end_time"] - summary["talk_time"] == 30
    assert calm.cloud.commands == [("commands/callback", body)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"from": {}}, 3103),
        ({"to_number": ""}, 3103),
        ({"from": {"extension": "999"}}, 3330),
        ({"line_number": "7"}, 3330),
    ],
)
def test_callback_refused(calm: Mango, change: dict[str, Any], code: int) -> None:
    body = {"command_id": "x", "from": {"extension": "101"}, "to_number": "79160000001"} | change
    assert calm.post("commands/callback", body).json()["result"] == code
    assert not calm.got


def legs(mango: Mango, extension: str) -> list[dict[str, Any]]:
    return [b for path, b in mango.bodies if path.endswith("events/call") and b["to"].get("extension") == extension]


def running(mango: Mango, **fields: Any) -> dict[str, Any]:
    """A call on which 101 talks."""
    from bx24app.sandbox.mango import Plan, simulation

    async def work() -> None:
        simulation.incoming(mango.board, Plan(ivr=0, to=["101"], parties={"101": Party(0.05)}, talk=60, **fields))

    mango.run(work())
    wait_for(lambda: any(body["call_state"] == "Connected" for body in legs(mango, "101")))
    return legs(mango, "101")[-1]


def test_hangup(calm: Mango) -> None:
    leg = running(calm)
    assert calm.post("commands/call/hangup", {"command_id": "h", "call_id": leg["call_id"]}).json() == {"result": 1000}
    wait_for(lambda: any(path.endswith("summary") for path, _ in calm.bodies))
    assert ("hook/result/call/hangup", {"command_id": "h", "result": 1000}) in calm.bodies
    assert legs(calm, "101")[-1]["disconnect_reason"] == 1181
    assert calm.post("commands/call/hangup", {"command_id": "h", "call_id": leg["call_id"]}).json()["result"] == 4101


def test_transfer_and_recording(calm: Mango) -> None:
    calm.board.pbx.employees[0].recorded = False
    leg = running(calm)
    record = {"command_id": "r", "call_id": leg["call_id"], "call_party_number": "101"}
    assert calm.post("commands/recording/start", record).json() == {"result": 1000}
    assert calm.post("commands/recording/start", record).json()["result"] == 4102
    wait_for(lambda: any(body.get("recording_state") == "Started" for _, body in calm.bodies))
    body = {"command_id": "t", "call_id": leg["call_id"], "method": "blind", "to_number": "102", "initiator": "101"}
    assert (
        calm.post("commands/route", {"command_id": "t", "call_id": leg["call_id"], "to_number": "1"}).json()["result"]
        == 4100
    )
    assert calm.post("commands/transfer", body).json() == {"result": 1000}
    wait_for(lambda: any(one["call_state"] == "Appeared" for one in legs(calm, "102")))
    assert legs(calm, "102")[0]["transfer"] == "blind"
    assert legs(calm, "102")[0]["command_id"] == "t"


def test_route_out_of_the_menu(calm: Mango) -> None:
    from bx24app.sandbox.mango import Plan, simulation

    async def work() -> None:
        simulation.incoming(calm.board, Plan(ivr=60, talk=60, parties={"102": Party(0.1)}))

    calm.run(work())
    wait_for(lambda: calm.bodies)
    menu = calm.bodies[0][1]["call_id"]
    assert calm.post("commands/route", {"command_id": "q", "call_id": menu, "to_number": "102"}).json() == {
        "result": 1000
    }
    wait_for(lambda: any(one["call_state"] == "Connected" for one in legs(calm, "102")))
    assert legs(calm, "102")[0]["from"]["taken_from_call_id"] == menu
    assert legs(calm, "102")[0]["command_id"] == "q"


def test_faults_of_the_rest_side(calm: Mango) -> None:
    calm.cloud.rest_faults["account/balance"] = RestFault("http", 503, times=1)
    assert calm.post("account/balance", {}).status_code == 503
    assert calm.post("account/balance", {}).status_code == 200
    calm.cloud.rest_faults["*"] = RestFault("code", 5008)
    assert calm.post("groups", {}).json() == {"result": 5008}
    calm.cloud.rest_faults["*"] = RestFault("html")
    assert calm.post("groups", {}).text.startswith("<html>")
    calm.board.plan.speed = 100
    calm.cloud.rest_faults = {"commands/callback": RestFault("close-after", times=1)}
    body = {"command_id": "x", "from": {"extension": "101"}, "to_number": "79160000001"}
    with pytest.raises(requests.ConnectionError):
        calm.post("commands/callback", body)
    assert len(calm.cloud.commands) == 1
    calm.cloud.rest_faults = {"groups": RestFault("close-before")}
    with pytest.raises(requests.ConnectionError):
        calm.post("groups", {})
