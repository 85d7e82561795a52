"""`make screenshots`: a picture of every page, in both languages and both colour schemes, and of a telephone's width. To be looked at, one by one.

Usage: python -m tests.browser.screenshots [FOLDER]      (var/screenshots)

Pictures that the guides show are named in `GUIDES`; they are written to docs/images/ too, with few colours, so that they stay small.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from scripts import needs
from tests.browser import every_page
from tests.browser.conftest import FLAGS
from tests.browser.every_page import OUTSIDE, STOPS
from tests.browser.showroom import ALLA, Showroom, showroom
from tests.browser.walking import ROOT
from tests.servers import valkey

GUIDES = ("overview", "pbx-new", "pbx", "lines", "employees", "rules", "rules-tried", "calls", "call", "statistics", "history", "tab-contact")
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
        rows = "".join(f'<figure><img src="{name}" width="420"><figcaption>{name}</figcaption></figure>\n' for name in self.names)
        (self.folder / "index.html").write_text(f"<!doctype html><meta charset=utf-8><title>Screenshots</title>{rows}", "utf-8")


def _small(source: Path, target: Path) -> None:
    from PIL import Image

    with Image.open(source) as picture:
        picture.convert("RGB").quantize(64).save(target, optimize=True)


def administrator(room: Showroom, browser: Browser, album: Album, lang: str) -> None:
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


def others(room: Showroom, browser: Browser, album: Album, lang: str) -> None:
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


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "var" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    IMAGES.mkdir(exist_ok=True)
    album = Album(folder)
    with (
        tempfile.TemporaryDirectory() as place,
        valkey(Path(place)) as url,
        showroom(Path(place) / "room", url) as room,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=needs.chromium(), args=FLAGS)
        for lang in ("ru", "en"):
            administrator(room, browser, album, lang)
            others(room, browser, album, lang)
        browser.close()
    album.index()
    print(f"{len(album.names)} pictures in {folder}; those of the guides in {IMAGES.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
