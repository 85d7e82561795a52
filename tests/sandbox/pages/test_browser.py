"""The portal's pages with an application in their frame, in headless Chromium."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Frame, Page, expect

from bx24app.sandbox import demo
from bx24app.sandbox.bitrix import call_finish, calls
from bx24app.sandbox.mango import mp3

from .conftest import World

pytestmark = pytest.mark.browser
APP = f"/marketplace/app/{demo.CLIENT_ID}/"


def inside(page: Page, within: str = "#app") -> Frame:
    """The application's frame in a part of the page, once it is loaded."""
    page.frame_locator(f"{within} iframe").locator("#where").wait_for()
    frame = page.locator(f"{within} iframe").element_handle().content_frame()
    assert frame
    frame.wait_for_function("() => Boolean(window.ask)")
    return frame


def ask(frame: Frame, command: str, params: Any = None, patience: int = 4000) -> Any:
    """An answer to a message in BX24's form. None: no answer came."""
    text = frame.evaluate("([c, p, t]) => window.ask(c, p === null ? undefined : p, t)", [command, params, patience])
    return json.loads(text) if text else text


def test_installation_by_the_official_sdk(world: World, page: Page) -> None:
    page.goto(world.url + APP)
    frame = inside(page)
    assert frame.evaluate(
        "async () => { const b = await B24Js.initializeB24Frame(); window.b = b; return b.isInstallMode; }"
    )
    portal = world.sandbox.portal
    assert portal.apps[demo.CLIENT_ID].user_options[1]["install"]  # FIRST_RUN was answered
    frame.evaluate("() => { window.b.installFinish(); }")
    page.wait_for_url("**install_finished=Y")
    page.frame_locator("#app iframe").get_by_text("/ DEFAULT", exact=True).wait_for()
    again = inside(page)
    assert portal.apps[demo.CLIENT_ID].installed
    assert [path for path, _, _ in world.posts] == ["/install", "/"]
    _, query, fields = world.posts[1]
    assert query["APP_SID"] != world.posts[0][1]["APP_SID"]
    assert fields["member_id"] == portal.member_id
    auth = again.evaluate(
        "async () => { const b = await B24Js.initializeB24Frame();"
        " return [b.isInstallMode, await b.auth.refreshAuth()]; }"
    )
    assert auth[0] is False
    assert auth[1]["access_token"] in world.sandbox.oauth.access_tokens
    expect(page.locator(".head .badge")).to_have_text("installed")


def test_messages_in_every_shape(world: World, page: Page) -> None:
    world.installed()
    page.goto(f"{world.url}{APP}?params[x]=7")
    frame = inside(page)
    init = ask(frame, "getInitData")
    assert init["PLACEMENT_OPTIONS"] == {"x": "7"}
    assert init["DOMAIN"] == world.sandbox.portal.host
    assert json.loads(frame.evaluate("window.askShort('getInitData')"))["MEMBER_ID"] == init["MEMBER_ID"]
    assert json.loads(frame.evaluate("window.askObject('getInterface', {})")) == {"command": [], "event": []}
    assert frame.evaluate("window.askWrong()") is None
    assert ask(frame, "noSuchCommand", {}, 500) is None
    assert ask(frame, "getStatus", {}, 500) is None  # not a command of this placement
    size = ask(frame, "resizeWindow", {"width": "100%", "height": 777})
    assert size["height"] == 777
    assert ask(frame, "setTitle", {"title": "Настройки: главная"}) == {"title": "Настройки: главная"}
    expect(page.locator("#apptitle")).to_have_text("Настройки: главная")
    ask(frame, "setUserOption", {"name": "seen", "value": "yes"})
    ask(frame, "setAppOption", {"name": "mode", "value": "a:b"})
    portal = world.sandbox.portal
    made = portal.apps[demo.CLIENT_ID]
    assert (made.user_options[1]["seen"], made.options["mode"]) == ("yes", "a:b")
    fresh = ask(frame, "refreshAuth", {})
    assert fresh["AUTH_ID"] in world.sandbox.oauth.access_tokens
    assert ask(frame, "setScroll", {"scroll": 10}) == {"scroll": 10}
    assert ask(frame, "openPath", {"path": "/settings/"}) == {"result": "error", "errorCode": "PATH_NOT_AVAILABLE"}


