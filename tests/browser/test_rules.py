"""The rules page in headless Chromium, by mouse and keyboard: a rule is built, moved and saved; a faulty draft says
where.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from bx24app import settings
from bx24app.domain.settings import Rule, Settings
from bx24app.models import Pbx as PbxRow
from bx24app.models import Portal, db
from bx24app.portals import crm_dictionaries, sync
from bx24app.sandbox.bitrix.state import CONTACT, DEAL, Activity, Record
from scripts import needs
from tests.conftest import KEY, SALT, config_for
from tests.end_to_end.test_scenarios import connect
from tests.support.browser_walk import ROOT, Watch, no_wider_than_the_window
from tests.support.replayed_scenario import ReplayedCall, absorb, as_new_call, post
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.servers import CHROMIUM_MISSING
from tests.support.stack import World, until, world

pytestmark = [pytest.mark.browser, pytest.mark.skipif(needs.chromium() is None, reason=CHROMIUM_MISSING)]

MISSED = Scenario(FIXTURES / "incoming_missed_by_group")
LINE = "74950000001"
"""Moscow."""
FIRST = Rule.model_validate(
    {"name": "Krasnodar", "when": {"number": "+7861"}, "do": [{"comment": {"text": "From afar"}}]}
)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[World]:
    """An installed portal with its pages, working app, one PBX whose Moscow line is closed but for a minute a week."""
    with world(tmp_path_factory.mktemp("rules"), valkey_url, config_for, pages=True, quiet_seconds=2) as made:
        made.portal.limits.rate = 0
        made.portal.license = "ru_ent250"
        made.portal.lang = "en"
        made.work()
        made.install()
        until(lambda: _read(made), "the portal's dictionaries were never read")
        connect(made, MISSED)
        look(made)
        yield made
        assert not made.portal.violations, made.portal.violations


def look(made: World) -> None:
    """The daily look, now."""
    with made.app.app_context():
        sync.sync_portal(made.portal_row()["id"])


def document(*rules: Rule) -> Settings:
    """Users 11 and 12 take turns on the Moscow line."""
    data = MISSED.settings.model_dump(by_alias=True, mode="json")
    line = data["pbxs"][0]["lines"][0]
    line["responsible"] = {"users": [11, 12], "strategy": "round_robin"}
    line["working_hours"] = [{"days": ["mon"], "from": "00:00", "to": "00:01", "holidays": []}]
    data["rules"] = [rule.model_dump(mode="json") for rule in rules]
    return Settings.model_validate(data)


def _read(made: World) -> bool:
    with made.app.app_context():
        found = crm_dictionaries.load(made.portal_row()["id"]).has_content
        db.session.rollback()
        return found


def rules_of(made: World) -> list[dict[str, Any]]:
    with made.app.app_context():
        portal = db.session.get_one(Portal, made.portal_row()["id"])
        found = [rule.model_dump(mode="json") for rule in settings.current(portal).rules]
        db.session.rollback()
        return found


@pytest.fixture
def page(office: World, browser: Browser) -> Iterator[Page]:
    """The rules page, with one rule saved; nothing may fail on the way."""
    office.connect(document(FIRST), {"moscow": (KEY, SALT)})
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(30_000)
    page = context.new_page()
    watch = Watch(page, office.url)
    page.goto(f"{office.portal.url}/")
    page.get_by_role("link", name="Open", exact=True).click()
    app = frame_of(page)
    expect(app.locator("html[data-ready]")).to_be_attached()
    app.get_by_test_id("tab-rules").click()
    expect(app.get_by_test_id("rules-list")).to_be_visible()
    yield page
    assert not watch.errors, watch.errors
    assert watch.without_session() == []
    context.close()


expect.set_options(timeout=30_000)


def frame_of(page: Page) -> FrameLocator:
    return page.frame_locator("#app iframe")


def names(app: FrameLocator) -> list[str]:
    return app.get_by_test_id("rule-name").all_inner_texts()


def test_a_rule_is_built_moved_and_saved(office: World, page: Page) -> None:
    app = frame_of(page)
    build(page, app)
    expect(app.locator("#r1-words")).to_have_text(
        "If a call comes in, is missed, is on the line “Moscow”, falls outside working hours: create a deal in the pipeline "  # noqa: E501
        "“Пропущенные” at the stage “Новая”, responsible: whoever answers for the line; set a to-do “Call back "
        "{{ client.number }}” due in 45 min of working time, responsible: whoever answers for the line, and the next one if "  # noqa: E501
        "their working day is closed."
    )
    no_wider_than_the_window(page)
    app.get_by_test_id("close").click()
    expect(app.get_by_test_id("rule-r1").get_by_test_id("edit")).to_be_focused()
    assert names(app) == ["Krasnodar", "Missed in Moscow"]

    handle = app.get_by_test_id("rule-r1").locator("[data-handle]")
    handle.focus()
    handle.press("ArrowUp")
    assert names(app) == ["Missed in Moscow", "Krasnodar"]
    expect(app.locator("#rules-told")).to_have_text("Missed in Moscow is now number 1 of 2")
    drag(page, app, "r1", "r0")
    assert names(app) == ["Krasnodar", "Missed in Moscow"]
    app.get_by_test_id("rule-r1").get_by_test_id("up").click()
    assert names(app) == ["Missed in Moscow", "Krasnodar"]

    app.get_by_test_id("save").click()
    expect(app.get_by_test_id("saved")).to_be_visible()
    assert rules_of(office) == [BUILT, FIRST.model_dump(mode="json")]


BUILT = {
    "name": "Missed in Moscow",
    "when": {"direction": "in", "outcome": "missed", "hours": "off", "line": LINE},
    "do": [
        {"create": {"entity": "deal", "category_id": 9, "stage_id": "C9:NEW", "responsible": "line"}},
        {
            "todo": {
                "deadline_minutes": 45,
                "working": True,
                "title": "Call back {{ client.number }}",
                "responsible": "line",
                "if_absent": "next",
            }
        },
    ],
}


def build(page: Page, app: FrameLocator) -> None:
    """A new rule: its name and conditions by keyboard alone, its actions by mouse."""
    add = app.get_by_test_id("add-rule")
    add.focus()
    add.press("Enter")
    expect(app.get_by_test_id("r1-name")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("Missed in Moscow")
    for pill in ("direction-in", "outcome-missed", "hours-off", f"line-{LINE}"):
        app.get_by_test_id(f"r1-{pill}").focus()
        page.keyboard.press("Space")
        expect(app.get_by_test_id(f"r1-{pill}")).to_be_checked()
    app.get_by_test_id("r1-add-create").click()
    expect(app.get_by_test_id("r1-a0-target")).to_be_focused()
    app.get_by_test_id("r1-a0-target").select_option(label="Deal: Пропущенные")
    expect(app.get_by_test_id("r1-a0-stage_id")).to_contain_text("Подготовка документов")
    app.get_by_test_id("r1-a0-stage_id").select_option(label="Новая")
    app.get_by_test_id("r1-a0-responsible").select_option(label="responsible for the line")
    app.get_by_test_id("r1-add-todo").click()
    app.get_by_test_id("r1-a1-deadline_minutes").fill("45")
    app.get_by_test_id("r1-a1-working").check()
    app.get_by_test_id("r1-a1-responsible").select_option("line")
    app.get_by_test_id("r1-a1-title").fill("Call back {{ client.number }}")
    app.get_by_test_id("r1-a1-if_absent").check()


def ring(office: World) -> ReplayedCall:
    """A missed call of a client whom nobody knows, told by the PBX; until all of it is delivered."""
    with office.app.app_context():
        row = db.session.query(PbxRow).filter_by(portal_id=office.portal_row()["id"], key="moscow").one()
        hook = f"{office.url}/mango/{row.hook_key}"
        db.session.rollback()
    retold = as_new_call(MISSED)
    office.sandbox.call(absorb, office.mango, retold.notices)
    for notice in retold.notices:
        assert post(hook, notice) == 200
    office.settle(90)
    return retold


def made_by(office: World, retold: ReplayedCall) -> tuple[Record, Activity]:
    """The deal of a call's client, and the to-do on it."""
    portal = office.portal
    contacts = {one.id for one in portal.crm.records[CONTACT].values() if retold.client in one.phones}
    [deal] = [one for one in portal.crm.records[DEAL].values() if contacts & set(one.contact_ids)]
    on_deal = [one for one in portal.activities.values() if (DEAL, deal.id) in one.bindings]
    [todo] = [one for one in on_deal if one.provider_id == "CRM_TODO"]
    return deal, todo


