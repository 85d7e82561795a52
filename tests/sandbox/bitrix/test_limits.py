"""The limits of a portal: requests a second, seconds of work of a method, latency."""

from __future__ import annotations

import time

import requests

from tests.sandbox.bitrix.conftest import Raw


def test_a_bucket_of_fifty_and_two_a_second_for_all_applications_together(raw: Raw) -> None:
    raw.portal.limits.fill_bucket(49, raw.portal.now())
    raw.portal.limits.rate = 0.001
    assert raw.ok("profile")
    answer = raw.post("profile")
    assert (answer.status_code, answer.json()["error"]) == (503, "QUERY_LIMIT_EXCEEDED")
    other = raw.sandbox.register_application("app.other", "x", raw.app.handler_url)
    foreign = raw.sandbox.call(raw.portal.open_form, 1, other).fields["AUTH_ID"]
    assert raw.post("profile", foreign).status_code == 503
    raw.portal.limits.rate = 2
    raw.sandbox.clock.advance(1)
    assert [raw.post("profile").status_code for _ in range(2)] == [200, 200]


def test_a_batch_and_an_upload_count_as_one_each(raw: Raw) -> None:
    raw.portal.limits.fill_bucket(48, raw.portal.now())
    raw.portal.limits.rate = 0.001
    assert len(raw.batch(**{f"c{number}": "profile" for number in range(50)})["result"]) == 50
    assert requests.post(f"{raw.portal.url}/rest/upload.json", timeout=20).status_code == 401
    assert requests.post(f"{raw.portal.url}/rest/upload.json", timeout=20).status_code == 503


def test_enterprise_and_on_premise(raw: Raw) -> None:
    raw.portal.limits.rate, raw.portal.limits.threshold = 5, 250
    raw.portal.limits.fill_bucket(200, raw.portal.now())
    assert raw.ok("profile")
    raw.portal.limits.rate = 0
    raw.portal.limits.fill_bucket(1000, raw.portal.now())
    assert raw.ok("profile")


def test_the_time_of_a_method_is_blocked_until_its_oldest_minute_leaves(raw: Raw) -> None:
    app_id, method = raw.portal.apps[raw.app.client_id].id, "crm.item.list"
    raw.sandbox.call(raw.portal.limits.add_work, app_id, method, 479.9, raw.portal.now())
    block = raw.post(method, entityTypeId=2).json()["time"]
    assert round(block["operating"], 1) == 479.9
    raw.sandbox.call(raw.portal.limits.add_work, app_id, method, 0.2, raw.portal.now())
    answer = raw.post(method, entityTypeId=2)
    assert (answer.status_code, answer.json()["error"]) == (429, "OPERATION_TIME_LIMIT")
    reset = answer.json()["operating_reset_at"]
    assert 0 < reset - raw.portal.now() <= 600
    assert raw.ok("profile"), "other methods go on"
    inside = raw.batch(a=f"{method}?entityTypeId=2", b="profile")
    assert inside["result_error"]["a"]["error"] == "OPERATION_TIME_LIMIT"
    assert inside["result_time"]["b"]["operating"] == 0
    raw.sandbox.clock.advance(reset - raw.portal.now() + 1)
    assert raw.ok(method, entityTypeId=2)["items"] == []


def test_very_short_calls_are_not_added_and_long_ones_are(raw: Raw) -> None:
    assert raw.post("profile").json()["time"]["operating"] == 0
    raw.portal.latencies["profile"] = 0.12
    assert raw.post("profile").json()["time"]["operating"] >= 0.12


def test_latency_is_per_command_and_a_batch_costs_the_sum(raw: Raw) -> None:
    raw.portal.latency = 0.05
    started = time.monotonic()
    raw.batch(a="profile", b="profile", c="profile")
    assert time.monotonic() - started >= 0.15


def test_the_time_block(raw: Raw) -> None:
    block = raw.post("profile").json()["time"]
    assert block["finish"] >= block["start"]
    assert block["date_start"].endswith("+03:00")
    assert {"duration", "processing", "date_finish", "operating", "operating_reset_at"} < set(block)
    assert "operating" not in raw.post("batch", cmd={"a": "profile"}, halt=0).json()["time"]
