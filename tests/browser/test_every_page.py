"""Every page of the frame in headless Chromium, as an administrator sees it: both languages, wide and narrow. A new
page without a row here fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from scripts import needs
from tests.browser import every_page
from tests.browser.every_page import OUTSIDE, PARTS, STOPS
from tests.support.demo_data import DemoPortal, demo_portal
from tests.support.servers import CHROMIUM_MISSING

pytestmark = [pytest.mark.browser, pytest.mark.skipif(needs.chromium() is None, reason=CHROMIUM_MISSING)]
MOST_BYTES = 150 * 1024


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[DemoPortal]:
    with demo_portal(tmp_path_factory.mktemp("every"), valkey_url) as made:
        yield made


def test_every_page_is_walked(room: DemoPortal) -> None:
    pages = {rule.endpoint for rule in room.earth.app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    assert pages == {stop.endpoint for stop in STOPS} | PARTS | OUTSIDE.keys()


@pytest.mark.parametrize("lang", ["ru", "en"])
@pytest.mark.parametrize("width", [1280, 375])
def test_nothing_is_wrong_on_any_page(room: DemoPortal, browser: Browser, lang: str, width: int) -> None:
    """No console error, no failed request, no sideways scrolling, nothing that axe finds, every control by keyboard,
    both colour schemes.
    """
    faults: dict[str, Any] = {}
    with every_page.visitor(room, browser, lang, width=width) as (page, watch):
        frame = every_page.opened(page, room)
        for stop in STOPS:
            every_page.go(frame, stop, room.known)
            found: list[Any] = [every_page.sideways(page), every_page.unreachable(frame)]
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                found.append(every_page.unfit(frame))
            page.emulate_media(color_scheme="light")
            read = every_page.words(frame)
            if lang == "ru":
                found.append(re.findall(r"\b(?:Save|Cancel|Yesterday|Today|Employee|Recording|Line|Call)\b", read))
            assert len(read) > 20, stop.name
            if any(found):
                faults[stop.name] = found
        assert faults == {}
        assert watch.errors == []
        assert watch.saves, "no page of the walk saves or tries anything"
        assert watch.without_session() == []


@pytest.mark.parametrize("lang", ["ru", "en"])
def test_pages_outside_of_a_portal(room: DemoPortal, browser: Browser, lang: str) -> None:
    with every_page.visitor(room, browser, lang, width=375) as (page, watch):
        for path in OUTSIDE.values():
            page.goto(f"{room.earth.url}{path}")
            assert every_page.sideways(page) == []
            assert every_page.unfit(page.main_frame) == []
            assert page.locator("h1").count() == 1
            assert page.evaluate("document.documentElement.lang") == lang
        assert watch.errors == []


def test_no_page_needs_more_than_its_share_of_scripts_and_styles(room: DemoPortal, browser: Browser) -> None:
    """Compressed, the portal's SDK aside, which is loaded once for all."""
    sizes: dict[str, int] = {}
    with every_page.visitor(room, browser, "ru") as (page, _):

        def arrived(answer: Any) -> None:
            if "/assets/" in answer.url and re.search(r"\.(js|css)$", answer.url) and "b24jssdk" not in answer.url:
                sizes[answer.url] = int(answer.headers.get("content-length") or 10**9)
                assert answer.headers.get("content-encoding"), answer.url

        page.on("response", arrived)
        frame = every_page.opened(page, room)
        for stop in STOPS:
            every_page.go(frame, stop, room.known)
    assert len(sizes) > 8
    assert sum(sizes.values()) <= MOST_BYTES, sizes