def test_a_rule_is_tried_on_past_calls_saved_and_carried_out(office: World, page: Page) -> None:
    before = ring(office)
    app = frame_of(page)
    build(page, app)
    expect(app.get_by_test_id("numbers")).to_have_text("These rules would handle 1 of the last 1 calls differently.")
    app.get_by_test_id("try").click()
    expect(app.get_by_test_id("trial-numbers")).to_contain_text("1 of the last")
    row = app.locator("tbody.different").first
    expect(row).to_contain_text("different")
    expect(row).to_contain_text(
        "create a deal in the pipeline “Пропущенные” at the stage “Новая”, responsible: Worker 11"
    )
    expect(row).to_contain_text(f"set a to-do “Call back {before.client}” due by")
    row.get_by_role("button", name="Why").press("Enter")
    tried = app.get_by_test_id("tried-1")
    expect(tried).to_contain_text("Missed in Moscow applies")
    expect(tried).to_contain_text("Time: outside working hours · this call: outside working hours")
    expect(app.get_by_test_id("tried-0")).to_contain_text("does not match")
    no_wider_than_the_window(page)

    app.get_by_test_id("save").click()
    expect(app.get_by_test_id("saved")).to_be_visible()
    calls = [ring(office), ring(office)]
    managers = []
    for retold in calls:
        deal, todo = made_by(office, retold)
        assert (deal.category_id, deal.stage_id) == (9, "C9:NEW")
        assert todo.subject == f"Call back {retold.client}"
        assert todo.responsible_id == deal.assigned_by_id
        managers.append(deal.assigned_by_id)
    assert sorted(managers) == [11, 12]

    app.get_by_test_id("tab-calls").click()
    app.locator("tr.link").first.click()
    expect(app.locator(".facts")).to_contain_text("Missed in Moscow")
    expect(app.get_by_test_id("crm-deal")).to_be_visible()
    app.get_by_test_id("tab-rules").click()
    expect(app.get_by_test_id("rule-r1").get_by_test_id("rule-used")).to_contain_text("2 calls in the last 7 days")
    app.get_by_test_id("try").click()
    expect(app.get_by_test_id("trial-numbers")).to_contain_text("1 of the last 3 calls")


