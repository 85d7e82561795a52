"""`make screenshots`: a picture of every page, in both languages and both colour schemes, and of a telephone's width.
To be looked at, one by one.

Usage: python -m tests.browser.screenshots [FOLDER]      (var/screenshots)

Pictures that the guides show are named in `GUIDES`; they are written to docs/images/ too, with few colours, so that
they stay small. Those of
the catalogue's card are made by `tests.browser.listing`.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from scripts import needs
from tests.browser import every_page
from tests.browser.conftest import FLAGS
from tests.browser.every_page import OUTSIDE, STOPS
from tests.browser.listing import listing
from tests.support.browser_walk import ROOT
from tests.support.demo_data import ALLA, DemoPortal, demo_portal, new_demo_portal
from tests.support.servers import valkey

GUIDES = ("calls", "call", "checklist", "lines", "pbx-new", "rules-tried", "statistics", "suggestions", "waiting")
TALLEST = 1000
"""Pixels of a picture in a guide; the rest of a long list says nothing more."""
IMAGES = ROOT / "docs" / "images"


class Album:
    """Pictures of one walk; each is written once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []

    def take(self, page: Page, name: str, lang: str, look: str) -> None:
        """`look`: light, dark, or narrow."""
        file = f"{name}-{lang}-{look}.png"
        page.wait_for_timeout(150)  # the frame takes its content's height
        page.screenshot(path=self.folder / file, full_page=True)
        self.names.append(file)
        if name in GUIDES and look == "light":
            _small(self.folder / file, IMAGES / f"{name}-{lang}.png")

    def index(self) -> None:
        """A page with all of them."""
        rows = "".join(
            f'<figure><img src="{name}" width="420"><figcaption>{name}</figcaption></figure>\n' for name in self.names
        )
        (self.folder / "index.html").write_text(
            f"<!doctype html><meta charset=utf-8><title>Screenshots</title>{rows}", "utf-8"
        )


def _small(source: Path, target: Path) -> None:
    from PIL import Image

    with Image.open(source) as picture:
        picture.convert("RGB").crop((0, 0, picture.width, min(picture.height, TALLEST))).quantize(64).save(
            target, optimize=True
        )


def administrator(room: DemoPortal, browser: Browser, album: Album, lang: str) -> None:
    with every_page.visitor(room, browser, lang) as (page, _):
        frame = every_page.opened(page, room)
        for stop in STOPS:
            every_page.go(frame, stop, room.known)
            for look in ("light", "dark"):
                page.emulate_media(color_scheme=look)  # type: ignore[arg-type]
                album.take(page, stop.name, lang, look)
            page.emulate_media(color_scheme="light")
    with every_page.visitor(room, browser, lang, width=375) as (page, _):
        frame = every_page.opened(page, room)
        for stop in STOPS:
            every_page.go(frame, stop, room.known)
            album.take(page, stop.name, lang, "narrow")


def others(room: DemoPortal, browser: Browser, album: Album, lang: str) -> None:
    """Tabs in the portal's pages, an employee's own page, pages without a portal."""
    for look in ("light", "dark"):
        with every_page.visitor(room, browser, lang) as (page, _):
            page.emulate_media(color_scheme=look)  # type: ignore[arg-type]
            for name in ("contact", "deal"):
                every_page.tab(page, room, f"/crm/{name}/details/{room.known[name]}/")
                album.take(page, f"tab-{name}", lang, look)
            every_page.tab(page, room, "/telephony/")
            album.take(page, "telephony", lang, look)
            for endpoint, path in OUTSIDE.items():
                page.goto(f"{room.earth.url}{path}")
                album.take(page, endpoint.partition(".")[2], lang, look)
        with every_page.visitor(room, browser, lang, user=ALLA) as (page, _):
            page.emulate_media(color_scheme=look)  # type: ignore[arg-type]
            every_page.opened(page, room)
            album.take(page, "employee", lang, look)


def first_minutes(room: DemoPortal, browser: Browser, album: Album) -> None:
    """The checklist before anything is connected, empty pages, and a PBX that has said nothing yet."""
    empty = ("overview", "calls", "pbxs", "rules", "statistics", "history")
    for lang in ("ru", "en"):
        with every_page.visitor(room, browser, lang) as (page, _):
            frame = every_page.opened(page, room)
            for stop in STOPS:
                if stop.name in empty:
                    frame.evaluate("(path) => htmx.ajax('GET', path, {target: '#app'})", stop.address({}))
                    page.wait_for_timeout(600)
                    both(page, album, f"empty-{stop.name}", lang)
    room.connect_first_pbx()
    for lang in ("ru", "en"):
        with every_page.visitor(room, browser, lang) as (page, _):
            frame = every_page.opened(page, room)
            for path, name in (
                ("/frame/pbxs/moscow", "waiting"),
                ("/frame/pbxs/moscow/employees", "suggestions"),
                ("/frame", "checklist"),
            ):
                frame.evaluate("(path) => htmx.ajax('GET', path, {target: '#app'})", path)
                page.wait_for_timeout(600)
                both(page, album, name, lang)


def both(page: Page, album: Album, name: str, lang: str) -> None:
    for look in ("light", "dark"):
        page.emulate_media(color_scheme=look)  # type: ignore[arg-type]
        album.take(page, name, lang, look)
    page.emulate_media(color_scheme="light")


def card(room: DemoPortal, browser: Browser, album: Album) -> None:
    """Our tab in the card of a call that is going on."""
    room.ring()
    for lang in ("ru", "en"):
        with every_page.visitor(room, browser, lang, user=ALLA) as (page, _):
            page.goto(f"{room.earth.portal.url}/crm/contact/details/{room.known['contact']}/")
            page.locator("#cards .callcard nav button").nth(1).click()
            app = page.frame_locator("#cards iframe")
            app.locator("html[data-ready]").wait_for(state="attached")
            both(page, album, "call-card", lang)


def refused(room: DemoPortal, browser: Browser, album: Album) -> None:
    """What somebody sees whom the portal does not vouch for."""
    for lang in ("ru", "en"):
        with every_page.visitor(room, browser, lang) as (page, _):
            page.route(
                f"{room.earth.url}/**",
                lambda route: (
                    route.continue_(post_data="AUTH_ID=forged") if route.request.method == "POST" else route.continue_()
                ),
            )
            page.goto(f"{room.earth.portal.url}/")
            page.get_by_role("link", name="Open", exact=True).click()
            page.frame_locator("#app iframe").locator("h1").wait_for()
            both(page, album, "refused", lang)


def _server(place: str, name: str) -> AbstractContextManager[str]:
    home = Path(place) / f"{name}-valkey"
    home.mkdir()
    return valkey(home)


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "var" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    IMAGES.mkdir(exist_ok=True)
    album = Album(folder)
    with (
        tempfile.TemporaryDirectory() as place,
        valkey(Path(place)) as url,
        demo_portal(Path(place) / "room", url) as room,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=needs.chromium(), args=FLAGS)
        for lang in ("ru", "en"):
            administrator(room, browser, album, lang)
            others(room, browser, album, lang)
        refused(room, browser, album)
        card(room, browser, album)
        # Each database has a Redis of its own: the workers of one would take the jobs of another.
        with _server(place, "listing") as other, demo_portal(Path(place) / "listing", other) as own:
            listing(own, browser)
        with _server(place, "beginning") as other, new_demo_portal(Path(place) / "beginning", other) as fresh:
            first_minutes(fresh, browser, album)
        browser.close()
    album.index()
    print(f"{len(album.names)} pictures in {folder}; those of the guides in {IMAGES.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
