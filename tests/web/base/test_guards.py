"""Every route has a guard in the one table, and each guard keeps out whom it should."""

from __future__ import annotations

import time

import pytest
from flask import Blueprint, Flask
from flask.testing import FlaskClient

from bx24app.models import Portal, PortalUser, db
from bx24app.web import ROUTE_TABLE
from bx24app.web.base import guards, session
from bx24app.web.base.guards import open_to_all, require_frame_admin, require_frame_session, require_placement_session
from tests.web.conftest import claim

OPEN = {
    "app_frame.open_app",
    "app_frame.open_install",
    "app_frame.show_about",
    "app_frame.show_install_about",
    "app_frame.show_privacy",
    "app_frame.renew_session",
    "app_frame.take_over",
    "oauth.start_authorisation",
    "oauth.callback",
    "bitrix24_events.receive_event",
    "mango_hooks.receive_notification",
    "mango_hooks.explain_address",
    "health.check_alive",
    "health.check_ready",
    "health.scrape_metrics",
    "assets.serve_file",
    "downloads.download_employees",
    "downloads.download_journal",
    "downloads.stream_recording",
    "placements.open_telephony",
    "placements.show_call_card",
    "placements.show_record",
    "placements.renew_session",
    "placements.change_client",
    "static",
}
"""Routes that prove their caller by themselves, or have nothing to hide. A new one is written here on purpose."""
PAGES = {
    "home.show": "/frame",
    "calls.show": "/frame/calls",
    "pbxs.show": "/frame/pbxs",
    "policy.show": "/frame/policy",
}


def test_every_route_has_exactly_one_guard(site: Flask) -> None:
    table = {blueprint.name: guard for blueprint, _, guard in ROUTE_TABLE}
    assert len(table) == len(ROUTE_TABLE)
    for rule in site.url_map.iter_rules():
        name = rule.endpoint.partition(".")[0] if "." in rule.endpoint else None
        guard = table[name] if name else open_to_all
        assert guard in (open_to_all, require_frame_session, require_frame_admin, require_placement_session)
        assert (guard is open_to_all) == (rule.endpoint in OPEN), rule.endpoint
        if rule.rule.startswith("/frame") and rule.rule not in ("/frame/renew", "/frame/takeover"):
            assert guard is not open_to_all


def test_a_route_without_a_guard_answers_404(site: Flask) -> None:
    stray = Blueprint("stray", __name__)
    stray.add_url_rule("/stray", view_func=lambda: "secret")
    site.register_blueprint(stray)
    said = site.test_client().get("/stray")
    assert said.status_code == 404
    assert "secret" not in said.text


@pytest.mark.parametrize("path", [*PAGES.values(), "/frame/pbxs/moscow/lines", "/frame/pbxs/moscow/employees"])
def test_without_a_session_nothing_opens(client: FlaskClient, portal: int, path: str) -> None:
    for said in (client.get(path), client.get(path, headers={session.HEADER: "x.y.z"}), client.post(path)):
        if said.status_code != 405:
            assert said.status_code == 401
            assert said.headers["X-Error"] == "session"
            assert "Open this page from Bitrix24" in said.text


def test_an_employee_sees_their_calls_and_no_settings(site: Flask, client: FlaskClient, portal: int) -> None:
    mine = claim(site, portal, admin=False)
    assert 'data-testid="not-admin"' in client.get("/frame", headers=mine).text
    assert client.get("/frame/calls", headers=mine).status_code == 200
    for path in ("/frame/pbxs", "/frame/policy", "/frame/pbxs/moscow", "/frame/pbxs/moscow/lines"):
        said = client.get(path, headers=mine)
        assert (said.status_code, said.headers["X-Error"]) == (403, "administrator")
        assert "not an administrator" in said.text
    assert client.post("/frame/policy", headers=mine).status_code == 403


def test_a_session_is_good_for_five_minutes(site: Flask, portal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    client, header = site.test_client(), claim(site, portal, admin=False)
    now = time.time()
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + session.PROOF_SECONDS - 5)
    assert client.get("/frame", headers=header).status_code == 200
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + session.PROOF_SECONDS + 5)
    assert client.get("/frame", headers=header).status_code == 401


