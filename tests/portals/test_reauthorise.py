"""A fresh grant outside the frame, by the authorisation-code flow, as a browser walks it."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from bx24app.bitrix24.errors import NeedsAdmin
from bx24app.models import Portal, db
from bx24app.portals import clients, lifecycle, reauthorise
from bx24app.portals.reauthorise import NotProven
from tests.support.installations import grant, installed, row, w
from tests.support.stack import World

__all__ = ["w"]


def walked(w: World, user_id: int = 1, number: int = 0) -> requests.Response:
    """From our start page over the portal's own page and back, by redirects."""
    portal = w.sandbox.portals[number]
    start = requests.get(f"{w.url}/oauth/start?domain={portal.domain}", allow_redirects=False, timeout=20)
    assert start.status_code == 302
    assert start.headers["Location"].startswith(f"{portal.url}/oauth/authorize/?")
    return requests.get(f"{start.headers['Location']}&sandbox_user={user_id}", timeout=20)


def answered(w: World, user_id: int = 1, number: int = 0) -> dict[str, str]:
    """What the portal sends back to us, before we see it."""
    portal = w.sandbox.portals[number]
    page = requests.get(
        reauthorise.start_authorisation(portal.domain) + f"&sandbox_user={user_id}", allow_redirects=False, timeout=20
    )
    db.session.rollback()
    return {name: values[0] for name, values in parse_qs(urlsplit(page.headers["Location"]).query).items()}


def test_a_dead_authorisation_is_mended_and_deliveries_resume(w: World) -> None:
    portal_id = installed(w)
    w.sandbox.call(w.sandbox.oauth.revoke_tokens, w.portal)
    with pytest.raises(NeedsAdmin) as met:
        clients.client_by_id(portal_id).call("profile")
    lifecycle.mark_needs_admin(portal_id, met.value)
    before = grant(portal_id)
    assert walked(w).status_code == 200
    after = grant(portal_id)
    assert after.refresh_token != before.refresh_token
    assert after.generation == before.generation + 1
    assert (row(portal_id).state, row(portal_id).trouble) == ("active", None)
    assert clients.client_by_id(portal_id).call("profile").result["ID"] == "1"


def test_a_late_word_about_the_dead_grant_does_not_stop_the_new_one(w: World) -> None:
    portal_id = installed(w)
    w.sandbox.call(w.sandbox.oauth.revoke_tokens, w.portal)
    with pytest.raises(NeedsAdmin) as met:
        clients.client_by_id(portal_id).call("profile")
    assert walked(w).status_code == 200
    lifecycle.mark_needs_admin(portal_id, met.value)
    assert (row(portal_id).state, row(portal_id).trouble) == ("active", None)


def test_only_an_administrator_may(w: World) -> None:
    portal_id = installed(w)
    before = grant(portal_id).refresh_token
    assert walked(w, user_id=12).status_code == 403
    assert grant(portal_id).refresh_token == before


def test_what_is_not_installed_has_no_start(w: World) -> None:
    for domain in (w.portal.domain, "", "evil.example.com"):
        said = requests.get(f"{w.url}/oauth/start", params={"domain": domain}, allow_redirects=False, timeout=20)
        assert said.status_code == 404


def test_a_code_of_another_portal_is_refused(w: World) -> None:
    ours, theirs = installed(w), installed(w, number=1)
    before = [grant(one).refresh_token for one in (ours, theirs)]
    code, state = answered(w, number=1)["code"], answered(w)["state"]
    with pytest.raises(NotProven):
        reauthorise.finish_authorisation(code, state, "")
    assert [grant(one).refresh_token for one in (ours, theirs)] == before


@pytest.mark.parametrize("state", ["", "x", "WzEsImxvY2FsIl0.aaaa.bbbb"])
def test_a_state_that_is_not_ours_is_refused(w: World, state: str) -> None:
    portal_id = installed(w)
    before = grant(portal_id).refresh_token
    with pytest.raises(NotProven):
        reauthorise.finish_authorisation(answered(w)["code"], state, "")
    assert grant(portal_id).refresh_token == before


def test_a_state_is_good_for_ten_minutes(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(w)
    said = answered(w)
    monkeypatch.setattr(reauthorise, "STATE_SECONDS", -1)
    with pytest.raises(NotProven):
        reauthorise.finish_authorisation(said["code"], said["state"], said["server_domain"])


def test_a_code_is_good_once_and_for_30_seconds(w: World) -> None:
    installed(w)
    said = answered(w)
    assert reauthorise.finish_authorisation(said["code"], said["state"], said["server_domain"]) == w.portal.url
    with pytest.raises(NeedsAdmin):
        reauthorise.finish_authorisation(said["code"], said["state"], said["server_domain"])
    late = answered(w)
    w.sandbox.clock.advance(timedelta(seconds=31).total_seconds())
    with pytest.raises(NeedsAdmin):
        reauthorise.finish_authorisation(late["code"], late["state"], late["server_domain"])


def test_the_secret_goes_to_the_allowed_servers_only(w: World) -> None:
    installed(w)
    said = answered(w)
    assert reauthorise.finish_authorisation(said["code"], said["state"], "evil.example.com") == w.portal.url
    assert db.session.query(Portal).count() == 1
