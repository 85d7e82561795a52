"""Openings and events that do not prove what they claim, and those that do."""

from __future__ import annotations

from typing import Any

import pytest

from bx24app.bitrix24.errors import NeedsAdmin, PortalError
from bx24app.models import Notification, Portal
from bx24app.portals import frame_auth, install, lifecycle
from bx24app.portals.frame_auth import ForgedRequest
from tests.support.installations import event, grant, installed, opened, post_of, row, rows, token_of, w
from tests.support.stack import CLIENT_ID, World, until

__all__ = ["w"]


@pytest.mark.parametrize(
    "forged",
    [
        {"AUTH_ID": "0" * 70},
        {"AUTH_ID": "x"},
        {"member_id": "f" * 32},
        {"DOMAIN": "evil.example.com"},
        {"DOMAIN": "127.0.0.1:1"},
        {"DOMAIN": "[::"},
    ],
)
def test_a_forged_opening_opens_nothing(w: World, forged: dict[str, str]) -> None:
    with pytest.raises(ForgedRequest):
        opened(w, install_page=True, **forged)
    assert rows(Portal) == []
    portal_id = installed(w)
    before = grant(portal_id).refresh_token
    with pytest.raises(ForgedRequest):
        opened(w, **forged)
    assert grant(portal_id).refresh_token == before


def test_the_token_of_another_portal_opens_nothing_here(w: World) -> None:
    installed(w)
    w.sandbox.call(w.sandbox.portals[1].install, w.application)
    theirs = post_of(w, number=1)
    ours = post_of(w)
    mixed = ours.model_copy(update={"access_token": theirs.access_token, "refresh_token": theirs.refresh_token})
    with pytest.raises(ForgedRequest):
        frame_auth.open_frame(mixed, install_page=False)


def test_a_server_that_the_browser_names_is_not_asked(w: World) -> None:
    asked: list[Any] = []
    w.portal.watchers.append(lambda what, details: asked.append(details) if what == "request" else None)
    opening = opened(w, install_page=True, SERVER_ENDPOINT=f"{w.portal.url}/rest/")
    assert opening.portal_id is not None
    assert row(opening.portal_id).server_endpoint == w.sandbox.oauth.url
    assert not any(entry.method == "app.info" and entry.user_id is None for entry in w.portal.request_log)


def test_a_portal_that_names_another_user_is_not_believed(w: World) -> None:
    from bx24app.bitrix24.oauth import AppInfo

    installed(w)
    post = post_of(w, user_id=12)
    said = AppInfo(CLIENT_ID, 1, w.portal.member_id, w.portal.domain, w.portal.client_endpoint, "", True, "L")
    w.app.extensions["bx24app"].redis.flushall()
    with pytest.raises(ForgedRequest):
        frame_auth.is_administrator(said, post.access_token)


def test_an_expired_token_opens_nothing(w: World) -> None:
    post = post_of(w)
    w.sandbox.oauth.expire_tokens()
    with pytest.raises(ForgedRequest):
        frame_auth.open_frame(post, install_page=True)


def test_an_auth_server_that_does_not_answer_opens_nothing(w: World) -> None:
    w.sandbox.oauth.switches.switch_on("http502")
    with pytest.raises(PortalError):
        opened(w, install_page=True)
    assert rows(Portal) == []


def test_an_unpaid_application_says_so(w: World) -> None:
    w.sandbox.oauth.switches.switch_on("payment_required", method="app.info")
    with pytest.raises(NeedsAdmin) as met:
        opened(w)
    assert met.value.code == "payment"


def test_events_need_the_application_token(w: World) -> None:
    portal_id = installed(w)
    call = {"CALL_ID": "externalCall.1", "USER_ID": "12", "PHONE_NUMBER": "+79161234567"}
    assert event(w, "ONEXTERNALCALLSTART", data=call) == 403
    assert event(w, "ONEXTERNALCALLSTART", data=call, application_token="wrong") == 403
    assert event(w, "ONEXTERNALCALLSTART", data=call, application_token="ё") == 403
    assert event(w, "ONEXTERNALCALLSTART", number=1, data=call, application_token=token_of(w)) == 403
    assert event(w, "ONAPPUNINSTALL", application_token="wrong") == 403
    assert event(w, "") == 403
    assert row(portal_id).state == "active"
    assert notifications(portal_id) == []
    assert int(w.app.extensions["bx24app"].redis.get("count:events_refused")) == 6
    assert event(w, "ONCRMDEALADD") == 200
    assert event(w, "ONEXTERNALCALLSTART", data=call, application_token=token_of(w)) == 200


