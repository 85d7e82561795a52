"""The demo as a new user walks through it, in headless Chromium by mouse and keyboard: from the portal's page to the
recording.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from scripts import needs
from tests.support.browser_walk import Watch, connect, no_wider_than_the_window, picture
from tests.support.servers import CHROMIUM_MISSING

pytestmark = [pytest.mark.browser, pytest.mark.skipif(needs.chromium() is None, reason=CHROMIUM_MISSING)]


def test_from_the_portal_to_the_recording(demo: dict[str, str], browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(30_000)
    page, pbx = context.new_page(), context.new_page()
    watch = Watch(page, demo["port"])

    page.goto(demo["portal-port"])
    page.get_by_role("link", name="Open", exact=True).click()
    page.wait_for_url("**install_finished=Y")
    app = page.frame_locator("#app iframe")
    expect(app.get_by_test_id("checklist")).to_be_visible()

    pbx.goto(demo["pbx-port"])
    key, salt = pbx.locator("#key").input_value(), pbx.locator("#salt").input_value()
    hook = connect(app, key, salt)
    no_wider_than_the_window(page)
    picture(page, "demo-settings")

    pbx.locator("#hook").fill(hook)
    pbx.get_by_role("button", name="Save").click()
    pbx.locator("#check").click()
    expect(pbx.locator("#checked")).not_to_be_empty()
    pbx.locator("button[data-scenario]", has_text=re.compile(r"Incoming call")).first.click()

    card = page.locator("#cards > *").first
    expect(card).to_be_visible()
    picture(page, "demo-card")
    expect(app.get_by_test_id("pulse")).to_have_attribute("data-state", "good")
    expect(page.locator("#cards > *")).to_have_count(0, timeout=90_000)

    page.goto(f"{demo['portal-port']}/crm/lead/list/")
    page.locator("a.tile, #rows td a").first.click()
    audio = page.locator("audio").first
    audio.wait_for(state="attached", timeout=90_000)
    page.evaluate("() => { const a = document.querySelector('audio'); a.muted = true; return a.play(); }")
    expect(audio).not_to_have_js_property("currentTime", 0)
    assert page.evaluate("document.querySelector('audio').duration") > 1

    assert not watch.errors, watch.errors
    assert watch.saves
    assert watch.without_session() == []
    context.close()


def test_a_narrow_screen_has_no_scrollbar(demo: dict[str, str], browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 375, "height": 800})
    page = context.new_page()
    page.goto(demo["portal-port"])
    page.goto(f"{demo['portal-port']}/")
    page.get_by_role("link", name="Open", exact=True).click()
    expect(page.frame_locator("#app iframe").locator("body")).to_be_visible()
    page.wait_for_timeout(1500)
    no_wider_than_the_window(page)
    context.close()