def test_pickers(world: World, page: Page) -> None:
    world.installed()
    page.goto(world.url + APP)
    frame = inside(page)
    frame.evaluate("() => { window.one = window.ask('selectUser', {mult: false}, 15000); }")
    page.get_by_role("searchbox").fill("котов")
    page.get_by_text("Борис Котов").last.click()
    page.get_by_role("button", name="Choose").click()
    assert json.loads(frame.evaluate("window.one"))["id"] == "8"
    frame.evaluate("() => { window.many = window.ask('selectUser', {mult: true}, 15000); }")
    for name in ("Борис Котов", "Вера Линь"):
        page.locator("dialog label").filter(has_text=name).click()
    page.get_by_role("button", name="Choose").click()
    assert [one["id"] for one in json.loads(frame.evaluate("window.many"))] == ["8", "15"]
    frame.evaluate("() => { window.crm = window.ask('selectCRM', {entityType: ['contact'], multiple: true}, 15000); }")
    page.locator("dialog label").filter(has_text="Пётр Иванов").click()
    page.get_by_role("button", name="Choose").click()
    assert json.loads(frame.evaluate("window.crm"))["contact"][0]["title"] == "Пётр Иванов"
    frame.evaluate("() => { window.none = window.ask('selectAccess', {value: []}, 1500); }")
    page.get_by_role("button", name="Cancel").click()
    assert frame.evaluate("window.none") is None


def test_sliders(world: World, page: Page) -> None:
    world.installed()
    page.goto(world.url + APP)
    frame = inside(page)
    contact = next(iter(world.sandbox.portal.contacts))
    frame.evaluate(
        f"() => {{ window.path = window.ask('openPath', {{path: '/crm/contact/details/{contact}/'}}, 15000); }}"
    )
    page.frame_locator(".slider iframe").get_by_role("heading", name="Пётр Иванов").wait_for()
    page.locator(".slider .bar button").click()
    assert json.loads(frame.evaluate("window.path")) == {"result": "close"}
    frame.evaluate("() => { window.slid = window.ask('openApplication', {call: 5, bx24_title: 'Call five'}, 15000); }")
    inner = inside(page, ".slider")
    assert ask(inner, "getInitData")["PLACEMENT_OPTIONS"] == {"call": 5, "IFRAME": "Y"}
    assert json.loads(world.posts[-1][2]["PLACEMENT_OPTIONS"])["call"] == 5
    inner.evaluate("window.tell('closeApplication', {})")
    page.locator(".slider").wait_for(state="detached")
    assert frame.evaluate("window.slid") == "{}"


def ring(world: World, phone: str, user: int = 1, *, create: bool = True) -> str:
    portal = world.sandbox.portal
    order = calls.CallRegistration(user, phone, 2, line="74951234567", should_create=create)
    call_id: str = world.call(lambda: calls.register_call(portal, portal.apps[demo.CLIENT_ID], order).call_id)
    return call_id


def test_call_cards(world: World, page: Page) -> None:
    world.installed()
    page.goto(f"{world.url}/crm/lead/list/")
    call_id = ring(world, "+79265550177")
    card = page.locator(".callcard")
    expect(card.locator(".who b")).to_have_text("+79265550177")
    expect(page.locator("#rows")).to_contain_text("+79265550177")  # the new lead is in the list without a reload
    card.get_by_role("button", name="Mango").click()
    frame = inside(page, ".callcard")
    assert ask(frame, "getStatus", {})["CALL_ID"] == call_id
    assert "CallCard::BeforeClose" in ask(frame, "getInterface")["event"]
    other = ring(world, "+79161234567", create=False)
    expect(page.locator(".callcard")).to_have_count(2)
    expect(page.locator(f'[data-call="{other}"]')).to_contain_text("Пётр Иванов")
    world.call(calls.hide_card, world.sandbox.portal, other, [1], "test")
    expect(page.locator(".callcard")).to_have_count(1)
    card.get_by_title("Close the card").click()
    expect(page.locator(".callcard")).to_have_count(0)