def drag(page: Page, app: FrameLocator, what: str, where: str) -> None:
    """By the handle, with the mouse."""
    start = app.get_by_test_id(f"rule-{what}").locator("[data-handle]").bounding_box()
    end = app.get_by_test_id(f"rule-{where}").bounding_box()
    assert start is not None
    assert end is not None
    page.mouse.move(start["x"] + 8, start["y"] + 12)
    page.mouse.down()
    page.mouse.move(start["x"] + 8, start["y"] + 30, steps=4)
    page.mouse.move(start["x"] + 8, end["y"] + end["height"] - 4, steps=12)
    page.mouse.up()


def test_a_faulty_draft_says_where(office: World, page: Page) -> None:
    """The stage and the employee were there when the rule was written."""
    app = frame_of(page)
    build(page, app)
    app.get_by_test_id("r1-name").fill("Krasnodar")
    app.get_by_test_id("r1-a1-title").fill("{{ somebody.name }}")
    app.get_by_test_id("r1-a1-responsible").select_option("user")
    app.get_by_test_id("r1-a1-responsible-user-pick").click()
    page.locator("dialog label").filter(has_text="Worker 13").click()
    page.locator("dialog button").filter(has_text="Choose").click()
    expect(app.get_by_test_id("r1-a1-responsible-user-users")).to_contain_text("Worker 13")
    statuses, gone = list(office.portal.statuses), office.portal.users[13]
    try:
        gone.active = False
        office.portal.statuses = [one for one in statuses if one.status_id != "C9:NEW"]
        look(office)
        app.get_by_test_id("save").click()
        expect(app.get_by_test_id("wrong")).to_be_visible()
    finally:
        office.portal.statuses, gone.active = statuses, True
    for field, words in (
        ("r1-name", "Another rule has this name. (rules[1].name)"),
        ("r1-a0-stage_id", "This pipeline has no such stage. Choose another one. (rules[1].do[0].create.stage_id)"),
        ("r1-a1-responsible", "There is no such active employee in your Bitrix24. (rules[1].do[1].todo.responsible)"),
        (
            "r1-a1-title",
            "somebody is unknown here. Possible: call, client, line, pbx, user. (rules[1].do[1].todo.title)",
        ),
    ):
        expect(app.get_by_test_id(f"wrong-{field}")).to_have_text(words)
    assert app.locator("[data-testid^=wrong-]").count() == 4
    assert rules_of(office) == [FIRST.model_dump(mode="json")]


