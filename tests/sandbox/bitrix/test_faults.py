"""Switches: the failures of network, portal and plan, and the control API that turns them on."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from bx24app.sandbox.bitrix.switches import FAULT_KINDS
from tests.sandbox.bitrix.conftest import PHONE, Raw


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("expired_token", 401, "expired_token"),
        ("payment_required", 401, "PAYMENT_REQUIRED"),
        ("wrong_license", 403, "WRONG_LICENSE"),
        ("no_rest", 403, "ACCESS_DENIED"),
        ("overload", 503, "OVERLOAD_LIMIT"),
        ("scope_removed", 403, "insufficient_scope"),
        ("right_removed", 403, "ACCESS_DENIED"),
        ("internal_error", 500, "INTERNAL_SERVER_ERROR"),
        ("operation_time", 429, "OPERATION_TIME_LIMIT"),
        ("query_limit", 503, "QUERY_LIMIT_EXCEEDED"),
        ("deleted", 403, "PORTAL_DELETED"),
        ("closed", 500, "PORTAL_DELETED"),
        ("access_removed", 403, "user_access_error"),
        ("grant_revoked", 401, "authorization_error"),
    ],
)
def test_refusals_for_good_and_for_a_number_of_requests(raw: Raw, kind: str, status: int, code: str) -> None:
    raw.portal.switches.switch_on(kind)
    assert raw.fails("profile")[:2] == (status, code)
    assert raw.fails("profile")[:2] == (status, code)
    raw.portal.switches.switch_off(kind)
    raw.sandbox.oauth.access_tokens[raw.token].expires = raw.portal.now() + 3600
    assert raw.ok("profile")
    raw.portal.switches.switch_on(kind, times=1)
    assert raw.fails("profile")[1] == code
    raw.sandbox.oauth.access_tokens[raw.token].expires = raw.portal.now() + 3600
    assert raw.ok("profile")


@pytest.mark.parametrize(("kind", "status"), [("http500", 500), ("http502", 502), ("http503", 503), ("too_many", 429)])
def test_pages_instead_of_json(raw: Raw, kind: str, status: int) -> None:
    raw.portal.switches.switch_on(kind, times=1)
    answer = raw.post("profile")
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (status, "text/html")


def test_garbage_is_no_json(raw: Raw) -> None:
    raw.portal.switches.switch_on("garbage", times=1)
    answer = raw.post("profile")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Unterminated"):
        answer.json()


def test_a_connection_closed_before_and_after_the_effect(raw: Raw) -> None:
    fields = {"USER_ID": 12, "PHONE_NUMBER": PHONE, "TYPE": 2}
    for kind, calls in (("close_before", 0), ("close_after", 1)):
        raw.portal.switches.switch_on(kind, times=1, method="telephony.externalcall.register")
        with pytest.raises(requests.ConnectionError):
            raw.post("telephony.externalCall.register", **fields)
        assert len(raw.portal.calls) == calls


def test_a_page_after_the_effect(raw: Raw) -> None:
    raw.portal.switches.switch_on("http502_after", times=1)
    assert raw.post("crm.item.add", entityTypeId=2, fields={"title": "A"}).status_code == 502
    assert len(raw.portal.deals) == 1


def test_a_portal_that_hangs(raw: Raw) -> None:
    raw.portal.switches.switch_on("hang", times=1)
    with pytest.raises(requests.Timeout):
        requests.post(f"{raw.portal.url}/rest/profile", data={"auth": raw.token}, timeout=0.3)
    assert raw.ok("profile")


def test_an_effect_does_not_end_with_its_client(raw: Raw) -> None:
    raw.portal.latencies["crm.item.add"] = 0.4
    body = {"auth": raw.token, "entityTypeId": 2, "fields": {"title": "A"}}
    with pytest.raises(requests.Timeout):
        requests.post(f"{raw.portal.url}/rest/crm.item.add", json=body, timeout=0.1)
    raw.portal.latencies.clear()
    raw.portal.latencies["profile"] = 0.5
    raw.ok("profile")
    assert len(raw.portal.deals) == 1


def test_limited_to_a_method_and_after_some(raw: Raw) -> None:
    raw.portal.switches.switch_on("http500", times=1, method="user.*", skip=1)
    assert raw.ok("profile")
    assert raw.post("user.get").status_code == 200
    assert raw.post("user.get").status_code == 500
    assert raw.post("user.get").status_code == 200


def test_a_token_that_runs_out_in_the_middle_of_a_batch(raw: Raw) -> None:
    raw.portal.switches.switch_on("expired_token", times=1, method="user.admin")
    result = raw.batch(a="profile", b="user.admin", c="profile")
    assert list(result["result"]) == ["a"]
    assert {key: error["error"] for key, error in result["result_error"].items()} == {
        "b": "expired_token",
        "c": "expired_token",
    }
    assert raw.fails("profile")[1] == "expired_token", "it stays expired until it is refreshed"


def test_a_refusal_of_one_command_in_a_batch(raw: Raw) -> None:
    raw.portal.switches.switch_on("right_removed", method="crm.item.*")
    result = raw.batch(a="profile", b="crm.item.list?entityTypeId=2")
    assert result["result_error"]["b"]["error"] == "ACCESS_DENIED"


def test_a_new_domain_answers_302_at_the_old_one(raw: Raw) -> None:
    old = raw.portal.url
    new_host = raw.sandbox.move_portal(raw.portal)
    answer = requests.post(f"{old}/rest/profile", data={"auth": raw.token}, timeout=20, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"http://{new_host}/rest/profile")
    followed = requests.post(f"{old}/rest/profile", data={"auth": raw.token}, timeout=20)
    assert followed.json()["error"] == "NO_AUTH_FOUND", "a followed 302 turns POST into GET without a body"
    assert raw.ok("profile")
    info = requests.get(f"{raw.sandbox.oauth.url}/rest/app.info", params={"auth": raw.token}, timeout=20).json()
    assert info["result"]["install"]["domain"] == new_host


def test_a_deleted_portal(raw: Raw) -> None:
    raw.portal.deleted = True
    assert raw.fails("profile")[:2] == (403, "PORTAL_DELETED")


def test_cors(raw: Raw) -> None:
    url = f"{raw.portal.url}/rest/profile"
    headers = {"Origin": "http://app.example", "Access-Control-Request-Headers": "authorization"}
    preflight = requests.options(url, headers=headers, timeout=20)
    allowed = preflight.headers["Access-Control-Allow-Headers"]
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert "authorization" not in allowed.lower()
    assert "content-type" in allowed
    assert raw.post("profile").headers["Access-Control-Allow-Origin"] == "*"
    assert raw.post("crm.lead.get", id=1).headers["Access-Control-Allow-Origin"] == "*"


def test_an_unknown_switch(raw: Raw) -> None:
    with pytest.raises(ValueError, match="no fault 'rain'"):
        raw.portal.switches.switch_on("rain")
    assert "hang" in FAULT_KINDS


def control(raw: Raw, action: str, **body: Any) -> requests.Response:
    return requests.post(f"{raw.portal.url}/sandbox/api/{action}", json=body, timeout=20)


def test_the_control_api(raw: Raw) -> None:
    assert control(raw, "switch", kind="http500", times=1).ok
    assert raw.post("profile").status_code == 500
    assert control(raw, "switch", kind="payment_required").ok
    assert raw.fails("profile")[1] == "PAYMENT_REQUIRED"
    assert control(raw, "clear").ok
    assert control(raw, "settings", crm_mode=2, repeat_leads=True, limits={"rate": 0}).ok
    assert (raw.portal.crm_mode, raw.portal.switches.repeat_leads, raw.portal.limits.rate) == (2, True, 0)
    number = control(raw, "add_contact", name="Client", phones=[PHONE]).json()["result"]
    raw.bind("ONEXTERNALCALLSTART")
    call_id = control(raw, "click_to_call", user_id=12, phone=PHONE, entity=[3, number]).json()["result"]
    raw.settled()
    assert raw.events[0]["data[CALL_ID]"] == call_id
    state = requests.get(f"{raw.portal.url}/sandbox/api/state", timeout=20).json()
    assert state["calls"][call_id]["phone"] == PHONE
    assert state["contacts"][str(number)]["phones"] == [PHONE]
    assert control(raw, "move").json()["result"] == raw.portal.host
    assert control(raw, "timeline", type_id=3, id=number).json()["result"][0]["kind"] == "created"


def test_the_control_api_refuses_nonsense(raw: Raw) -> None:
    assert control(raw, "rain").status_code == 404
    assert control(raw, "switch", kind="rain").status_code == 400
    assert control(raw, "settings", weather="rain").status_code == 400
    assert control(raw, "click_to_call", user_id=12).status_code == 400
    assert control(raw, "click_to_call", user_id=12, phone=PHONE).status_code == 400, "nobody takes the call"
