"""Which scopes are granted is read at each opening by an administrator, and once a day."""

from __future__ import annotations

from bx24app.domain.scopes import missing_scopes
from bx24app.portals import sync
from tests.support.installations import change, installed, opened, row, w
from tests.support.stack import World

__all__ = ["w"]


def missing(portal_id: int) -> tuple[str, ...]:
    return missing_scopes(row(portal_id).scopes)


def test_an_administrators_opening_reads_them(w: World) -> None:
    portal_id = installed(w)
    assert missing(portal_id) == ()
    granted = w.portal.apps[w.application.client_id].scopes
    granted.remove("im")
    opened(w, user_id=12)
    assert missing(portal_id) == (), "anybody may open the page, and post what they like"
    opened(w)
    assert missing(portal_id) == ("im",)
    granted.append("im")
    opened(w)
    assert missing(portal_id) == ()


def test_the_daily_look_keeps_them_where_the_portal_names_none(w: World) -> None:
    portal_id = installed(w)
    change(portal_id, scopes="crm telephony")
    sync.sync_portal(portal_id)
    assert missing(portal_id) == ("user", "placement", "im", "timeman")
