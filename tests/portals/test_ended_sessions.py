"""Why a page's session is not renewed: the real reason, by the portal, the authorisation server, or our own row."""

from __future__ import annotations

import requests

from bx24app.portals import lifecycle
from bx24app.web.base import session
from bx24app.web.base.session import FrameSession
from tests.support.installations import change, installed, post_of, w
from tests.support.stack import World

__all__ = ["w"]


def renewal(w: World, portal_id: int, user_id: int = 1, **fields: str) -> requests.Response:
    header = {session.HEADER: session.issue(FrameSession(portal_id, w.portal.member_id, user_id, True, "en"))}
    return requests.post(f"{w.url}/frame/renew", data=fields, headers=header, timeout=20)


def test_a_removed_application_is_told(w: World) -> None:
    portal_id = installed(w)
    portal = lifecycle.find_by_member(w.portal.member_id)
    assert portal is not None
    lifecycle.remove(portal, clean=False)
    change(portal_id, domain=w.portal.domain)
    answer = renewal(w, portal_id)
    assert (answer.status_code, answer.headers["X-Error"]) == (401, "removed")
    assert "The application was removed" in answer.text


def test_a_portal_that_gives_no_token_and_refuses_us_is_told(w: World) -> None:
    portal_id = installed(w)
    change(portal_id, state="needs_admin", state_before="active", trouble="tariff")
    answer = renewal(w, portal_id)
    assert (answer.status_code, answer.headers["X-Error"]) == (401, "portal_refuses")
    assert "REST is not available" in answer.text


def test_the_new_address_of_a_portal_is_told(w: World) -> None:
    portal_id, old = installed(w), w.portal.domain
    new = w.sandbox.move_portal(w.portal)
    post = post_of(w)
    fields = {"AUTH_ID": post.access_token, "member_id": post.member_id, "DOMAIN": old, "PROTOCOL": "0"}
    answer = renewal(w, portal_id, **fields)
    assert (answer.status_code, answer.headers["X-Error"]) == (401, "moved")
    assert new in answer.text


def test_a_session_of_nobody_learns_nothing(w: World) -> None:
    installed(w)
    answer = requests.post(f"{w.url}/frame/renew", headers={session.HEADER: "forged"}, timeout=20)
    assert (answer.status_code, answer.headers["X-Error"]) == (401, "session")
