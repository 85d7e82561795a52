"""Whoever installed the application leaves; another administrator lets it work on their authorisation with one click.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from bx24app.models import Audit, Grant, Intent, PortalUser, db
from bx24app.portals import clients, sync
from bx24app.sandbox.bitrix.state import User
from scripts import needs
from tests.browser import every_page
from tests.support.demo_data import ALLA, DemoPortal, new_demo_portal
from tests.support.servers import CHROMIUM_MISSING
from tests.support.stack import until

pytestmark = [pytest.mark.browser, pytest.mark.skipif(needs.chromium() is None, reason=CHROMIUM_MISSING)]
SECOND = 99


def asked_jobs(room: DemoPortal) -> list[str]:
    """What is still asked for in the background."""
    with room.earth.app.app_context():
        jobs = [row.job for row in db.session.query(Intent)]
        db.session.rollback()
        return jobs


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[DemoPortal]:
    with new_demo_portal(tmp_path_factory.mktemp("takeover"), valkey_url) as made:
        made.earth.sandbox.call(
            made.earth.portal.users.__setitem__, SECOND, User(SECOND, "Вторая", "Хозяйка", admin=True)
        )
        made.connect_first_pbx()
        until(lambda: not asked_jobs(made), "the first look at the portal never ended", 60)  # it reads the users too
        with made.earth.app.app_context():
            sync.fetch_users(made.earth.portal_row()["id"])
        yield made


def owner(room: DemoPortal) -> int:
    with room.earth.app.app_context():
        found = db.session.query(Grant).one().user_id
        db.session.rollback()
        return found


def test_another_administrator_takes_over_with_one_click(room: DemoPortal, browser: Browser) -> None:
    assert owner(room) == 1
    with room.earth.app.app_context():
        db.session.get_one(PortalUser, (room.earth.portal_row()["id"], 1)).active = False
        db.session.commit()
    with every_page.visitor(room, browser, "en", user=SECOND) as (page, watch):
        frame = every_page.opened(page, room)
        expect(frame.locator("[data-testid=identity-left]")).to_contain_text("who was dismissed")
        assert every_page.unfit(frame) == []
        assert owner(room) == 1, "looking changes nothing"
        frame.locator("[data-testid=takeover]").click()
        expect(frame.locator("[data-testid=identity-left]")).to_have_count(0)
        expect(frame.locator("[data-testid=condition]")).to_contain_text("valid (Вторая Хозяйка)")
        assert watch.errors == []
    assert owner(room) == SECOND
    with room.earth.app.app_context():
        line = db.session.query(Audit).filter_by(what="took over").one()
        assert line.user_id == SECOND
        db.session.rollback()
    number = room.earth.portal_row()["id"]
    with room.earth.app.app_context():
        said = clients.client_by_id(number).call("profile").result
    assert str(said["ID"]) == str(SECOND), "the portal is asked as the new one"


def test_an_employee_cannot_take_over(room: DemoPortal, browser: Browser) -> None:
    before = owner(room)
    with every_page.visitor(room, browser, "en", user=ALLA) as (page, _):
        frame = every_page.opened(page, room)
        expect(frame.locator("[data-testid=takeover]")).to_have_count(0)
        status = frame.evaluate(
            """async () => {
                const b24 = await B24Js.initializeB24Frame();
                const auth = await b24.auth.refreshAuth();
                const body = new URLSearchParams({AUTH_ID: auth.access_token, REFRESH_ID: auth.refresh_token, member_id: auth.member_id, DOMAIN: new URL(auth.domain).host});
                return (await fetch('/frame/takeover', {method: 'POST', body})).status;
            }"""  # noqa: E501
        )
        assert status == 401
    assert owner(room) == before
