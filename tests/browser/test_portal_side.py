"""In headless Chromium: dismissed employees, extensions that are nobody's, the portal's outgoing line; in both
languages, widths and colours.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from bx24app.domain.settings import EmployeeSettings
from bx24app.models import Call, PortalUser, db, utcnow
from bx24app.models import Pbx as PbxRow
from bx24app.portals import outgoing_line
from scripts import needs
from tests.browser.test_journal import DOCUMENT, frame_of, office, page, shot
from tests.support.servers import CHROMIUM_MISSING
from tests.support.stack import World

__all__ = ["office", "page"]
pytestmark = [pytest.mark.browser, pytest.mark.skipif(needs.chromium() is None, reason=CHROMIUM_MISSING)]


ANOTHER, OTHER = 8, 12


def trouble(office: World) -> None:
    """The employee of 101 is dismissed (the viewer has the extension no more), another one's inner number is a
    client's, two extensions are nobody's.
    """
    portal_id = office.portal_row()["id"]
    moscow = DOCUMENT.pbxs[0].model_copy(update={"employees": (EmployeeSettings(extension="101", user_id=ANOTHER),)})
    office.connect(DOCUMENT.model_copy(update={"pbxs": (moscow, *DOCUMENT.pbxs[1:])}), {})
    office.portal.outgoing_line = "reg77"
    with office.app.app_context():
        outgoing_line.fetch(portal_id)
        people = db.session.scalars(db.select(PortalUser).order_by(PortalUser.user_id)).all()
        gone, other = (next(one for one in people if one.user_id == number) for number in (ANOTHER, OTHER))
        gone.active, other.inner_number = False, "79161000000"
        pbx = db.session.scalars(db.select(PbxRow).where(PbxRow.key == "moscow")).one()
        if not db.session.query(Call).filter(Call.unmapped.is_not(None)).count():
            for number, names in enumerate(("103", "103,104")):
                at = utcnow() - timedelta(days=2)
                db.session.add(
                    Call(
                        portal_id=portal_id,
                        pbx_id=pbx.id,
                        pbx_key="moscow",
                        entry_id=f"nobody-{number}",
                        started_at=at,
                        unmapped=names,
                    )
                )
        db.session.commit()


def test_what_the_portal_has_to_mend_is_shown(office: World, page: Page) -> None:
    app, lang = frame_of(page), office.portal.lang
    trouble(office)
    app.get_by_test_id("tab-policy").click()
    section = app.get_by_test_id("portal-outgoing")
    expect(section).to_have_attribute("data-state", "other")
    expect(app.get_by_test_id("collisions")).to_be_visible()
    shot(page, f"policy-{lang}")
    office.portal.outgoing_line = ""
    app.locator("[name=min_seconds]").fill("17")
    app.get_by_test_id("outgoing-again").click()
    expect(section).to_have_attribute("data-state", "none")
    expect(app.locator("[name=min_seconds]")).to_have_value("17")
    app.get_by_test_id("discard").click()
    expect(app.locator("[name=min_seconds]")).to_have_value("0")
    app.get_by_test_id("tab-home").click()
    expect(app.get_by_test_id("dismissed")).to_be_visible()
    shot(page, f"home-dismissed-{lang}")
    app.get_by_test_id("dismissed").locator("a").last.click()
    expect(app.get_by_test_id("row-101")).to_be_visible(timeout=30_000)
    expect(app.get_by_test_id("lost")).to_be_visible()
    app.get_by_test_id("find-103").click()
    expect(app.get_by_test_id("row-103")).to_be_visible(timeout=30_000)
    expect(app.get_by_test_id("row-103").locator("[data-pick]")).to_be_visible()
    shot(page, f"employees-{lang}")