def notifications(portal_id: int) -> list[Notification]:
    return sorted(rows(Notification, portal_id=portal_id), key=lambda one: one.id)


def test_a_telephony_event_is_stored_once_and_without_tokens(w: World) -> None:
    portal_id = installed(w)
    lifecycle.pause(portal_id, 1, paused=True)
    call = {"CALL_ID": "externalCall.1", "USER_ID": "12", "PHONE_NUMBER": "+79161234567"}
    secrets = {"application_token": token_of(w), "access_token": "a-very-secret-token"}
    for _ in range(3):
        assert event(w, "OnExternalCallStart", data=call, **secrets) == 200
    assert event(w, "ONEXTERNALCALLBACKSTART", data={"PHONE_NUMBER": "+79161234567"}, **secrets) == 200
    assert event(w, "ONEXTERNALCALLBACKSTART", data={"PHONE_NUMBER": "+79161234567"}, **secrets) == 200
    stored = notifications(portal_id)
    assert [(one.name, one.pbx_id, one.dialect) for one in stored] == [
        ("ONEXTERNALCALLSTART", 0, "bitrix24"),
        ("ONEXTERNALCALLBACKSTART", 0, "bitrix24"),
    ]
    assert '"CALL_ID": "externalCall.1"' in stored[0].body
    assert not any("secret" in one.body or token_of(w) in one.body for one in stored)


def test_an_update_brings_a_new_token_and_binds_again(w: World) -> None:
    portal_id = installed(w)
    old = token_of(w)
    w.sandbox.call(w.portal.update_version, w.application)
    until(lambda: row(portal_id).application_token == token_of(w) != old, "the new token was not taken")
    until(lambda: len(w.portal.event_bindings) == len(install.EVENTS), "events were not bound again")
    assert event(w, "ONEXTERNALCALLSTART", data={"CALL_ID": "c"}, application_token=old) == 403
    assert event(w, "ONEXTERNALCALLSTART", data={"CALL_ID": "c"}, application_token=token_of(w)) == 200
    assert grant(portal_id).user_id == 1


def test_an_employee_cannot_forge_an_update_with_a_token_of_their_own(w: World) -> None:
    portal_id = installed(w)
    theirs = w.sandbox.call(w.sandbox.oauth.issue_token, w.portal, CLIENT_ID, 12)
    for name in ("ONAPPUPDATE", "ONAPPINSTALL"):
        forged = {"access_token": theirs.access, "refresh_token": theirs.refresh, "application_token": "forged"}
        assert event(w, name, **forged) == 403
    assert row(portal_id).application_token == token_of(w)
    assert grant(portal_id).user_id == 1


def test_an_update_with_another_portals_token_is_refused(w: World) -> None:
    portal_id = installed(w)
    w.sandbox.call(w.sandbox.portals[1].install, w.application)
    theirs = w.sandbox.call(w.sandbox.oauth.issue_token, w.sandbox.portals[1], CLIENT_ID, 1)
    assert event(w, "ONAPPUPDATE", access_token=theirs.access, application_token="forged") == 403
    assert event(w, "ONAPPUPDATE", application_token="forged") == 403
    assert event(w, "ONAPPUPDATE", access_token="nonsense", application_token=token_of(w)) == 403
    assert row(portal_id).application_token == token_of(w)


def test_an_update_of_what_is_not_installed_is_refused(w: World) -> None:
    w.sandbox.call(w.portal.install, w.application)
    token = w.sandbox.call(w.sandbox.oauth.issue_token, w.portal, CLIENT_ID, 1)
    assert event(w, "ONAPPUPDATE", access_token=token.access, application_token="x") == 403
    assert rows(Portal) == []


def test_an_event_waits_for_the_auth_server(w: World) -> None:
    installed(w)
    token = w.sandbox.call(w.sandbox.oauth.issue_token, w.portal, CLIENT_ID, 1)
    w.sandbox.oauth.switches.switch_on("http502")
    assert event(w, "ONAPPUPDATE", access_token=token.access, application_token=token_of(w)) == 503
