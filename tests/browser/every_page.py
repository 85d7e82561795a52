"""Every page of the frame, by the endpoint that draws it; how a browser comes to it inside the portal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Frame, Page, expect

from tests.support.browser_walk import AXE, Watch
from tests.support.demo_data import DemoPortal

Known = dict[str, Any]


@dataclass(frozen=True)
class Stop:
    """One page. `path`: below /frame; `waits`: a selector that says that it is there."""

    name: str
    endpoint: str
    path: Callable[[Known], str] | str
    waits: str = "#page"
    act: Callable[[Frame], None] | None = None
    """What is done on it before it is looked at."""

    def address(self, known: Known) -> str:
        return self.path if isinstance(self.path, str) else self.path(known)


def _edit(frame: Frame) -> None:
    frame.locator("[data-testid=edit]").first.click()
    frame.locator("[data-testid=close]").first.wait_for()


def _try(frame: Frame) -> None:
    frame.locator("[data-testid=try]").click()
    frame.locator("[data-testid=trial-numbers]").wait_for()
    frame.locator("[data-testid^=why-]").first.click()
    frame.locator("[data-testid=why]").first.wait_for()


def _file(frame: Frame) -> None:
    table = "extension;name;mobiles\n101;Илья Дорохов;\n104;Софья Ильина;+79160000104\n102;;\n106;Никто Никакой;\n"
    frame.locator("[data-testid=file]").set_input_files(
        {"name": "staff.csv", "mimeType": "text/csv", "buffer": table.encode()}
    )
    frame.locator("[data-testid=preview-file]").click()
    frame.locator("[data-testid=preview]").wait_for()


STOPS = (
    Stop("overview", "home.show", "/frame"),
    Stop("calls", "calls.show", "/frame/calls", "[data-testid=calls]"),
    Stop("call", "calls.show_call", lambda known: f"/frame/calls/{known['call']}"),
    Stop("stuck-dead", "undelivered.show", "/frame/stuck/dead"),
    Stop("stuck-waiting", "undelivered.show", "/frame/stuck/waiting"),
    Stop("stuck-recordings", "undelivered.show", "/frame/stuck/recordings"),
    Stop("stuck-rejected", "undelivered.show", "/frame/stuck/rejected"),
    Stop("stuck-set_aside", "undelivered.show", "/frame/stuck/set_aside"),
    Stop("pbxs", "pbxs.show", "/frame/pbxs"),
    Stop("pbx-new", "pbxs.new_form", "/frame/pbxs/new"),
    Stop("pbx", "pbxs.show_pbx", "/frame/pbxs/moscow"),
    Stop("pbx-address", "pbxs.rotate_address", "/frame/pbxs/moscow/address"),
    Stop("pbx-edit", "pbxs.edit_form", "/frame/pbxs/moscow/edit"),
    Stop("pbx-remove", "pbxs.remove", "/frame/pbxs/moscow/remove"),
    Stop("lines", "lines.show", "/frame/pbxs/moscow/lines"),
    Stop("employees", "employees.show", "/frame/pbxs/moscow/employees"),
    Stop("employees-file", "employee_file.show", "/frame/pbxs/moscow/employees/file"),
    Stop("employees-preview", "employee_file.show", "/frame/pbxs/moscow/employees/file", "[data-testid=file]", _file),
    Stop("rules", "rules.show", "/frame/rules", "[data-testid=matrix]"),
    Stop("rule-editor", "rules.show", "/frame/rules", "[data-testid=matrix]", _edit),
    Stop("rules-tried", "rules.show", "/frame/rules", "[data-testid=matrix]", _try),
    Stop("policy", "policy.show", "/frame/policy"),
    Stop("statistics", "statistics.show", "/frame/statistics", "canvas"),
    Stop("history", "history.show", "/frame/history"),
    Stop("history-version", "history.show_version", "/frame/history/3"),
    Stop("history-back", "history.confirm_rollback", "/frame/history/2/back"),
    Stop("backfill", "backfills.show", "/frame/backfill"),
)
PARTS = {
    "assets.serve_file",
    "backfills.show_progress",
    "calls.show_more",
    "calls.show_list",
    "health.check_alive",
    "health.check_ready",
    "health.scrape_metrics",
    "home.show_milestones",
    "mango_hooks.explain_address",
    "downloads.download_employees",
    "downloads.download_journal",
    "downloads.stream_recording",
    "oauth.callback",
    "oauth.start_authorisation",
    "pbxs.show_notification_state",
    "placement_calls.show_more",
    "placement_calls.show",
    "portal_state.show",
    "static",
    "undelivered.show_report",
}
"""GET addresses that are no page of their own: parts of one, files, machines."""
OUTSIDE = {
    "app_frame.show_about": "/",
    "app_frame.show_install_about": "/install",
    "app_frame.show_privacy": "/privacy",
}
"""Pages that a browser may open without a portal."""


@contextmanager
def visitor(
    room: DemoPortal, browser: Browser, lang: str, user: int = 1, width: int = 1280
) -> Iterator[tuple[Page, Watch]]:
    """A browser of this person of the portal, in this language."""
    room.earth.portal.lang = lang
    context = browser.new_context(viewport={"width": width, "height": 860}, locale=lang, reduced_motion="reduce")
    context.set_default_timeout(30_000)
    context.add_cookies([{"name": "sandbox_user", "value": str(user), "url": room.earth.portal.url}])
    page = context.new_page()
    yield page, Watch(page, room.earth.url)
    context.close()


def opened(page: Page, room: DemoPortal) -> Frame:
    """The application, opened from the portal's menu."""
    page.goto(f"{room.earth.portal.url}/")
    page.get_by_role("link", name="Open", exact=True).click()
    app = page.frame_locator("#app iframe")
    expect(app.locator("html[data-ready]")).to_be_attached()
    return page.frames[1]


