"""An installation's life over real HTTP: our app served on a port, the sandbox as portal and as OAuth server."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import requests

from bx24app import portals
from bx24app.bitrix24.errors import Gone, NeedsAdmin, NotSent, PortalError
from bx24app.bitrix24.inbound import FramePost
from bx24app.models import (
    Audit,
    Call,
    Grant,
    Notification,
    Pbx,
    Portal,
    PortalUser,
    Recording,
    Registration,
    SettingsVersion,
    db,
    utcnow,
)
from bx24app.portals import Forged, UnknownClient
from tests.conftest import DOCUMENT, KEY, SALT
from tests.installations import change, event, grant, installed, opened, post_of, row, rows, token_of, w
from tests.world import CLIENT_ID, World, until

__all__ = ["w"]


# --- installing


def test_an_administrators_first_opening_installs(w: World) -> None:
    opening = opened(w, install_page=True)
    assert (opening.user_id, opening.is_admin, opening.installing) == (1, True, True)
    portal = row(opening.portal_id)
    assert (portal.member_id, portal.client_id, portal.state) == (w.portal.member_id, CLIENT_ID, "pending")
    assert (portal.domain, portal.client_endpoint) == (w.portal.domain, w.portal.client_endpoint)
    assert portal.server_endpoint == w.sandbox.oauth.url
    assert portal.application_token == token_of(w)
    assert set(portal.scopes.split(",")) == set(w.application.scopes)
    assert grant(portal.id).user_id == 1
    handler = f"{w.url}/bitrix24/events"
    bound = {(one.event.upper(), one.handler) for one in w.portal.event_bindings.values()}
    assert bound == {(name, handler) for name in portals.EVENTS}
    w.sandbox.call(w.portal.finish_install, w.application)
    until(lambda: row(opening.portal_id).state == "active", "ONAPPINSTALL was not taken")
    assert w.portal.violations == []


def test_an_ordinary_person_installs_nothing(w: World) -> None:
    """The portal does not open a page for them; so they post a token of their own by hand."""
    post = post_of(w)
    theirs = w.sandbox.call(w.sandbox.oauth.issue, w.portal, CLIENT_ID, 12)
    post = post.model_copy(update={"access_token": theirs.access, "refresh_token": theirs.refresh})
    for page in (True, False):
        opening = portals.open_frame(post, install_page=page)
        assert (opening.portal_id, opening.is_admin, opening.user_id) == (None, False, 12)
    assert rows(Portal) == []


def test_an_ordinary_person_opens_what_is_installed(w: World) -> None:
    portal_id = installed(w)
    opening = opened(w, user_id=12)
    assert (opening.portal_id, opening.is_admin) == (portal_id, False)
    assert grant(portal_id).user_id == 1


def test_a_further_opening_never_replaces_the_grant(w: World) -> None:
    portal_id = installed(w)
    w.portal.add_user(2, "Second", admin=True)
    before = grant(portal_id).refresh_token
    for user in (1, 2, 12):
        opened(w, user_id=user)
    assert grant(portal_id).refresh_token == before


def test_rights_are_asked_once_in_ten_minutes(w: World) -> None:
    installed(w)
    w.portal.commands.clear()
    for _ in range(3):
        opened(w, user_id=12)
    assert w.portal.commands["profile"] <= 1


def test_the_mode_the_licence_and_the_users_are_read(w: World) -> None:
    w.portal.crm_mode, w.portal.license = 2, "ru_ent250"
    w.portal.add_user(77, "Gone", "Away", active=False, email="gone@example.ru")
    portal_id = installed(w)
    portals.look_by_id(portal_id)
    portal = row(portal_id)
    assert (portal.crm_mode, portal.license) == (2, "ru_ent250")
    assert portals.budget_of(portal_id).rate == 5.0
    people = {one.user_id: one for one in rows(PortalUser, portal_id=portal_id)}
    assert people[12].name == "Анна Орлова"
    assert (people[12].inner_number, people[12].active) == ("101", True)
    assert people[12].phones == ["+79160000101"]
    assert not people[77].active


def test_an_empty_or_shrunken_answer_takes_nobody_away(w: World) -> None:
    portal_id = installed(w)
    portals.look_by_id(portal_id)
    users = dict(w.portal.users)
    for left in ({1: users[1]}, {1: users[1], 12: replace(users[12], active=False)}):
        w.portal.users = left
        portals.look_by_id(portal_id)
    people = {one.user_id: one.active for one in rows(PortalUser, portal_id=portal_id)}
    assert people == {1: True, 8: True, 12: False, 15: True}


def test_rows_without_the_portals_word_stay_active(w: World) -> None:
    portal_id = installed(w)
    portals.keep_users(portal_id, [{"ID": "5", "NAME": "Eve"}, {"ID": None}, {}, {"ID": "x"}])
    db.session.commit()
    assert rows(PortalUser, portal_id=portal_id, user_id=5)[0].active


def test_two_first_openings_at_once_make_one_portal(w: World) -> None:
    posts = [post_of(w) for _ in range(4)]
    found: list[int | None] = []

    def work(post: FramePost) -> None:
        with w.app.app_context():
            found.append(portals.open_frame(post, install_page=True).portal_id)

    threads = [threading.Thread(target=work, args=(post,)) for post in posts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [rows(Portal)[0].id] * 4
    assert len(w.portal.event_bindings) == len(portals.EVENTS)


def test_a_portal_that_could_not_be_set_up_is_looked_at_again(w: World) -> None:
    w.portal.switches.on("http502", method="event.*", times=1)
    opening = opened(w, install_page=True)
    assert opening.portal_id is not None
    assert len(w.portal.event_bindings) == 0
    portals.look_by_id(opening.portal_id)
    assert len(w.portal.event_bindings) == len(portals.EVENTS)


def test_bindings_to_an_address_that_is_no_longer_ours_go(w: World) -> None:
    portal_id = installed(w)
    client = portals.client_by_id(portal_id)
    client.call("event.bind", {"EVENT": "ONEXTERNALCALLSTART", "HANDLER": "https://old.example.com/bitrix24/events"})
    client.call("event.bind", {"EVENT": "ONCRMDEALADD", "HANDLER": "https://old.example.com/else"})
    portals.look_by_id(portal_id)
    bound = {(one.event.upper(), one.handler) for one in w.portal.event_bindings.values()}
    handler = f"{w.url}/bitrix24/events"
    assert bound == {*((name, handler) for name in portals.EVENTS), ("ONCRMDEALADD", "https://old.example.com/else")}


def test_an_application_without_a_page_installs_by_its_event(w: World) -> None:
    script = w.sandbox.call(
        w.sandbox.oauth.register_application, "local.script", "script secret", f"{w.url}/", f"{w.url}/install", ui=False
    )
    db.session.add(Registration(client_id="local.script", client_secret="script secret", name="script only"))
    db.session.commit()
    w.sandbox.call(w.portal.install, script, 1)
    until(lambda: rows(Portal), "ONAPPINSTALL was not taken")
    w.sandbox.call(w.portal.settled)
    [portal] = rows(Portal)
    assert (portal.state, portal.client_id) == ("active", "local.script")
    assert portal.application_token == w.portal.apps["local.script"].application_token
    assert grant(portal.id).user_id == 1
    assert len(w.portal.event_bindings) == len(portals.EVENTS)
    assert w.portal.courier.posts[0].status == 200


# --- several registrations


def test_an_unknown_application_is_named(w: World) -> None:
    other = w.sandbox.call(w.sandbox.oauth.register_application, "local.other", "s", f"{w.url}/", f"{w.url}/install")
    post = post_of(w, app=other)
    with pytest.raises(UnknownClient) as unknown:
        portals.open_frame(post, install_page=True)
    assert unknown.value.client_id == "local.other"
    assert rows(Portal) == []


def test_a_new_client_id_on_the_same_portal_replaces_the_old_one(w: World) -> None:
    portal_id = installed(w)
    fresh = w.sandbox.call(w.sandbox.oauth.register_application, "local.new", "new secret", f"{w.url}/", f"{w.url}/install")
    db.session.add(Registration(client_id="local.new", client_secret="new secret"))
    db.session.commit()
    opening = portals.open_frame(post_of(w, app=fresh), install_page=True)
    assert opening.portal_id == portal_id
    portal = row(portal_id)
    assert portal.client_id == "local.new"
    assert portal.application_token == w.portal.apps["local.new"].application_token
    assert portals.client_by_id(portal_id).call("app.info").result["CODE"] is not None
    w.sandbox.oauth.expire()
    assert portals.client_by_id(portal_id).call("profile").result["ID"] == "1"


# --- forgery


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
    with pytest.raises(Forged):
        opened(w, install_page=True, **forged)
    assert rows(Portal) == []
    portal_id = installed(w)
    before = grant(portal_id).refresh_token
    with pytest.raises(Forged):
        opened(w, **forged)
    assert grant(portal_id).refresh_token == before


def test_the_token_of_another_portal_opens_nothing_here(w: World) -> None:
    installed(w)
    w.sandbox.call(w.sandbox.portals[1].install, w.application)
    theirs = post_of(w, number=1)
    ours = post_of(w)
    mixed = ours.model_copy(update={"access_token": theirs.access_token, "refresh_token": theirs.refresh_token})
    with pytest.raises(Forged):
        portals.open_frame(mixed, install_page=False)


def test_a_server_that_the_browser_names_is_not_asked(w: World) -> None:
    asked: list[Any] = []
    w.portal.changed.append(lambda what, details: asked.append(details) if what == "request" else None)
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
    with pytest.raises(Forged):
        portals.is_administrator(said, post.access_token)


def test_an_expired_token_opens_nothing(w: World) -> None:
    post = post_of(w)
    w.sandbox.oauth.expire()
    with pytest.raises(Forged):
        portals.open_frame(post, install_page=True)


def test_an_auth_server_that_does_not_answer_opens_nothing(w: World) -> None:
    w.sandbox.oauth.switches.on("http502")
    with pytest.raises(PortalError):
        opened(w, install_page=True)
    assert rows(Portal) == []


def test_an_unpaid_application_says_so(w: World) -> None:
    w.sandbox.oauth.switches.on("payment_required", method="app.info")
    with pytest.raises(NeedsAdmin) as met:
        opened(w)
    assert met.value.code == "payment"


# --- events


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
    portals.pause(portal_id, 1, paused=True)
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
    until(lambda: len(w.portal.event_bindings) == len(portals.EVENTS), "events were not bound again")
    assert event(w, "ONEXTERNALCALLSTART", data={"CALL_ID": "c"}, application_token=old) == 403
    assert event(w, "ONEXTERNALCALLSTART", data={"CALL_ID": "c"}, application_token=token_of(w)) == 200
    assert grant(portal_id).user_id == 1


def test_an_employee_cannot_forge_an_update_with_a_token_of_their_own(w: World) -> None:
    portal_id = installed(w)
    theirs = w.sandbox.call(w.sandbox.oauth.issue, w.portal, CLIENT_ID, 12)
    for name in ("ONAPPUPDATE", "ONAPPINSTALL"):
        forged = {"access_token": theirs.access, "refresh_token": theirs.refresh, "application_token": "forged"}
        assert event(w, name, **forged) == 403
    assert row(portal_id).application_token == token_of(w)
    assert grant(portal_id).user_id == 1


def test_an_update_with_another_portals_token_is_refused(w: World) -> None:
    portal_id = installed(w)
    w.sandbox.call(w.sandbox.portals[1].install, w.application)
    theirs = w.sandbox.call(w.sandbox.oauth.issue, w.sandbox.portals[1], CLIENT_ID, 1)
    assert event(w, "ONAPPUPDATE", access_token=theirs.access, application_token="forged") == 403
    assert event(w, "ONAPPUPDATE", application_token="forged") == 403
    assert event(w, "ONAPPUPDATE", access_token="nonsense", application_token=token_of(w)) == 403
    assert row(portal_id).application_token == token_of(w)


def test_an_update_of_what_is_not_installed_is_refused(w: World) -> None:
    w.sandbox.call(w.portal.install, w.application)
    token = w.sandbox.call(w.sandbox.oauth.issue, w.portal, CLIENT_ID, 1)
    assert event(w, "ONAPPUPDATE", access_token=token.access, application_token="x") == 403
    assert rows(Portal) == []


def test_an_event_waits_for_the_auth_server(w: World) -> None:
    installed(w)
    token = w.sandbox.call(w.sandbox.oauth.issue, w.portal, CLIENT_ID, 1)
    w.sandbox.oauth.switches.on("http502")
    assert event(w, "ONAPPUPDATE", access_token=token.access, application_token=token_of(w)) == 503


# --- trouble and its end


@pytest.mark.parametrize(
    ("switch", "trouble"),
    [
        ("payment_required", "payment"),
        ("wrong_license", "tariff"),
        ("no_rest", "tariff"),
        ("overload", "overload"),
        ("scope_removed", "scope"),
    ],
)
def test_a_trouble_stops_keeps_and_resumes_by_itself(w: World, switch: str, trouble: str) -> None:
    portal_id = installed(w)
    w.portal.switches.on(switch)
    with pytest.raises(NeedsAdmin) as met:
        portals.client_by_id(portal_id).call("telephony.externalCall.show", {"CALL_ID": "x"})
    portals.trouble(portal_id, met.value)
    assert (row(portal_id).state, row(portal_id).trouble) == ("needs_admin", trouble)
    assert grant(portal_id) is not None
    make_due(portal_id)
    portals.probe_due()
    assert row(portal_id).state == "needs_admin"
    w.portal.switches.off()
    make_due(portal_id)
    portals.probe_due()
    assert (row(portal_id).state, row(portal_id).trouble) == ("active", None)


def make_due(portal_id: int) -> None:
    change(portal_id, probe_at=utcnow() - timedelta(seconds=1))


def test_a_portal_in_trouble_that_is_silent_is_asked_again_later(w: World) -> None:
    portal_id = installed(w)
    portals.trouble(portal_id, NeedsAdmin("payment"))
    w.portal.switches.on("http502")
    make_due(portal_id)
    portals.probe_due()
    portal = row(portal_id)
    assert (portal.state, portal.trouble) == ("needs_admin", "payment")
    assert portal.probe_at is not None


def test_rights_taken_away(w: World) -> None:
    portal_id = installed(w)
    w.portal.switches.on("right_removed", method="telephony.*")
    client = portals.client_by_id(portal_id)
    with pytest.raises(NeedsAdmin) as met:
        client.call("telephony.externalCall.show", {"CALL_ID": "x"})
    assert met.value.code == "rights"
    said = client.batch([("a", "telephony.externalCall.show", {"CALL_ID": "x"}), ("b", "crm.settings.mode.get", {})])
    assert isinstance(said["a"], NeedsAdmin)
    assert not isinstance(said["b"], PortalError)


def test_a_dead_grant_is_mended_by_an_administrators_opening(w: World) -> None:
    portal_id = installed(w)
    w.portal.add_user(2, "Second", admin=True)
    w.sandbox.call(w.portal.dismiss, 1)
    with pytest.raises(NeedsAdmin) as met:
        portals.client_by_id(portal_id).call("profile")
    assert met.value.code in ("authorise", "rights")
    portals.trouble(portal_id, met.value)
    opened(w, user_id=12)
    assert row(portal_id).state == "needs_admin"
    opened(w, user_id=2)
    assert (row(portal_id).state, row(portal_id).trouble) == ("active", None)
    assert grant(portal_id).user_id == 2
    assert portals.client_by_id(portal_id).call("profile").result["ID"] == "2"


def test_pause_keeps_the_trouble_that_was_there(w: World) -> None:
    portal_id = installed(w)
    portals.pause(portal_id, 1, paused=True)
    assert row(portal_id).state == "paused"
    portals.trouble(portal_id, NeedsAdmin("payment"))
    assert row(portal_id).state == "paused"
    portals.pause(portal_id, 1, paused=False)
    assert row(portal_id).state == "active"
    portals.trouble(portal_id, NeedsAdmin("payment"))
    portals.pause(portal_id, 1, paused=True)
    portals.pause(portal_id, 1, paused=False)
    assert (row(portal_id).state, row(portal_id).trouble) == ("needs_admin", "payment")
    portals.resume(portal_id)
    assert row(portal_id).state == "active"
    assert [one.what for one in rows(Audit, user_id=1, source="frame")].count("paused") == 2


# --- the domain


def test_a_changed_domain_is_followed_verified_and_stored(w: World) -> None:
    portal_id = installed(w)
    client = portals.client_by_id(portal_id)
    old = w.portal.domain
    new = w.sandbox.move_portal(w.portal)
    assert new != old
    assert client.call("profile").result["ID"] == "1"
    assert (row(portal_id).domain, row(portal_id).client_endpoint) == (new, f"http://{new}/rest/")
    assert opened(w).portal_id == portal_id


def test_a_redirect_that_the_auth_server_does_not_know_is_not_followed(w: World) -> None:
    portal_id = installed(w)
    w.sandbox.call(w.sandbox.portals[1].install, w.application)
    elsewhere = w.sandbox.portals[1]
    for address in (f"{elsewhere.url}/rest/profile", "http://169.254.169.254/", "http://evil.example.invalid/", "/login/"):
        with pytest.raises(NotSent):
            portals.client_by_id(portal_id)._grants.moved(address)
    assert row(portal_id).domain == w.portal.domain
    assert not any(entry.params for entry in elsewhere.request_log)


# --- uninstalling


def test_uninstalling_deletes_the_grant_at_once_and_keeps_the_rest_for_30_days(w: World) -> None:
    portal_id = installed(w)
    hook = connect(w, portal_id)
    w.sandbox.call(w.portal.uninstall, w.application)
    until(lambda: row(portal_id).state == "removed", "ONAPPUNINSTALL was not taken")
    portal = row(portal_id)
    assert rows(Grant, portal_id=portal_id) == []
    assert portal.application_token is None
    assert portal.purge_at is not None
    assert portal.removed_at is not None
    assert 29 < (portal.purge_at - portal.removed_at).days <= 30
    with pytest.raises(NeedsAdmin):
        portals.client_by_id(portal_id).call("profile")
    assert requests.post(hook, data={}, timeout=10).status_code == 404
    assert installed(w) == portal_id
    assert (row(portal_id).state, row(portal_id).purge_at) == ("active", None)
    assert connect(w, portal_id) == hook
    assert requests.post(hook, data={}, timeout=10).status_code == 200


def connect(w: World, portal_id: int) -> str:
    """A PBX with a hook; the address of the one that is there where there is one."""
    held = rows(Pbx, portal_id=portal_id)
    if held:
        return f"{w.url}/mango/{held[0].hook_key}"
    return w.connect(DOCUMENT, {"moscow": (KEY, SALT)})["moscow"]


def test_uninstalling_with_clean_leaves_nothing_of_anybody(w: World) -> None:
    portal_id = installed(w)
    portals.look_by_id(portal_id)
    connect(w, portal_id)
    event(w, "ONEXTERNALCALLSTART", data={"CALL_ID": "c", "USER_ID": "12"}, application_token=token_of(w))
    call = Call(portal_id=portal_id, pbx_id=1, pbx_key="moscow", entry_id="e", started_at=utcnow())
    db.session.add(call)
    db.session.flush()
    tape = Recording(portal_id=portal_id, call_id=call.id, recording_id="r")
    db.session.add(tape)
    db.session.commit()
    spooled = w.config.data_dir / "spool" / f"{tape.id}.mp3"
    db.session.rollback()
    spooled.parent.mkdir(parents=True, exist_ok=True)
    spooled.write_bytes(b"voice")
    w.sandbox.call(w.portal.uninstall, w.application, clean=True)
    until(lambda: row(portal_id).state == "removed" and row(portal_id).purge_at is None, "not purged")
    for table in (Notification, Call, Recording, PortalUser, Pbx, SettingsVersion, Grant):
        assert rows(table, portal_id=portal_id) == [], table
    assert not spooled.exists()
    portal = row(portal_id)
    assert (portal.domain, portal.client_endpoint, portal.installed_by) == ("", "", None)
    assert installed(w) == portal_id


def test_the_purge_comes_after_its_time(w: World) -> None:
    portal_id = installed(w)
    connect(w, portal_id)
    w.sandbox.call(w.portal.uninstall, w.application)
    until(lambda: row(portal_id).state == "removed", "ONAPPUNINSTALL was not taken")
    portals.purge_due()
    assert len(rows(Pbx)) == 1
    change(portal_id, purge_at=utcnow() - timedelta(seconds=1))
    portals.purge_due()
    assert rows(Pbx) == []


def test_a_portal_that_vanished_without_an_event_is_removed(w: World) -> None:
    portal_id = installed(w)
    w.portal.deleted = True
    with pytest.raises(Gone) as met:
        portals.client_by_id(portal_id).call("profile")
    portals.trouble(portal_id, met.value)
    portal = row(portal_id)
    assert portal.state == "removed"
    assert portal.purge_at is not None
    assert rows(Grant, portal_id=portal_id) == []


# --- looking after


def test_each_daily_look_is_due_once(w: World) -> None:
    portal_id = installed(w)
    change(portal_id, looked_at=None)
    assert portals.looks_due() == [portal_id]
    assert portals.looks_due() == []


def test_a_look_that_failed_is_due_within_the_hour(w: World) -> None:
    portal_id = installed(w)
    w.portal.switches.on("http502")
    portals.look_by_id(portal_id)
    looked = row(portal_id).looked_at
    assert looked is not None
    assert timedelta(hours=22) < utcnow() - looked < timedelta(hours=24)
    assert row(portal_id).state == "active"


def test_one_budget_for_openings_and_calls(w: World) -> None:
    portal_id = installed(w)
    before = portals.budget_of(portal_id).level()
    w.app.extensions["bx24app"].redis.delete(f"admin:{w.portal.member_id}:12")
    opened(w, user_id=12)
    assert portals.budget_of(portal_id).level() < before + 2


def test_a_directory_is_fetched_at_once(w: World) -> None:
    portal_id = installed(w)
    assert portals.fetch_users(portal_id) == {1, 8, 12, 15}
    w.portal.switches.on("html")
    with pytest.raises(PortalError):
        portals.fetch_users(portal_id)
