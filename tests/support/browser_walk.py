"""Helpers of browser tests: collect errors of a page, check its layout and accessibility, connect a PBX.

A test creates a `Watch` before it opens the first page and checks `errors` and `without_session()` at its end.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from playwright.sync_api import FrameLocator, Page, Request, expect

ROOT = Path(__file__).parents[2]


class Watch:
    """Collects console errors, failed requests and the sent forms of a page."""

    def __init__(self, page: Page, app: str) -> None:
        self.errors: list[str] = []
        self.saves: list[Request] = []
        self.sessions: set[str] = set()
        """Sessions that the app issued for this frame, when it was opened or renewed."""
        page.on("console", lambda message: self._record_error(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "response",
            lambda answer: self.errors.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
        )
        page.on(
            "requestfinished", lambda request: self._record_session(request) if request.url.startswith(app) else None
        )
        page.on(
            "request",
            lambda request: (
                self.saves.append(request)
                if request.method == "POST" and request.url.startswith(f"{app}/frame/")
                else None
            ),
        )

    def _record_session(self, request: Request) -> None:
        """The page's HTML contains the first session; `renew` returns the next one."""
        answer = request.response() if request.method == "POST" else None
        if answer is None or answer.status != 200:
            return
        if request.url.endswith("/frame/renew"):
            self.sessions.add(answer.json()["session"])
        elif match := re.search(r'data-session="([^"]+)"', answer.text() if request.is_navigation_request() else ""):
            self.sessions.add(match.group(1))

    def without_session(self) -> list[str]:
        """Addresses of sent forms whose session was not issued for this frame."""
        return [request.url for request in self.saves if request.headers.get("x-frame-session") not in self.sessions]

    def _record_error(self, text: str) -> None:
        # When the next key press replaces a request (hx-sync), the page aborts it, and htmx reports that as an error.
        if not self._is_abort(text):
            self.errors.append(text)

    def _is_abort(self, text: str) -> bool:
        if text.startswith("htmx:sendAbort"):
            if self.errors and self.errors[-1].startswith("htmx:afterRequest"):
                self.errors.pop()
            return True
        return False


def no_wider_than_the_window(page: Page) -> None:
    for frame in page.frames:
        wide = frame.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, (frame.url, wide)


AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


def barrier_free(page: Page) -> None:
    """Check that axe reports no accessibility problem on the app's page."""
    frame = page.frames[1]
    frame.evaluate(AXE.read_text(encoding="utf-8"))
    violations = frame.evaluate(
        "axe.run(document).then((result) => result.violations.map((rule) => [rule.id, rule.nodes[0].html]))"
    )
    assert violations == []


def picture(page: Page, name: str) -> None:
    """Save a screenshot in the folder that BX24APP_SCREENSHOTS names; without the variable do nothing."""
    if folder := os.environ.get("BX24APP_SCREENSHOTS"):
        page.screenshot(path=ROOT / folder / f"{name}.png")


def connect(app: FrameLocator, key: str, salt: str, name: str = "Москва") -> str:
    """Add a PBX with the keyboard. Returns the hook address that the page shows."""
    app.get_by_test_id("step-pbx").or_(app.get_by_test_id("tab-pbxs")).first.click()
    app.get_by_test_id("add-pbx").first.click()
    app.locator("[name=name]").fill(name)
    app.locator("[name=api_key]").fill(key)
    app.locator("[name=api_salt]").fill(salt)
    app.locator("[name=api_salt]").press("Enter")
    expect(app.get_by_test_id("connected")).to_be_visible()
    expect(app.get_by_test_id("pulse")).to_have_attribute("data-state", "waiting")
    field = app.get_by_test_id("hook-address")
    return field.input_value() if field.evaluate("e => 'value' in e") else field.inner_text().strip()