def test_the_matrix_by_keyboard(office: World, page: Page) -> None:
    app = frame_of(page)
    app.get_by_test_id("preset-log").press("Enter")
    expect(app.get_by_test_id("rule-name")).to_have_count(5)
    make = app.get_by_test_id("m-new-off-make")
    make.focus()
    make.select_option("deal")
    expect(app.get_by_test_id("m-new-off-deadline_minutes")).to_be_visible()
    expect(app.get_by_test_id("m-new-off-make")).to_be_focused()
    app.get_by_test_id("m-new-off-deadline_minutes").fill("20")
    app.get_by_test_id("m-new-off-deadline_minutes").press("Tab")
    expect(app.locator(".words").filter(has_text="due in 20 min")).to_be_visible()
    app.get_by_test_id("save").click()
    expect(app.get_by_test_id("saved")).to_be_visible()
    made = {rule["name"]: rule["do"] for rule in rules_of(office)}
    assert made["Missed: new client, off hours"] == [{"create": {"entity": "deal"}}, {"todo": {"deadline_minutes": 20}}]
    assert made["Missed: known client, off hours"] == [{"nothing": {}}]
    app.get_by_test_id("rule-r0").get_by_test_id("remove").click()
    expect(app.get_by_test_id("rule-name")).to_have_count(4)
    app.get_by_test_id("discard").click()
    expect(app.get_by_test_id("rule-name")).to_have_count(5)


AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_shows_all_of_it_to_everybody(
    office: World, browser: Browser, scheme: Literal["light", "dark"]
) -> None:
    """At 375 pixels, in both colours: nothing scrolls sideways, and nothing that axe knows of shuts anybody out."""
    office.connect(document(FIRST), {"moscow": (KEY, SALT)})
    ring(office)
    context = browser.new_context(viewport={"width": 375, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{office.portal.url}/")
    page.get_by_role("link", name="Open", exact=True).click()
    app = frame_of(page)
    expect(app.locator("html[data-ready]")).to_be_attached()
    app.get_by_test_id("tab-rules").click()
    app.get_by_test_id("preset-deals").click()
    expect(app.get_by_test_id("rule-name")).to_have_count(5)
    for token in ("r0", "r1"):
        app.get_by_test_id(f"rule-{token}").get_by_test_id("edit").click()
        expect(app.get_by_test_id(f"{token}-name")).to_be_focused()
    app.get_by_test_id("r0-add-notify").click()
    app.get_by_test_id("r0-a1-user").select_option("user")
    app.get_by_test_id("try").click()
    expect(app.get_by_test_id("trial-faulty")).to_be_visible()
    app.get_by_test_id("save").click()
    expect(app.get_by_test_id("wrong")).to_be_visible()
    check(page)
    app.get_by_test_id("r0-a1-drop").click()
    expect(app.get_by_test_id("r0-a1-user")).to_have_count(0)
    app.get_by_test_id("try").click()
    app.locator("[data-testid^=why-]").first.click()
    expect(app.get_by_test_id("why")).to_be_visible()
    check(page)
    context.close()


def check(page: Page) -> None:
    no_wider_than_the_window(page)
    frame = page.frames[1]
    frame.evaluate(AXE.read_text(encoding="utf-8"))
    found = frame.evaluate(
        "axe.run(document).then((said) => said.violations.map((one) => [one.id, one.nodes[0].html]))"
    )
    assert found == []
