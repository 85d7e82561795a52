"""In headless Chromium: after a wrong key the form keeps what was typed and counts down until the next check."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from bx24app.infra.runtime import runtime
from scripts import needs
from tests.browser import every_page
from tests.support.browser_walk import picture
from tests.support.demo_data import DemoPortal, demo_portal
from tests.support.servers import CHROMIUM_MISSING

pytestmark = [pytest.mark.browser, pytest.mark.skipif(needs.chromium() is None, reason=CHROMIUM_MISSING)]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[DemoPortal]:
    with demo_portal(tmp_path_factory.mktemp("wrong-keys"), valkey_url) as made:
        yield made


@pytest.mark.parametrize("lang", ["ru", "en"])
def test_a_wrong_key_is_tried_again_in_two_minutes(room: DemoPortal, browser: Browser, lang: str) -> None:
    with room.earth.app.app_context():
        for key in runtime().queue_redis.keys("*key_tries*"):
            runtime().queue_redis.delete(key)
    with every_page.visitor(room, browser, lang) as (page, watch):
        frame = every_page.opened(page, room)
        frame.evaluate("htmx.ajax('GET', '/frame/pbxs/new', {target: '#app'})")
        frame.locator("[name=name]").fill("Тверь")
        frame.locator("[name=api_key]").fill("w" * 32)
        frame.locator("[name=api_salt]").fill("v" * 32)
        for _ in range(2):
            frame.get_by_test_id("connect").click()
            clock = frame.get_by_test_id("key-wait").locator("[data-clock]")
            expect(clock).to_contain_text("1:")
        expect(frame.locator("[name=api_key]")).to_have_value("w" * 32)
        expect(frame.locator("[name=api_salt]")).to_have_value("v" * 32)
        first = clock.inner_text()
        expect(clock).not_to_have_text(first)
        for width in (1280, 375):
            page.set_viewport_size({"width": width, "height": 860})
            picture(page, f"wrong-keys-{lang}-{width}")
            assert every_page.unfit(frame) == [], width
            assert every_page.sideways(page) == []
        last_second = "(line) => { line.dataset.countdown = '1'; htmx.trigger(line.closest('form'), 'htmx:load'); }"
        frame.get_by_test_id("key-wait").evaluate(last_second)
        expect(frame.get_by_test_id("key-wait").locator("[data-clock]")).to_have_count(0)
        assert watch.errors == []
