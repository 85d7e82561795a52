"""Why a page's session is not renewed: the real reason, by the portal, the authorisation server, or our own row."""

from __future__ import annotations

import requests

from bx24app.bitrix24.inbound import FramePost
from bx24app.models import PortalUser, db
from bx24app.portals import lifecycle
from bx24app.web.base import session
from bx24app.web.base.session import FrameSession
from tests.support.installations import change, installed, post_of, w
from tests.support.stack import World

__all__ = ["w"]


def renewal(w: World, portal_id: int, user_id: int = 1, **fields: str) -> requests.Response:
    header = {session.HEADER: session.issue(FrameSession(portal_id, w.portal.member_id, user_id, True, "en"))}
    return requests.post(f"{w.url}/frame/renew", data=fields, headers=header, timeout=20)


def _fields(post: FramePost, domain: str) -> dict[str, str]:
    return {"AUTH_ID": post.access_token, "member_id": post.member_id, "DOMAIN": domain, "PROTOCOL": "0"}


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
    answer = renewal(w, portal_id, **_fields(post_of(w), old))
    assert (answer.status_code, answer.headers["X-Error"]) == (401, "moved")
    assert new in answer.text


def test_a_dismissed_employee_is_told(w: World) -> None:
    portal_id = installed(w)
    db.session.merge(PortalUser(portal_id=portal_id, user_id=12, active=False, name="Left", phones=[]))
    db.session.commit()
    answer = renewal(w, portal_id, user_id=12)
    assert (answer.status_code, answer.headers["X-Error"]) == (401, "no_access")


def test_an_application_that_is_registered_nowhere_is_told(w: World) -> None:
    portal_id = installed(w)
    other = w.sandbox.call(w.sandbox.oauth.register_application, "local.other", "s", f"{w.url}/", f"{w.url}/install")
    post = post_of(w, app=other)
    answer = renewal(w, portal_id, **_fields(post, w.portal.domain))
    assert (answer.status_code, answer.headers["X-Error"]) == (401, "unknown_client")
    assert "local.other" in answer.text


def test_a_second_name_of_the_portal_is_told(w: World) -> None:
    portal_id = installed(w)
    answer = renewal(w, portal_id, **_fields(post_of(w), "intranet.example"))
    assert (answer.status_code, answer.headers["X-Error"]) == (401, "two_names")
    assert "intranet.example" in answer.text


def test_a_session_of_nobody_learns_nothing(w: World) -> None:
    installed(w)
    answer = requests.post(f"{w.url}/frame/renew", headers={session.HEADER: "forged"}, timeout=20)
    assert (answer.status_code, answer.headers["X-Error"]) == (401, "session")