def go(frame: Frame, stop: Stop, known: Known) -> None:
    """As a link of the page would."""
    frame.evaluate("(path) => htmx.ajax('GET', path, {target: '#app'})", stop.address(known))
    frame.locator(stop.waits).first.wait_for()
    # Not wait_for_function: its second look is an eval, which the page's policy forbids.
    frame.locator("html:not(:has(body.busy, .htmx-request))").wait_for(state="attached")
    if stop.endpoint == "statistics.show":
        frame.locator("html[data-drawn]").wait_for(state="attached")
    if stop.act is not None:
        stop.act(frame)


def unfit(frame: Frame) -> list[Any]:
    """What axe knows to shut somebody out."""
    frame.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[Any] = frame.evaluate(
        "axe.run(document).then((said) => said.violations.map((one) => [one.id, one.impact, one.nodes[0].html]))"
    )
    return found


def sideways(page: Page) -> list[tuple[str, int]]:
    """Frames that would have to be scrolled sideways, with how far."""
    measure = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return [(frame.url, wide) for frame in page.frames if (wide := frame.evaluate(measure)) > 0]


UNREACHABLE = """() => {
  const seen = (e) => e.checkVisibility({checkOpacity: false, checkVisibilityCSS: true}) && e.getClientRects().length > 0;
  return [...document.querySelectorAll('#page [hx-get], #page [hx-post], #page [data-play], #page [data-pick], #page [data-copy], #page [data-accept], #page [data-path]')]
    .filter((e) => seen(e) && !e.disabled && e.tabIndex < 0 && !e.matches('form, [hx-trigger]') && !e.querySelector('a[href], button'))
    .map((e) => e.outerHTML.slice(0, 160));
}"""  # noqa: E501


def unreachable(frame: Frame) -> list[str]:
    """Controls that a mouse can press and a keyboard cannot reach."""
    found: list[str] = frame.evaluate(UNREACHABLE)
    return found


def words(frame: Frame) -> str:
    """What a reader of this page reads."""
    return re.sub(r"\s+", " ", frame.locator("#page").inner_text())


def tab(page: Page, room: DemoPortal, path: str) -> Frame:
    """Our tab in a page of the portal."""
    page.goto(f"{room.earth.portal.url}{path}")
    page.get_by_role("tab", name="Mango Office").click()
    app = page.frame_locator("#tabframe iframe")
    expect(app.locator("html[data-ready]")).to_be_attached()
    expect(app.locator("h1, table").first).to_be_visible()
    return page.frames[1]
