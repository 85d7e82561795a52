"""Pictures for the catalogue's card: 1280 x 720, the application open within the portal. Part of `make screenshots`;
alone:

python -m tests.browser.listing      writes docs/marketplace/

The catalogue takes at most 1280 x 720 pixels, and an icon of 250 to 650 without transparency (official page
"Requirements for formatting").
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from scripts import needs
from tests.browser import every_page
from tests.browser.conftest import FLAGS
from tests.browser.every_page import STOPS
from tests.support.browser_walk import ROOT
from tests.support.demo_data import ALLA, DemoPortal, demo_portal
from tests.support.servers import valkey

FOLDER = ROOT / "docs" / "marketplace"
SIZE = (1280, 720)
ICON = 512
FRAMES = {
    "03-calls": "calls",
    "04-call": "call",
    "05-statistics": "statistics",
    "06-rules": "rules-tried",
    "07-employees": "employees",
}
"""Picture -> the stop of `every_page` that it shows."""
NAMES = ("01-call-card", "02-tab", *FRAMES)
LANGS = ("ru", "en")


def listing(room: DemoPortal, browser: Browser, folder: Path = FOLDER) -> list[str]:
    """Write all of them; returns their names."""
    written = []
    for lang in LANGS:
        with every_page.visitor(room, browser, lang) as (page, _):
            page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
            frame = every_page.opened(page, room)
            for name, stop in FRAMES.items():
                every_page.go(frame, next(one for one in STOPS if one.name == stop), room.known)
                if stop == "rules-tried":
                    frame.locator("[data-testid=trial-numbers]").evaluate("(it) => it.scrollIntoView({block: 'start'})")
                else:
                    page.evaluate("window.scrollTo(0, 0)")
                written.append(_take(page, folder / f"{name}-{lang}.png"))
            every_page.tab(page, room, f"/crm/contact/details/{room.known['contact']}/")
            written.append(_take(page, folder / f"02-tab-{lang}.png"))
    room.ring()  # the last: a ringing call lies over every page of the portal
    for lang in LANGS:
        with every_page.visitor(room, browser, lang, user=ALLA) as (page, _):
            page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
            page.goto(f"{room.earth.portal.url}/crm/contact/details/{room.known['contact']}/")
            page.locator("#cards .callcard nav button").nth(1).click()
            page.frame_locator("#cards iframe").locator("html[data-ready]").wait_for(state="attached")
            written.append(_take(page, folder / f"01-call-card-{lang}.png"))
    written.append(_icon(browser, folder))
    return written


def _take(page: Page, target: Path) -> str:
    page.wait_for_timeout(400)  # the frame takes its content's height
    return _keep(page.screenshot(), target)


def _icon(browser: Browser, folder: Path) -> str:
    """The square of the icon up to its corners: the catalogue rounds them by itself and takes no transparency."""
    drawing = (ROOT / "static" / "img" / "icon.svg").read_text("utf-8").replace(' rx="8"', "")
    page = browser.new_page(viewport={"width": ICON, "height": ICON})
    page.set_content(f"<style>body {{ margin: 0 }} svg {{ display: block; width: {ICON}px }}</style>{drawing}")
    found = _keep(page.screenshot(), folder / "icon.png")
    page.close()
    return found


def _keep(content: bytes, target: Path) -> str:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        picture.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE).save(target, optimize=True)
    return target.name


def main() -> int:
    with (
        tempfile.TemporaryDirectory() as place,
        valkey(Path(place)) as url,
        demo_portal(Path(place) / "room", url) as room,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=needs.chromium(), args=FLAGS)
        names = listing(room, browser)
        browser.close()
    print(f"{len(names)} pictures in {FOLDER.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
