"""The demo as a new user walks through it, in headless Chromium by mouse and keyboard: from the portal's page to the recording."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, Request, expect, sync_playwright

from scripts import needs
from tests.servers import CHROMIUM_MISSING, free_port

ROOT = Path(__file__).parent.parent.parent
FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]
pytestmark = [pytest.mark.browser, pytest.mark.skipif(needs.chromium() is None, reason=CHROMIUM_MISSING)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """`bx24app demo` on free ports; its addresses."""
    ports = {name: free_port() for name in ("port", "portal-port", "pbx-port", "oauth-port")}
    arguments = [word for name, port in ports.items() for word in (f"--{name}", str(port))]
    environ = {**os.environ, "BX24APP_DATA_DIR": str(tmp_path_factory.mktemp("demo"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "bx24app.cli", "demo", *arguments],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "bx24app ready on" in line:
            break
    assert "bx24app ready on" in said, said
    try:
        yield {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
        process.stdout.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=needs.chromium(), args=FLAGS)
        yield browser
        browser.close()


class Watch:
    """What must not happen on the way: console errors, failed requests, saves without a session of this frame."""

    def __init__(self, page: Page, app: str) -> None:
        self.errors: list[str] = []
        self.saves: list[Request] = []
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "response",
            lambda answer: self.errors.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
        )
        page.on(
            "request",
            lambda request: (
                self.saves.append(request)
                if request.method == "POST" and request.url.startswith(f"{app}/frame/")
                else None
            ),
        )


def no_wider_than_the_window(page: Page) -> None:
    for frame in page.frames:
        wide = frame.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, (frame.url, wide)


def picture(page: Page, name: str) -> None:
    """Kept for the README where the operator asks for it."""
    if os.environ.get("BX24APP_SCREENSHOTS"):
        page.screenshot(path=ROOT / "docs" / "images" / f"{name}.png")


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
    hook = connect(page, app, key, salt)
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
    page.wait_for_function("() => document.querySelector('audio').currentTime > 0.3")
    assert page.evaluate("document.querySelector('audio').duration") > 1

    assert not watch.errors, watch.errors
    assert watch.saves
    assert all(request.headers.get("x-frame-session") for request in watch.saves)
    context.close()


def connect(page: Page, app: FrameLocator, key: str, salt: str) -> str:
    """Add the PBX by keyboard; returns the hook address that the page shows."""
    app.get_by_test_id("step-pbx").or_(app.get_by_test_id("tab-pbxs")).first.click()
    app.get_by_test_id("add-pbx").first.click()
    app.locator("[name=name]").fill("Москва")
    app.locator("[name=api_key]").fill(key)
    app.locator("[name=api_salt]").fill(salt)
    app.locator("[name=api_salt]").press("Enter")
    expect(app.get_by_test_id("connected")).to_be_visible()
    expect(app.get_by_test_id("pulse")).to_have_attribute("data-state", "waiting")
    field = app.get_by_test_id("hook-address")
    return field.input_value() if field.evaluate("e => 'value' in e") else field.inner_text().strip()


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