def test_an_administrators_right_is_good_for_five_minutes(
    site: Flask, portal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, header = site.test_client(), claim(site, portal)
    now = time.time()
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + session.PROOF_SECONDS - 5)
    assert client.get("/frame/policy", headers=header).status_code == 200
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + session.PROOF_SECONDS + 5)
    for said in (client.get("/frame/policy", headers=header), client.post("/frame/policy", headers=header)):
        assert (said.status_code, said.headers["X-Error"]) == (401, "session")
    assert client.get("/frame/calls", headers=header).status_code == 401, "others' calls are an administrator's too"


def test_a_session_in_a_url_or_a_cookie_is_not_looked_at(site: Flask, portal: int) -> None:
    text = claim(site, portal)[session.HEADER]
    client = site.test_client()
    client.set_cookie(session.FIELD, text)
    client.set_cookie(session.HEADER, text)
    assert client.get(f"/frame?{session.FIELD}={text}&{session.HEADER}={text}").status_code == 401
    assert client.post(f"/frame/open?{session.FIELD}={text}").status_code == 401
    assert client.post("/frame/open", data={session.FIELD: text}).status_code == 200


def test_no_answer_sets_a_cookie(site: Flask, client: FlaskClient, portal: int) -> None:
    header = claim(site, portal)
    for path in ("/", "/privacy", "/nowhere", *PAGES.values()):
        assert "Set-Cookie" not in client.get(path, headers=header).headers


def test_a_session_opens_only_its_own_portal(site: Flask, client: FlaskClient, portal: int) -> None:
    header = claim(site, portal)
    with site.app_context():
        row = db.session.get_one(Portal, portal)
        row.state = "removed"
        db.session.commit()
    assert client.get("/frame", headers=header).status_code == 401
    with site.app_context():
        row = db.session.get_one(Portal, portal)
        row.state, row.member_id = "active", "another"
        db.session.commit()
    assert client.get("/frame", headers=header).status_code == 401


def test_a_dismissed_employee_has_no_session_any_more(site: Flask, client: FlaskClient, portal: int) -> None:
    mine, another = claim(site, portal), claim(site, portal, user_id=8)
    with site.app_context():
        place = session.issue_placement(session.PlacementSession(portal, "m" * 32, 7, "en"))
        db.session.add(PortalUser(portal_id=portal, user_id=7, active=True))
        db.session.commit()
    tab = {session.HEADER: place}
    assert [client.get("/frame", headers=mine).status_code, client.get("/place/calls", headers=tab).status_code] == [
        200,
        200,
    ]
    with site.app_context():
        db.session.get_one(PortalUser, (portal, 7)).active = False
        db.session.commit()
    assert [client.get("/frame", headers=mine).status_code, client.get("/place/calls", headers=tab).status_code] == [
        401,
        401,
    ]
    assert client.get("/frame", headers=another).status_code == 200


def test_a_ticket_is_no_session_and_a_session_no_ticket(site: Flask, client: FlaskClient, portal: int) -> None:
    with site.app_context():
        ticket = session.issue_ticket(session.Ticket(portal, 7, "recording", 1))
    assert client.get("/frame", headers={session.HEADER: ticket}).status_code == 401
    text = claim(site, portal)[session.HEADER]
    assert client.get(f"/media/recording/1?ticket={text}").status_code == 401


def test_a_ticket_is_for_one_object_and_a_minute(site: Flask, portal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with site.app_context():
        text = session.issue_ticket(session.Ticket(portal, 7, "recording", 1))
        assert session.read_ticket(text, "recording", 1).user_id == 7
        for kind, number in (("recording", 2), ("export", 1)):
            with pytest.raises(session.NoSession):
                session.read_ticket(text, kind, number)
        now = time.time()
        monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + session.TICKET_SECONDS + 2)
        with pytest.raises(session.NoSession) as met:
            session.read_ticket(text, "recording", 1)
        assert met.value.is_stale


def test_the_guards_are_asked_before_the_view(site: Flask) -> None:
    assert guards.run_guard in site.before_request_funcs[None]
