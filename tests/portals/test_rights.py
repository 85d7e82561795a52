"""Somebody is an administrator of the portal no more: what their open page may still do, and for how long. Over real
HTTP.
"""

from __future__ import annotations

from urllib.parse import urlencode

from bx24app.bitrix24.inbound import FramePost
from bx24app.infra.runtime import runtime
from bx24app.portals.frame_auth import ADMIN_CACHE_SECONDS
from bx24app.web.base import session
from tests.support.installations import installed, post_of, w
from tests.support.stack import World

__all__ = ["w"]
ANNA = 2


def renewed(w: World, post: FramePost) -> session.FrameSession:
    """What the page gets for a fresh token of its viewer."""
    form = {
        "AUTH_ID": post.access_token,
        "AUTH_EXPIRES": "3600",
        "member_id": post.member_id,
        "DOMAIN": post.domain,
        "LANG": "ru",
    }
    said = w.app.test_client().post(
        "/frame/renew", data=urlencode(form), content_type="application/x-www-form-urlencoded"
    )
    assert said.status_code == 200, said.text
    return session.read(said.get_json()["session"])


def test_a_lost_right_is_lost_with_the_next_renewal(w: World) -> None:
    w.sandbox.call(w.add_users, [ANNA])
    w.portal.users[ANNA].admin = True
    installed(w)
    assert renewed(w, post_of(w, ANNA)).is_admin
    remembered = f"admin:{w.portal.member_id}:{ANNA}"
    assert 0 < runtime().redis.ttl(remembered) <= ADMIN_CACHE_SECONDS
    w.portal.users[ANNA].admin = False
    runtime().redis.delete(remembered)  # its time is over
    asked = w.portal.hits
    found = renewed(w, post_of(w, ANNA))
    assert (found.user_id, found.is_admin) == (ANNA, False)
    assert w.portal.hits == asked + 1, "one request of the portal's budget"
    claim = {session.HEADER: session.issue(found)}
    assert w.app.test_client().get("/frame/policy", headers=claim).status_code == 403


def test_many_renewals_cost_the_portal_one_request(w: World) -> None:
    installed(w)
    renewed(w, post_of(w))
    asked = w.portal.hits
    for _ in range(5):
        assert renewed(w, post_of(w)).is_admin
    assert w.portal.hits == asked