def test_cards_are_personal(world: World, page: Page) -> None:
    world.installed()
    page.goto(world.url)
    page.get_by_label("You are").select_option("8")
    expect(page.locator("body[data-user='8']")).to_be_visible()
    ring(world, "+79265550177", 1)
    mine = ring(world, "+79265550178", 8)
    expect(page.locator(".callcard")).to_have_count(1)
    expect(page.locator(f'[data-call="{mine}"]')).to_be_visible()
    expect(page.locator("#elsewhere")).to_contain_text("+79265550177 rings at Анна Орлова")
    page.get_by_role("button", name="Look there").click()
    expect(page.locator("body[data-user='1'] .callcard")).to_contain_text("+79265550177")


def test_timeline_plays_the_recording(world: World, page: Page) -> None:
    from bx24app.sandbox.bitrix.recordings import save_content
    from bx24app.sandbox.bitrix.state import Statistic

    world.installed()
    portal = world.sandbox.portal
    call_id = ring(world, "+79161234567", create=False)
    contact = next(iter(portal.contacts))
    page.goto(f"{world.url}/crm/contact/details/{contact}/")
    page.get_by_role("tab", name="Calls of Mango").click()
    assert ask(inside(page, "#tabframe"), "getInitData")["PLACEMENT_OPTIONS"] == {"ID": str(contact)}
    page.get_by_role("tab", name="General").click()

    def finish() -> None:
        call = portal.calls[call_id]
        row = Statistic(
            1, call_id, None, 3, "app", 1, call.phone, "74951234567", 2, 12, portal.now(), portal.now(), "200"
        )
        call_finish.finish_call(portal, call, row)
        save_content(portal, row, "talk.mp3", b"".join(mp3.stream_bytes(mp3.size_of(12))), via="upload")

    world.call(finish)
    sound = page.locator("#past audio")
    expect(sound).to_have_count(1)
    length = sound.evaluate("""async (audio) => {
      audio.muted = true; await audio.play(); audio.currentTime = 8;
      await new Promise((done) => { audio.onseeked = done; });
      return [audio.duration, audio.error]; }""")
    assert length[0] == pytest.approx(12, abs=0.5)
    assert length[1] is None


def test_click_to_call(world: World, page: Page) -> None:
    world.installed()
    page.goto(f"{world.url}/crm/contact/list/")
    page.get_by_text("+79161234567").click()
    expect(page.locator(".callcard")).to_contain_text("Outgoing call")
    world.call(world.sandbox.portal.wait_until_idle)
    assert world.events[-1]["data[PHONE_NUMBER]"] == "+79161234567"


def test_item_in_the_telephony_menu(world: World, page: Page) -> None:
    world.installed()
    page.goto(f"{world.url}/telephony/")
    page.get_by_role("tab", name="Mango statistics").click()
    assert ask(inside(page, "#tabframe"), "getInitData")["PLACEMENT"] == "TELEPHONY_ANALYTICS_MENU"


def test_pbx_buttons(world: World, page: Page) -> None:
    page.goto(f"{world.cloud.url}/")
    page.get_by_label("Address of the external system").fill(f"{world.sandbox.sites['app']}/event")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#toasts")).to_contain_text("Saved")
    page.get_by_label("Speed").select_option("100")
    page.get_by_role("button", name="Incoming call").click()
    expect(page.locator("#entries .badge.good").first).to_be_visible()
    expect(page.locator("#sent")).to_contain_text("events/record/added")
    page.get_by_role("button", name="S7 internal call").click()
    expect(page.locator("#sent")).to_contain_text("events/summary")


@pytest.mark.parametrize("width", [1280, 375])
def test_no_page_is_too_wide(world: World, page: Page, width: int) -> None:
    world.installed()
    page.set_viewport_size({"width": width, "height": 800})
    contact = next(iter(world.sandbox.portal.contacts))
    addresses = [
        world.url + path
        for path in ("/", "/crm/lead/list/", f"/crm/contact/details/{contact}/", "/telephony/", "/admin/", APP)
    ]
    for address in [*addresses, f"{world.cloud.url}/"]:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
