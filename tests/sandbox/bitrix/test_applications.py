"""The life of an application in a portal, and the events that it receives."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sandbox.bitrix.conftest import PHONE, Raw


def test_the_form_of_the_frame(raw: Raw) -> None:
    form = raw.open(placement="CALL_CARD", options={"CALL_ID": "x"})
    query = parse_qs(urlsplit(form.url).query)
    assert (query["DOMAIN"], query["PROTOCOL"], query["LANG"]) == ([raw.portal.host], ["0"], ["ru"])
    assert query["APP_SID"] == [form.sid]
    assert set(form.fields) == {
        "AUTH_ID", "AUTH_EXPIRES", "REFRESH_ID", "SERVER_ENDPOINT", "APPLICATION_TOKEN", "APPLICATION_SCOPE",
        "member_id", "status", "PLACEMENT", "PLACEMENT_OPTIONS",
    }  # fmt: skip
    assert form.fields["SERVER_ENDPOINT"] == f"{raw.sandbox.oauth.url}/rest/"
    assert raw.ok("profile", token=form.fields["AUTH_ID"])["ID"] == "1"


def test_placement_options_are_a_text_and_there_is_no_settings_placement(raw: Raw) -> None:
    assert json.loads(raw.open(placement="CALL_CARD", options={"ID": "12"}).fields["PLACEMENT_OPTIONS"]) == {"ID": "12"}
    assert raw.open().fields["PLACEMENT_OPTIONS"] == "[]"
    answer = raw.fails("placement.bind", PLACEMENT="SETTINGS", HANDLER=raw.handler)
    assert answer[:2] == (400, "ERROR_PLACEMENT_NOT_FOUND")


def test_the_frames_name_is_host_protocol_and_sid(raw: Raw) -> None:
    form = raw.open()
    assert form.name == f"{raw.portal.host}|0|{form.sid}"


def test_until_installed_the_install_address_is_opened_by_administrators_only(raw: Raw) -> None:
    raw.hand("uninstall", raw.app)
    assert raw.open().url.startswith(raw.app.install_url)
    with pytest.raises(PermissionError):
        raw.open(user_id=12)
    raw.hand("finish_install", raw.app)
    assert raw.open(user_id=12).url.startswith(f"{raw.app.handler_url}?")


def test_without_install_finish_no_event_comes(raw: Raw) -> None:
    raw.portal.apps[raw.app.client_id].installed = False
    raw.bind("ONEXTERNALCALLSTART", "ONVOXIMPLANTCALLEND")
    raw.finished()
    with pytest.raises(Exception, match="no installed application"):
        raw.hand("click_to_call", 12, PHONE)
    assert raw.settled() == []
    assert raw.ok("app.info")["INSTALLED"] is False


def test_finishing_the_installation_sends_onappinstall_with_tokens(raw: Raw) -> None:
    raw.portal.apps[raw.app.client_id].installed = False
    raw.bind("ONAPPINSTALL")
    raw.hand("finish_install", raw.app)
    (event,) = raw.events
    assert (event["event"], event["data[INSTALLED]"], event["data[VERSION]"]) == ("ONAPPINSTALL", "Y", "1")
    assert event["auth[application_token]"] == raw.open().fields["APPLICATION_TOKEN"]
    assert raw.ok("profile", token=event["auth[access_token]"])
    assert event["auth[refresh_token]"]


def test_an_application_without_a_page_gets_the_event_at_its_install_address(raw: Raw) -> None:
    app = raw.sandbox.register_application(
        "local.1", "x", raw.app.handler_url, raw.app.install_url, ui=False, kind="local", code="local.1"
    )
    raw.hand("install", app)
    (event,) = raw.events
    assert (event["event"], event["auth[status]"], event["data[INSTALLED]"]) == ("ONAPPINSTALL", "L", "Y")
    assert raw.portal.event_sender.posts[-1].url == raw.app.install_url


def test_uninstalling_sends_no_tokens_only_the_application_token(raw: Raw) -> None:
    known = raw.open().fields["APPLICATION_TOKEN"]
    raw.bind("ONAPPUNINSTALL")
    raw.hand("uninstall", raw.app, clean=True)
    (event,) = raw.events
    assert event["data[CLEAN]"] == "1"
    assert event["auth[application_token]"] == known
    assert event["auth[member_id]"] == raw.portal.member_id
    assert not [name for name in event if "access_token" in name or "refresh_token" in name]
    assert raw.open().fields["APPLICATION_TOKEN"] != known, "a new one with the next installation"


def test_a_new_version_drops_bindings_and_placements_and_changes_the_token(raw: Raw) -> None:
    old = raw.open().fields["APPLICATION_TOKEN"]
    raw.bind("ONAPPUPDATE", "ONEXTERNALCALLSTART")
    raw.ok("placement.bind", PLACEMENT="CALL_CARD", HANDLER=raw.handler, TITLE="Calls")
    raw.hand("update_version", raw.app)
    (event,) = raw.events
    assert (event["event"], event["data[VERSION]"], event["data[PREVIOUS_VERSION]"]) == ("ONAPPUPDATE", "2", "1")
    assert event["auth[application_token]"] not in ("", old)
    assert event["auth[refresh_token]"]
    assert raw.ok("event.get") == []
    assert raw.ok("placement.get") == []
    assert raw.ok("app.info")["VERSION"] == 2


def test_binding_twice_is_a_harmless_error(raw: Raw) -> None:
    raw.bind("ONAPPUNINSTALL")
    answer = raw.fails("event.bind", event="OnAppUninstall", handler=raw.handler)
    assert answer == (400, "ERROR_CORE", "Unable to set event handler: Handler already binded")
    binding = {"PLACEMENT": "CALL_CARD", "HANDLER": raw.handler}
    assert raw.ok("placement.bind", **binding) is True
    assert raw.fails("placement.bind", **binding)[2] == "Unable to set placement handler: Handler already binded"
    assert raw.ok("event.get") == [{"event": "ONAPPUNINSTALL", "handler": raw.handler, "auth_type": "0", "offline": 0}]
    assert raw.ok("event.unbind", EVENT="ONAPPUNINSTALL", HANDLER=raw.handler) == {"count": 1}
    assert raw.ok("placement.unbind", PLACEMENT="CALL_CARD") == {"count": 1}


@pytest.mark.parametrize(
    ("event", "handler", "code"),
    [
        ("ONNOTHING", "http://127.0.0.1/x", "ERROR_EVENT_NOT_FOUND"),
        ("ONAPPUNINSTALL", "ftp://127.0.0.1/x", "ERROR_UNSUPPORTED_PROTOCOL"),
        ("ONAPPUNINSTALL", "http://localhost/x", "ERROR_WRONG_HANDLER_URL"),
    ],
)
def test_bad_bindings(raw: Raw, event: str, handler: str, code: str) -> None:
    assert raw.fails("event.bind", EVENT=event, HANDLER=handler)[1] == code


def test_only_administrators_bind_placements(raw: Raw) -> None:
    token = raw.open(user_id=12).fields["AUTH_ID"]
    answer = raw.fails("placement.bind", token, PLACEMENT="CALL_CARD", HANDLER=raw.handler)
    assert answer[:2] == (403, "ACCESS_DENIED")


def test_events_have_no_refresh_token_and_sometimes_no_tokens_at_all(raw: Raw) -> None:
    raw.bind("ONEXTERNALCALLSTART")
    raw.hand("click_to_call", 12, PHONE)
    raw.portal.event_sender.without_tokens = True
    raw.hand("click_to_call", 12, PHONE)
    with_tokens, without = raw.events
    assert raw.ok("profile", token=with_tokens["auth[access_token]"])["ID"] == "12"
    assert "auth[refresh_token]" not in with_tokens
    assert "auth[access_token]" not in without
    assert without["auth[application_token]"]


def test_an_event_is_sent_once_even_if_it_fails(raw: Raw) -> None:
    raw.bind("ONEXTERNALCALLSTART")
    raw.portal.event_sender.events_to_lose = 1
    raw.hand("click_to_call", 12, PHONE)
    assert raw.events == []
    raw.portal.event_bindings.clear()
    raw.ok("event.bind", EVENT="ONEXTERNALCALLSTART", HANDLER="http://127.0.0.1:9/closed")
    raw.hand("click_to_call", 12, PHONE)
    assert [post.error != "" for post in raw.portal.event_sender.posts] == [True, True]


def test_call_start_fires_at_register_and_call_init_with_an_id_that_is_never_used(raw: Raw) -> None:
    raw.bind("ONVOXIMPLANTCALLINIT", "ONVOXIMPLANTCALLSTART", "ONVOXIMPLANTCALLEND")
    call_id = raw.register(EXTERNAL_CALL_ID="a")["CALL_ID"]
    raw.register(EXTERNAL_CALL_ID="a")
    raw.finish(call_id)
    events = sorted((event["event"], event["data[CALL_ID]"] == call_id) for event in raw.settled())
    assert events == [
        ("ONVOXIMPLANTCALLEND", True),
        ("ONVOXIMPLANTCALLINIT", False),
        ("ONVOXIMPLANTCALLINIT", True),
        ("ONVOXIMPLANTCALLSTART", True),
    ]


def test_an_event_is_a_form_with_brackets(raw: Raw) -> None:
    raw.bind("ONEXTERNALCALLSTART")
    raw.ok("event.bind", EVENT="ONEXTERNALCALLSTART", HANDLER=f"{raw.handler}/2", AUTH_TYPE=8)
    raw.hand("click_to_call", 12, PHONE)
    first, second = sorted(raw.events, key=lambda event: event["event_handler_id"])
    assert int(second["event_handler_id"]) == int(first["event_handler_id"]) + 1
    assert first["auth[domain]"] == raw.portal.host
    assert first["auth[client_endpoint]"] == raw.portal.client_endpoint
    assert (first["auth[user_id]"], second["auth[user_id]"]) == ("12", "8"), "auth_type says whose tokens"
    assert "data[CRM_CREATED_ENTITIES][0][ENTITY_TYPE]" in first
    assert "data[CRM_ENTITY_ID]" in first
    assert int(first["ts"])


def test_options_of_the_application(raw: Raw) -> None:
    employee = raw.open(user_id=12).fields["AUTH_ID"]
    assert raw.ok("app.option.get") == []
    assert raw.ok("app.option.set", options={"a": "1"}) is True
    assert raw.fails("app.option.set", employee, options={"a": "2"})[1] == "ACCESS_DENIED"
    assert raw.ok("app.option.get", employee, option="a") == "1"
    assert raw.ok("user.option.set", employee, options={"b": "2"}) is True
    assert raw.ok("user.option.get") == []
    assert raw.ok("user.option.get", employee) == {"b": "2"}


def test_what_an_application_can_read_about_itself(raw: Raw) -> None:
    assert "telephony" in raw.ok("scope")
    assert "telephony.externalcall.register" in raw.ok("methods")
    assert raw.ok("method.get", name="user.get") == {"isExisting": True, "isAvailable": True}
    assert raw.ok("method.get", name="tasks.task.add") == {"isExisting": True, "isAvailable": False}
    assert "ONEXTERNALCALLSTART" in raw.ok("events")
    assert raw.ok("feature.get", CODE="rest_offline_extended") == {"value": "N"}
    assert "+03:00" in raw.ok("server.time")
    assert "CALL_CARD" in raw.ok("placement.list")
    license_name = raw.ok("app.info")["LICENSE"]
    assert license_name == "ru_basic"
