"""The OAuth server, and what a portal does with tokens."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.sandbox.bitrix.conftest import Raw


def token(raw: Raw, grant: str, how: str = "POST", **params: str) -> requests.Response:
    fields = {"grant_type": grant, "client_id": raw.app.client_id, "client_secret": raw.app.client_secret, **params}
    where: dict[str, Any] = {"data": fields} if how == "POST" else {"params": fields}
    return requests.request(how, f"{raw.sandbox.oauth.url}/oauth/token/", timeout=20, **where)


def info(raw: Raw, access: str) -> requests.Response:
    return requests.get(f"{raw.sandbox.oauth.url}/rest/app.info", params={"auth": access}, timeout=20)


@pytest.mark.parametrize("how", ["GET", "POST"])
def test_a_refresh_token_rotates_and_works_once(raw: Raw, how: str) -> None:
    old = raw.open().fields["REFRESH_ID"]
    pair = token(raw, "refresh_token", how, refresh_token=old).json()
    assert pair["refresh_token"] != old
    again = token(raw, "refresh_token", how, refresh_token=old)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert raw.ok("profile", token=pair["access_token"])["ID"] == "1"
    assert token(raw, "refresh_token", how, refresh_token=pair["refresh_token"]).ok


def test_domain_is_the_auth_server_the_portal_is_in_client_endpoint(raw: Raw) -> None:
    pair = token(raw, "refresh_token", refresh_token=raw.open().fields["REFRESH_ID"]).json()
    assert pair["domain"] == raw.sandbox.oauth.host
    assert pair["client_endpoint"] == f"{raw.portal.url}/rest/"
    assert (pair["member_id"], pair["user_id"], pair["expires_in"]) == (raw.portal.member_id, 1, 3600)


def test_a_code_lives_thirty_seconds_and_works_once(raw: Raw) -> None:
    def code() -> dict[str, list[str]]:
        params = {"client_id": raw.app.client_id, "state": "s"}
        answer = requests.get(f"{raw.portal.url}/oauth/authorize/", params=params, allow_redirects=False, timeout=20)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith(raw.app.handler_url)
        return parse_qs(urlsplit(answer.headers["Location"]).query)

    given = code()
    assert (given["state"], given["member_id"], given["domain"]) == (["s"], [raw.portal.member_id], [raw.portal.host])
    assert token(raw, "authorization_code", code=given["code"][0]).json()["user_id"] == 1
    assert token(raw, "authorization_code", code=given["code"][0]).json()["error"] == "invalid_grant"
    late = code()["code"][0]
    raw.sandbox.clock.advance(31)
    assert token(raw, "authorization_code", code=late).json()["error"] == "invalid_grant"


def test_wrong_client_comes_with_200_and_a_wrong_secret_does_not(raw: Raw) -> None:
    answer = token(raw, "refresh_token", client_id="app.other", refresh_token="x")
    assert (answer.status_code, answer.json()["error"]) == (200, "wrong_client")
    answer = token(raw, "refresh_token", client_secret="guess", refresh_token="x")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert token(raw, "password").json()["error"] == "invalid_request"


def test_app_info_names_the_owner_of_a_token(raw: Raw) -> None:
    result = info(raw, raw.token).json()["result"]
    assert (result["client_id"], result["user_id"]) == (raw.app.client_id, 1)
    assert result["install"]["member_id"] == raw.portal.member_id
    assert result["install"]["client_endpoint"] == raw.portal.client_endpoint
    other = raw.sandbox.register_application("app.other", "x", raw.app.handler_url)
    foreign = raw.sandbox.call(raw.portal.open_form, 1, other).fields["AUTH_ID"]
    assert info(raw, foreign).json()["result"]["client_id"] == "app.other"
    assert info(raw, "forged").json()["error"] == "invalid_token"
    assert info(raw, "").json()["error"] == "NO_AUTH_FOUND"


def test_an_access_token_runs_out_after_an_hour(raw: Raw) -> None:
    refresh = raw.open().fields["REFRESH_ID"]
    raw.sandbox.clock.advance(3601)
    assert raw.fails("profile")[:2] == (401, "expired_token")
    assert info(raw, raw.token).json()["error"] == "expired_token"
    pair = token(raw, "refresh_token", refresh_token=refresh).json()
    assert raw.ok("profile", token=pair["access_token"])


def test_a_refresh_token_lives_180_days(raw: Raw) -> None:
    refresh = raw.open().fields["REFRESH_ID"]
    raw.sandbox.clock.advance(181 * 86400)
    assert token(raw, "refresh_token", refresh_token=refresh).json()["error"] == "invalid_grant"


def test_a_token_works_only_in_its_own_portal(raw: Raw) -> None:
    other = raw.sandbox.add_portal()
    answer = requests.post(f"{other.url}/rest/profile", data={"auth": raw.token}, timeout=20)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


def test_the_token_is_taken_from_header_auth_or_access_token(raw: Raw) -> None:
    url = f"{raw.portal.url}/rest/profile"
    bearer = {"Authorization": f"Bearer {raw.token}"}
    answers = [
        requests.get(url, headers=bearer, timeout=20),
        requests.get(url, params={"auth": raw.token}, timeout=20),
        requests.get(f"{url}.json", params={"access_token": raw.token}, timeout=20),
        requests.post(url, data={"auth": raw.token}, timeout=20),
        requests.post(f"{url}.json", json={"access_token": raw.token}, timeout=20),
        requests.post(url, json={"auth": "garbage"}, headers=bearer, timeout=20),
    ]
    assert [answer.status_code for answer in answers] == [200] * 6


def test_a_malformed_json_body_is_ignored(raw: Raw) -> None:
    headers = {"Content-Type": "application/json"}
    answer = requests.post(f"{raw.portal.url}/rest/profile", data=b'{"auth": ', headers=headers, timeout=20)
    assert (answer.status_code, answer.json()["error"]) == (401, "NO_AUTH_FOUND")


def test_a_dismissed_user(raw: Raw) -> None:
    fields = raw.open().fields
    raw.sandbox.call(raw.portal.dismiss, 1)
    assert raw.fails("profile")[:2] == (403, "INVALID_CREDENTIALS")
    assert token(raw, "refresh_token", refresh_token=fields["REFRESH_ID"]).json()["error"] == "invalid_grant"


def test_after_uninstalling_tokens_are_dead_and_stay_so(raw: Raw) -> None:
    refresh = raw.open().fields["REFRESH_ID"]
    second = raw.open().fields["REFRESH_ID"]
    raw.hand("uninstall", raw.app)
    assert raw.fails("profile")[:2] == (401, "NO_AUTH_FOUND")
    answer = token(raw, "refresh_token", refresh_token=refresh)
    assert (answer.status_code, answer.json()["error"]) == (401, "NOT_INSTALLED")
    raw.open()
    assert token(raw, "refresh_token", refresh_token=second).json()["error"] == "invalid_grant"


def test_faults_of_the_auth_server(raw: Raw) -> None:
    refresh = raw.open().fields["REFRESH_ID"]
    switches = raw.sandbox.oauth.switches
    switches.switch_on("invalid_grant", times=1)
    assert token(raw, "refresh_token", refresh_token=refresh).json()["error"] == "invalid_grant"
    switches.switch_on("payment_required", times=1, method="token")
    assert token(raw, "refresh_token", refresh_token=refresh).json()["error"] == "PAYMENT_REQUIRED"
    switches.switch_on("http502", times=1)
    assert token(raw, "refresh_token", refresh_token=refresh).status_code == 502
    switches.switch_on("close_after", times=1)
    with pytest.raises(requests.ConnectionError):
        token(raw, "refresh_token", refresh_token=refresh)
    assert token(raw, "refresh_token", refresh_token=refresh).json()["error"] == "invalid_grant", "it was used up"
