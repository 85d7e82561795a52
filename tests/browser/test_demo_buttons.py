"""The demo's buttons, pressed in headless Chromium: what becomes of each is seen in the portal beside it.

Three offices are connected by hand, as an administrator would; then each test presses one button of the PBX and looks
at the portal's
pages over the shoulders of those whom it concerns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect

from scripts import needs
from tests.support.browser_walk import Watch, connect, picture
from tests.support.servers import CHROMIUM_MISSING

pytestmark = [pytest.mark.browser, pytest.mark.skipif(needs.chromium() is None, reason=CHROMIUM_MISSING)]

ANNA, BORIS, MARIA, VERA, GLEB, YEGOR = 1, 8, 12, 15, 21, 31
NAMES = {
    ANNA: "Анна Орлова",
    BORIS: "Борис Котов",
    MARIA: "Мария Соколова",
    VERA: "Вера Линь",
    GLEB: "Глеб Южный",
    YEGOR: "Егор Сибиряк",
}
LINES = {"Москва": ("74951234567", MARIA), "Краснодар": ("78612345678", GLEB), "Новосибирск": ("73832345678", YEGOR)}
LONG = 90_000
"""Milliseconds that a call of the demo may take on a busy machine; it takes ten to thirty seconds."""


@dataclass
class Desk:
    """The demo with all its offices connected. `screen(user)`: the portal's page as that user sees it."""

    portal: str
    pbx: Page
    new_page: Callable[[], Page]
    watches: list[Watch] = field(default_factory=list)
    screens: dict[int, Page] = field(default_factory=dict)

    def screen(self, user: int) -> Page:
        if user not in self.screens:
            page = self.new_page()
            page.context.add_cookies([{"name": "sandbox_user", "value": str(user), "url": self.portal}])
            self.screens[user] = page
        self.screens[user].goto(f"{self.portal}/telephony/")
        return self.screens[user]

    def press(self, title: str, client: str, speed: str = "3") -> None:
        self.pbx.get_by_label("Client's number").fill(client)
        self.pbx.get_by_label("Speed").select_option(speed)
        self.pbx.locator("button[data-scenario]", has_text=re.compile(rf"^\s*{title}")).first.click()
        expect(self.pbx.locator("#toasts")).to_contain_text("on its way")

    def office(self, name: str) -> None:
        self.pbx.get_by_role("navigation", name="Products").get_by_role("link", name=name).click()

    def finished(self, client: str) -> Locator:
        """Rows of the portal's statistics with this client, on the first administrator's screen, once there are any."""
        page = self.screen(MARIA)
        rows = page.locator("#calls tr", has_text=client)
        expect(rows.first).to_be_visible(timeout=LONG)
        return rows

    def lead(self, client: str) -> Page:
        """The lead that this client became."""
        page = self.screen(MARIA)
        page.goto(f"{self.portal}/crm/lead/list/")
        page.locator("#rows tr, .tile", has_text=client).first.get_by_role("link").first.click()
        return page


@pytest.fixture(scope="module")
def desk(demo: dict[str, str], browser: Browser) -> Iterator[Desk]:
    contexts = []

    def new_page() -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(30_000)
        contexts.append(context)
        return context.new_page()

    made = Desk(demo["portal-port"], new_page(), new_page)
    page = new_page()
    watch = Watch(page, demo["port"])
    page.goto(made.portal)
    page.get_by_role("link", name="Open", exact=True).click()
    page.wait_for_url("**install_finished=Y")
    app = page.frame_locator("#app iframe")
    made.pbx.goto(demo["pbx-port"])
    for name, (line, user) in LINES.items():
        made.office(name)
        key, salt = made.pbx.locator("#key").input_value(), made.pbx.locator("#salt").input_value()
        hook = connect(app, key, salt, name)
        give_line(page, app, line, NAMES[user])
        made.pbx.locator("#hook").fill(hook)
        made.pbx.get_by_role("button", name="Save").click()
        expect(made.pbx.locator("#toasts")).to_contain_text("Saved")
    made.office("Москва")
    yield made
    assert not watch.errors, watch.errors
    for context in contexts:
        context.close()


def give_line(page: Page, app: FrameLocator, line: str, responsible: str) -> None:
    """Choose who answers for the line's clients."""
    app.get_by_test_id("part-lines").click()
    card = app.get_by_test_id(f"line-{line}")
    card.locator("[data-pick]").click()
    picker = page.locator("form.picker")
    picker.get_by_text(responsible).click()
    picker.get_by_role("button", name="Choose").click()
    expect(card).to_contain_text(responsible)
    app.get_by_test_id("save").click()
    expect(app.locator(".same")).to_be_visible()


def no_card(*screens: Page) -> None:
    for screen in screens:
        expect(screen.locator("#cards > *")).to_have_count(0, timeout=LONG)


