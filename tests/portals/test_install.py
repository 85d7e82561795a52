"""An installation begins, over real HTTP: our app served on a port, the sandbox as portal and as OAuth server."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from bx24app.bitrix24.inbound import FramePost
from bx24app.models import Portal, PortalUser, Registration, db
from bx24app.portals import clients, frame_auth, install, sync
from bx24app.portals.frame_auth import UnknownClient
from tests.support.installations import grant, installed, opened, post_of, row, rows, token_of, w
from tests.support.stack import CLIENT_ID, World, until

__all__ = ["w"]


def test_an_administrators_first_opening_installs(w: World) -> None:
    opening = opened(w, install_page=True)
    assert (opening.user_id, opening.is_admin, opening.is_installing) == (1, True, True)
    portal = row(opening.portal_id)
    assert (portal.member_id, portal.client_id, portal.state) == (w.portal.member_id, CLIENT_ID, "pending")
    assert (portal.domain, portal.client_endpoint) == (w.portal.domain, w.portal.client_endpoint)
    assert portal.server_endpoint == w.sandbox.oauth.url
    assert portal.application_token == token_of(w)
    assert set(portal.scopes.split(",")) == set(w.application.scopes)
    assert grant(portal.id).user_id == 1
    handler = f"{w.url}/bitrix24/events"
    bound = {(one.event.upper(), one.handler) for one in w.portal.event_bindings.values()}
    assert bound == {(name, handler) for name in install.EVENTS}
    w.sandbox.call(w.portal.finish_install, w.application)
    until(lambda: row(opening.portal_id).state == "active", "ONAPPINSTALL was not taken")
    assert w.portal.violations == []


def test_an_ordinary_person_installs_nothing(w: World) -> None:
    """The portal does not open a page for them; so they post a token of their own by hand."""
    post = post_of(w)
    theirs = w.sandbox.call(w.sandbox.oauth.issue_token, w.portal, CLIENT_ID, 12)
    post = post.model_copy(update={"access_token": theirs.access, "refresh_token": theirs.refresh})
    for page in (True, False):
        opening = frame_auth.open_frame(post, install_page=page)
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


def test_rights_are_asked_once_in_five_minutes(w: World) -> None:
    installed(w)
    w.portal.commands.clear()
    for _ in range(3):
        opened(w, user_id=12)
    assert w.portal.commands["profile"] <= 1


def test_the_mode_the_licence_and_the_users_are_read(w: World) -> None:
    w.portal.crm_mode, w.portal.license = 2, "ru_ent250"
    w.portal.add_user(77, "Gone", "Away", active=False, email="gone@example.ru")
    portal_id = installed(w)
    sync.sync_portal(portal_id)
    portal = row(portal_id)
    assert (portal.crm_mode, portal.license) == (2, "ru_ent250 ent")
    assert clients.portal_budget(portal_id).rate == 5.0
    people = {one.user_id: one for one in rows(PortalUser, portal_id=portal_id)}
    assert people[12].name == "Анна Орлова"
    assert (people[12].inner_number, people[12].active) == ("101", True)
    assert people[12].phones == ["+79160000101"]
    assert not people[77].active


def test_an_empty_or_shrunken_answer_takes_nobody_away(w: World) -> None:
    portal_id = installed(w)
    sync.sync_portal(portal_id)
    users = dict(w.portal.users)
    for left in ({1: users[1]}, {1: users[1], 12: replace(users[12], active=False)}):
        w.portal.users = left
        sync.sync_portal(portal_id)
    people = {one.user_id: one.active for one in rows(PortalUser, portal_id=portal_id)}
    assert people == {1: True, 8: True, 12: False, 15: True}


def test_rows_without_the_portals_word_stay_active(w: World) -> None:
    portal_id = installed(w)
    sync.store_users(portal_id, [{"ID": "5", "NAME": "Eve"}, {"ID": None}, {}, {"ID": "x"}])
    db.session.commit()
    assert rows(PortalUser, portal_id=portal_id, user_id=5)[0].active


def test_two_first_openings_at_once_make_one_portal(w: World) -> None:
    posts = [post_of(w) for _ in range(4)]
    found: list[int | None] = []

    def work(post: FramePost) -> None:
        with w.app.app_context():
            found.append(frame_auth.open_frame(post, install_page=True).portal_id)

    threads = [threading.Thread(target=work, args=(post,)) for post in posts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [rows(Portal)[0].id] * 4
    assert len(w.portal.event_bindings) == len(install.EVENTS)


def test_a_portal_that_could_not_be_set_up_is_looked_at_again(w: World) -> None:
    w.portal.switches.switch_on("http502", method="event.*", times=1)
    opening = opened(w, install_page=True)
    assert opening.portal_id is not None
    assert len(w.portal.event_bindings) == 0
    sync.sync_portal(opening.portal_id)
    assert len(w.portal.event_bindings) == len(install.EVENTS)


def test_bindings_to_an_address_that_is_no_longer_ours_go(w: World) -> None:
    portal_id = installed(w)
    client = clients.client_by_id(portal_id)
    client.call("event.bind", {"EVENT": "ONEXTERNALCALLSTART", "HANDLER": "https://old.example.com/bitrix24/events"})
    client.call("event.bind", {"EVENT": "ONCRMDEALADD", "HANDLER": "https://old.example.com/else"})
    sync.sync_portal(portal_id)
    bound = {(one.event.upper(), one.handler) for one in w.portal.event_bindings.values()}
    handler = f"{w.url}/bitrix24/events"
    assert bound == {*((name, handler) for name in install.EVENTS), ("ONCRMDEALADD", "https://old.example.com/else")}


def test_an_application_without_a_page_installs_by_its_event(w: World) -> None:
    script = w.sandbox.call(
        w.sandbox.oauth.register_application, "local.script", "script secret", f"{w.url}/", f"{w.url}/install", ui=False
    )
    db.session.add(Registration(client_id="local.script", client_secret="script secret", name="script only"))
    db.session.commit()
    w.sandbox.call(w.portal.install, script, 1)
    until(lambda: rows(Portal), "ONAPPINSTALL was not taken")
    w.sandbox.call(w.portal.wait_until_idle)
    [portal] = rows(Portal)
    assert (portal.state, portal.client_id) == ("active", "local.script")
    assert portal.application_token == w.portal.apps["local.script"].application_token
    assert grant(portal.id).user_id == 1
    assert len(w.portal.event_bindings) == len(install.EVENTS)
    assert w.portal.event_sender.posts[0].status == 200


def test_an_unknown_application_is_named(w: World) -> None:
    other = w.sandbox.call(w.sandbox.oauth.register_application, "local.other", "s", f"{w.url}/", f"{w.url}/install")
    post = post_of(w, app=other)
    with pytest.raises(UnknownClient) as unknown:
        frame_auth.open_frame(post, install_page=True)
    assert unknown.value.client_id == "local.other"
    assert rows(Portal) == []


def test_a_new_client_id_on_the_same_portal_replaces_the_old_one(w: World) -> None:
    portal_id = installed(w)
    fresh = w.sandbox.call(
        w.sandbox.oauth.register_application, "local.new", "new secret", f"{w.url}/", f"{w.url}/install"
    )
    db.session.add(Registration(client_id="local.new", client_secret="new secret"))
    db.session.commit()
    opening = frame_auth.open_frame(post_of(w, app=fresh), install_page=True)
    assert opening.portal_id == portal_id
    portal = row(portal_id)
    assert portal.client_id == "local.new"
    assert portal.application_token == w.portal.apps["local.new"].application_token
    assert clients.client_by_id(portal_id).call("app.info").result["CODE"] is not None
    w.sandbox.oauth.expire_tokens()
    assert clients.client_by_id(portal_id).call("profile").result["ID"] == "1"
