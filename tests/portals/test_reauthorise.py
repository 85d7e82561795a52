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
from bx24app.web.base import session
from tests.support.installations import change, grant, installed, row, w
from tests.support.stack import World

__all__ = ["w"]


def walked(w: World, user_id: int = 1, number: int = 0, begun_by: int | None = None) -> requests.Response:
    """From the page of `begun_by` (the same user) over the portal's own page and back, by redirects."""
    portal = w.sandbox.portals[number]
    start = w.start_authorisation(begun_by or user_id, number)
    assert start.status_code == 302
    assert start.headers["Location"].startswith(f"{portal.url}/oauth/authorize/?")
    return requests.get(f"{start.headers['Location']}&sandbox_user={user_id}", timeout=20)


def answered(w: World, user_id: int = 1, number: int = 0, begun_by: int | None = None) -> dict[str, str]:
    """What the portal sends back to us, before we see it."""
    portal_id = w.portal_row(number)["id"]
    address = reauthorise.start_authorisation(portal_id, begun_by or user_id)
    page = requests.get(f"{address}&sandbox_user={user_id}", allow_redirects=False, timeout=20)
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


def test_a_link_of_somebody_else_changes_nothing(w: World) -> None:
    """Whoever follows a link begun by another stays out, administrator or not: t30 of the attacks made user 77 the
    background identity by one.
    """
    portal_id = installed(w)
    w.portal.add_user(77, "Other", admin=True)
    before = grant(portal_id)
    for begun_by in (1, 12, 999):
        assert walked(w, user_id=77, begun_by=begun_by).status_code == 403
    assert walked(w, user_id=1, begun_by=77).status_code == 403
    assert (grant(portal_id).user_id, grant(portal_id).refresh_token) == (before.user_id, before.refresh_token)
    assert walked(w, user_id=77).status_code == 200
    assert grant(portal_id).user_id == 77


def test_strangers_learn_nothing_from_the_start(w: World) -> None:
    """Installed, not installed, nothing asked, a forged or another portal's ticket: the same answer."""
    installed(w)
    answers = {}
    tried = [{"domain": w.portal.domain}, {"domain": w.sandbox.portals[1].domain}, {}, {"ticket": "x.y.z"}]
    for params in tried:
        answer = requests.get(f"{w.url}/oauth/start", params=params, allow_redirects=False, timeout=20)
        headers = {name: value for name, value in answer.headers.items() if name != "Date"}
        answers[answer.status_code, answer.text, str(headers)] = params
    assert len(answers) == 1, answers
    assert {status for status, _, _ in answers} == {404}


def test_only_an_administrators_page_begins(w: World) -> None:
    portal_id = installed(w)
    for admin, status in ((True, 200), (False, 403)):
        claim = session.issue(session.FrameSession(portal_id, w.portal.member_id, 12, admin))
        answer = requests.post(f"{w.url}/frame/authorise", headers={session.HEADER: claim}, timeout=20)
        assert answer.status_code == status
    assert requests.post(f"{w.url}/frame/authorise", timeout=20).status_code == 401


def test_a_portal_that_removed_us_has_no_start(w: World) -> None:
    portal_id = installed(w)
    ticket = session.issue_ticket(session.Ticket(portal_id, 1, "authorise", 0))
    change(portal_id, state="removed")
    answer = requests.get(f"{w.url}/oauth/start", params={"ticket": ticket}, allow_redirects=False, timeout=20)
    assert answer.status_code == 404


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