def test_missed(desk: Desk) -> None:
    """Everybody's card rings and goes; the line's responsible has a lead with a missed call."""
    client = "79261110001"
    anna, vera = desk.screen(ANNA), desk.screen(VERA)
    desk.press("Missed call", client)
    expect(anna.locator("#cards")).to_contain_text(client)
    expect(vera.locator("#cards")).to_contain_text(client)
    picture(anna, "demo-ringing")
    no_card(anna, vera)
    row = desk.finished(client)
    expect(row).to_have_count(1)
    expect(row).to_contain_text("missed")
    expect(row).to_contain_text(NAMES[MARIA])
    lead = desk.lead(client)
    expect(lead.locator("#about")).to_contain_text(NAMES[MARIA])
    expect(lead.locator("#planned .item")).to_contain_text("missed")
    picture(lead, "demo-missed")


def test_transfer(desk: Desk) -> None:
    """The card follows the talk from Anna to Boris, and so does the client: the line's responsible no longer has it."""
    client = "79261110002"
    anna, boris = desk.screen(ANNA), desk.screen(BORIS)
    desk.press("Transfer", client)
    expect(anna.locator("#cards")).to_contain_text(client)
    expect(boris.locator("#cards > *")).to_have_count(0, timeout=LONG)  # Anna has answered
    expect(anna.locator("#cards")).to_contain_text(client)
    expect(boris.locator("#cards")).to_contain_text(client, timeout=LONG)
    expect(anna.locator("#cards > *")).to_have_count(0, timeout=LONG)
    no_card(anna, boris)
    rows = desk.finished(client)
    expect(rows).to_have_count(2, timeout=LONG)  # the second recording has a call of its own
    expect(rows.locator("audio")).to_have_count(2, timeout=LONG)
    expect(rows.filter(has_text=NAMES[BORIS])).to_have_count(1)
    expect(rows.filter(has_text=NAMES[ANNA])).to_have_count(1)
    lead = desk.lead(client)
    expect(lead.locator("#about")).to_contain_text(NAMES[BORIS])
    picture(lead, "demo-transfer")


def test_click_to_call(desk: Desk) -> None:
    """The employee's telephone rings, then the client's; the portal's own call is finished, and there is no second one.
    """
    client = "79261110003"
    anna = desk.screen(ANNA)
    desk.press("Click-to-call", client)
    expect(anna.locator("#cards")).to_contain_text("Outgoing call")
    expect(desk.pbx.locator("#running")).to_contain_text("101 · rings")
    picture(desk.pbx, "demo-pbx")
    expect(desk.pbx.locator("#running .badge", has_text="talking")).to_be_visible(timeout=LONG)
    no_card(anna)
    row = desk.finished(client)
    expect(row).to_have_count(1)
    expect(row).to_contain_text(NAMES[ANNA])
    expect(row.locator(".badge.good")).to_be_visible()
    expect(row.locator("audio")).to_have_count(1, timeout=LONG)


def test_three_offices(desk: Desk) -> None:
    """Moscow's client is handed to Krasnodar, while Novosibirsk misses a call: each call has its line, each client its
    responsible.
    """
    client, other = "79261110004", "79035550199"
    gleb = desk.screen(GLEB)
    desk.press("Three offices", client)
    expect(gleb.locator("#cards")).to_contain_text(client, timeout=LONG)
    no_card(gleb)
    rows = desk.finished(client)
    expect(rows).to_have_count(2, timeout=LONG)
    expect(rows.filter(has_text=NAMES[ANNA])).to_contain_text(LINES["Москва"][0])
    expect(rows.filter(has_text=NAMES[GLEB])).to_contain_text(LINES["Краснодар"][0])
    expect(rows.locator("audio")).to_have_count(2, timeout=LONG)
    lost = desk.finished(other)
    expect(lost).to_contain_text(LINES["Новосибирск"][0])
    expect(lost).to_contain_text("missed")
    picture(desk.screens[MARIA], "demo-offices")
    expect(desk.lead(client).locator("#about")).to_contain_text(NAMES[GLEB])
    expect(desk.lead(other).locator("#about")).to_contain_text(NAMES[YEGOR])


def test_offices_that_are_not_connected_are_named(desk: Desk) -> None:
    desk.office("Новосибирск")
    address = desk.pbx.locator("#hook").input_value()
    desk.pbx.locator("#hook").fill("")
    desk.pbx.get_by_role("button", name="Save").click()
    expect(desk.pbx.locator("#toasts")).to_contain_text("Saved")
    desk.office("Москва")
    desk.pbx.locator("button[data-scenario=offices]").click()
    expect(desk.pbx.locator("#toasts .bad")).to_contain_text("connect these first")
    expect(desk.pbx.locator("#toasts .bad")).to_contain_text("Новосибирск")
    desk.office("Новосибирск")
    desk.pbx.locator("#hook").fill(address)
    desk.pbx.get_by_role("button", name="Save").click()
    expect(desk.pbx.locator("#toasts")).to_contain_text("Saved")
    desk.office("Москва")
