"""An app whose installer was dismissed goes on as a system user; notices go to people."""

from __future__ import annotations

from sqlalchemy import update

from bx24app.bitrix24 import errors
from bx24app.models import Grant, PortalUser, db
from bx24app.operations.alerts import monitor
from bx24app.portals import lifecycle, sync
from tests.support.installations import installed, w
from tests.support.stack import World

__all__ = ["w"]


def _handed_over(w: World) -> int:
    """The portal's id, after its installer (user 1) was dismissed with preserved integrations."""
    w.portal.users[12].admin = True
    portal_id = installed(w)
    assert w.open(12).status_code == 200
    w.portal.apps[w.application.client_id].status = "P"  # an application of the Market
    clone = w.sandbox.call(w.portal.transfer_integrations, 1)
    db.session.execute(update(Grant).values(user_id=clone.id))  # as an ONAPPUPDATE with the clone's token stores it
    db.session.commit()
    w.sandbox.call(w.portal.notifications.clear)
    return portal_id


def _recipients(w: World) -> list[int]:
    return [notice.user_id for notice in w.sandbox.call(list, w.portal.notifications.values())]


def test_the_app_works_on_and_notices_reach_the_last_administrator(w: World) -> None:
    portal_id = _handed_over(w)
    assert sync.sync_portal(portal_id) is None, "the clone's token is good"
    lifecycle.mark_needs_admin(portal_id, errors.NeedsAdmin("rights", "of lines"))
    monitor.check_all()
    assert _recipients(w) == [12]
    assert w.portal.violations == []


def test_a_dismissed_administrator_is_not_told(w: World) -> None:
    portal_id = _handed_over(w)
    sync.sync_portal(portal_id)
    db.session.execute(update(PortalUser).where(PortalUser.user_id == 12).values(active=False))
    db.session.commit()
    lifecycle.mark_needs_admin(portal_id, errors.NeedsAdmin("rights", "of lines"))
    monitor.check_all()
    assert _recipients(w) == []
    assert w.portal.violations == []
