"""What pages say of the portal itself, over a sandbox portal: dismissed employees, the outgoing line, inner numbers,
short answers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from rq import Queue

from bx24app.domain.settings import EmployeeSettings, LineResponsible, LineSettings, PbxSettings, Rule, Settings
from bx24app.domain.settings import PortalSettings as PortalPart
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Notice, PortalUser, db, utcnow
from bx24app.models import Pbx as PbxRow
from bx24app.operations.alerts import dismissed_employees
from bx24app.portals import lifecycle, sync
from bx24app.sandbox.mango import MangoCloud
from bx24app.sandbox.mango.model import Pbx as Product
from tests.conftest import config_for
from tests.support.frame_pages import Frame, has
from tests.support.stack import World, until, world

ANNA, IVAN, OLGA = 201, 202, 203
DOCUMENT = Settings(
    portal=PortalPart(default_user_id=1),
    pbxs=(
        PbxSettings(
            key="moscow",
            name="Moscow",
            lines=(LineSettings(number="74951234567", responsible=LineResponsible(users=(IVAN,))),),
            employees=(
                EmployeeSettings(extension="101", user_id=ANNA),
                EmployeeSettings(extension="102", user_id=IVAN),
            ),
        ),
    ),
    rules=(Rule(name="Say it", do=({"notify": {"user": ANNA, "text": "x"}},)),),
)
EMPLOYEES, POLICY = "/frame/pbxs/moscow/employees", "/frame/policy"


@pytest.fixture(scope="module")
def earth(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[World]:
    """An installed portal with three employees; workers run."""
    with world(tmp_path_factory.mktemp("side"), valkey_url, config_for) as made:
        made.portal.license = "ru_ent250"
        made.portal.limits.rate = 0
        made.mango.limits.is_enabled = False
        made.sandbox.call(made.add_users, [ANNA, IVAN, OLGA])
        made.work()
        made.install()
        until(lambda: IVAN in directory(made), "the directory was never read")
        yield made


@pytest.fixture
def frame(earth: World) -> Iterator[Frame]:
    """The administrator's frame with the document above; afterwards everybody is employed again."""
    made = Frame(earth.app, earth.app.test_client(), earth.portal_row()["id"])
    pbx = earth.sandbox.call(product, earth.mango)
    earth.sandbox.call(earth.portal.notifications.clear)
    made.save(DOCUMENT, (pbx.api_key, pbx.api_salt))
    yield made
    for user in (ANNA, IVAN, OLGA):
        employ(earth, user, True)
    look(earth, made.portal)


def product(mango: MangoCloud) -> Product:
    """The PBX as its owner set it up."""
    if not mango.boards:
        pbx = mango.add_pbx(name="moscow").pbx
        pbx.add_line("74951234567")
        pbx.add_employee("101", "Worker 201", email="u201@portal.test")
        pbx.add_employee("103", "Worker 203", email="u203@portal.test")
    return next(iter(mango.boards.values())).pbx


def directory(earth: World) -> set[int]:
    with earth.app.app_context():
        return set(db.session.scalars(db.select(PortalUser.user_id)))


def employ(earth: World, user: int, active: bool) -> None:
    earth.sandbox.call(setattr, earth.portal.users[user], "active", active)


def look(earth: World, portal: int) -> None:
    """The daily look, and what it tells; not beside the workers' own, which may have read the users before the test
    changed them.
    """
    idle(earth)
    with earth.app.app_context():
        sync.sync_portal(portal)
        dismissed_employees.notify_administrators(portal)


def idle(earth: World) -> None:
    """Until no background job waits or runs."""
    with earth.app.app_context():
        queue = Queue("background", connection=runtime().redis)
        until(lambda: not len(queue) and not queue.started_job_registry.count, "the workers never rest")


def notices(earth: World, user: int) -> list[str]:
    """What was said of this employee; the workers' own look may tell of another test's meanwhile."""
    return [one.message for one in earth.portal.notifications.values() if one.tag == f"BX24APP|dismissed:{user}"]


def call(earth: World, portal: int, **values: Any) -> None:
    with earth.app.app_context():
        pbx = db.session.scalars(db.select(PbxRow)).first()
        assert pbx is not None
        values = {"started_at": utcnow() - timedelta(hours=1), "pbx_id": pbx.id, "pbx_key": pbx.key} | values
        db.session.add(Call(portal_id=portal, **values))
        db.session.commit()


def test_a_dismissed_employee_is_reported_wherever_the_settings_name_them(earth: World, frame: Frame) -> None:
    assert not has(frame.get(EMPLOYEES), "dismissed")
    for user in (ANNA, IVAN):
        employ(earth, user, False)
    look(earth, frame.portal)
    said = frame.get(EMPLOYEES)
    assert has(said, f"dismissed-{ANNA}")
    assert "Moscow, extension 101" in said
    assert "Moscow, line 74951234567" in said
    assert "Say it" not in said, "the page of a PBX tells of that PBX"
    home = frame.get("/frame")
    assert "2 dismissed employees" in home
    assert "Say it" in home
    assert not has(home, f"dismissed-{OLGA}")
    assert frame.settings().by_key["moscow"].by_extension["101"].user_id == ANNA, "nothing is changed by itself"


def test_administrators_are_told_once_and_once_more_when_it_is_over(earth: World, frame: Frame) -> None:
    employ(earth, IVAN, False)
    for _ in range(3):
        look(earth, frame.portal)
    [told] = notices(earth, IVAN)
    assert "Worker 202" in told
    assert "102" in told
    first = dict(earth.portal.notifications)
    employ(earth, IVAN, True)
    for _ in range(2):
        look(earth, frame.portal)
    [over] = notices(earth, IVAN)
    assert over != told
    assert set(earth.portal.notifications) - set(first), "the second notice is a new one"
    with earth.app.app_context():
        assert db.session.get(Notice, (frame.portal, f"dismissed:{IVAN}")) is None


def test_a_notice_that_the_portal_did_not_take_is_told_by_the_next_look(earth: World, frame: Frame) -> None:
    employ(earth, OLGA, False)
    frame.save(DOCUMENT.model_copy(update={"portal": PortalPart(default_user_id=OLGA)}), ("key", "salt"))
    earth.sandbox.call(earth.portal.notifications.clear)
    earth.sandbox.call(lambda: earth.portal.switches.switch_on("http503", method="batch"))
    with earth.app.app_context():
        earth.sandbox.call(earth.portal.switches.switch_off)
        sync.sync_portal(frame.portal)
        earth.sandbox.call(lambda: earth.portal.switches.switch_on("http503"))
        dismissed_employees.notify_administrators(frame.portal)
        assert notices(earth, OLGA) == []
        earth.sandbox.call(earth.portal.switches.switch_off)
        dismissed_employees.notify_administrators(frame.portal)
    [told] = notices(earth, OLGA)
    assert "Worker 203" in told


def test_short_answers_of_either_side_take_no_mapping_away(earth: World, frame: Frame) -> None:
    before = frame.settings()
    pbx = product(earth.mango)
    people, seats = dict(earth.portal.users), list(pbx.employees)
    try:
        for kept in (1, 0):
            earth.sandbox.call(lambda: [earth.portal.users.pop(user, None) for user in (ANNA, IVAN)])
            earth.sandbox.call(lambda left=kept: pbx.employees.__delitem__(slice(left, None)))
            look(earth, frame.portal)
            said = frame.get(EMPLOYEES + "?fresh=1")
            assert not has(said, "mango-trouble"), "the PBX answered, with less"
            assert has(said, "row-101")
            assert has(said, "row-102")
            assert "Worker 201" in said
            assert "Worker 202" in said
            assert not has(said, "dismissed"), "who is missing in an answer was not dismissed"
        frame.post(EMPLOYEES, {"row-0-extension": "103", "row-0-user": str(OLGA)})
        kept_employees = {one.extension: one.user_id for one in frame.settings().by_key["moscow"].employees}
        assert kept_employees == {"101": ANNA, "102": IVAN, "103": OLGA}
        frame.post(EMPLOYEES, {})
        assert len(frame.settings().by_key["moscow"].employees) == 3, "an empty form changes nothing"
        assert frame.settings().rules == before.rules
    finally:
        earth.sandbox.call(lambda: (earth.portal.users.update(people), pbx.employees.__setitem__(slice(None), seats)))


def test_suggestions_say_why(earth: World, frame: Frame) -> None:
    said = frame.get(EMPLOYEES + "?fresh=1")
    assert has(said, "accept-103")
    assert "(same e-mail)" in said


def test_calls_of_an_extension_that_is_nobodys_are_counted_and_ready_to_be_matched(earth: World, frame: Frame) -> None:
    for number, values in enumerate(
        ({"unmapped": "103"}, {"unmapped": "103,777"}, {"unmapped": "101"}, {"unmapped": None, "users": [ANNA]})
    ):
        call(earth, frame.portal, entry_id=f"unmapped-{number}", **values)
    old = utcnow() - timedelta(days=8)
    call(earth, frame.portal, entry_id="unmapped-old", unmapped="777", started_at=old)
    said = frame.get(EMPLOYEES + "?fresh=1")
    assert "2 extensions had calls in the last 7 days" in said
    assert has(said, "lost-103")
    assert has(said, "find-103")
    assert has(said, "lost-777"), "an extension that no list names has a row of its own"
    assert not has(said, "lost-101"), "meanwhile it is somebody's"
    row = said[said.index('data-testid="row-777"') :]
    assert "data-pick" in row[: row.index("</tr>")]
    assert ">1 <" in row[: row.index("</tr>")]
    frame.post(EMPLOYEES, {"row-0-extension": "777", "row-0-user": str(OLGA)})
    assert not has(frame.get(EMPLOYEES), "lost-777")


def state(said: str) -> str:
    """What the section says of the portal's default number."""
    return said.partition('data-testid="portal-outgoing" data-state="')[2].partition('"')[0]


def _hits_at_rest(earth: World) -> int:
    """Requests to the portal, once no job in the background has sent one for a second."""
    seen, since = earth.portal.hits, time.monotonic()

    def is_at_rest() -> bool:
        nonlocal seen, since
        if earth.portal.hits != seen:
            seen, since = earth.portal.hits, time.monotonic()
        return time.monotonic() - since > 1

    until(is_at_rest, "jobs in the background go on asking the portal")
    return seen


def test_the_portals_default_number_is_shown_as_it_was_read(earth: World, frame: Frame) -> None:
    app_line = f"REST_APP:{next(iter(earth.portal.apps.values())).id}"
    hits = _hits_at_rest(earth)
    for chosen, expected in (("", "none"), (app_line, "app"), ("74951234567", "line"), ("reg12", "other")):
        earth.sandbox.call(setattr, earth.portal, "outgoing_line", chosen)
        said = frame.post(POLICY + "/outgoing", {})
        assert state(said) == expected
        assert "<form" not in said, "only the section: what the form holds stays"
        seen = _hits_at_rest(earth)
        assert state(frame.get(POLICY)) == expected
        assert earth.portal.hits == seen, "no page asks the portal"
    assert earth.portal.hits > hits
    assert "Bitrix24 does not show it to applications" in frame.get(POLICY)


def test_what_cannot_be_read_is_said(earth: World, frame: Frame) -> None:
    earth.sandbox.call(lambda: earth.portal.switches.switch_on("right_removed", method="voximplant.line.outgoing.get"))
    assert state(frame.post(POLICY + "/outgoing", {})) == "refused"
    earth.sandbox.call(earth.portal.switches.switch_off)
    administrator = earth.portal.users[1]
    earth.sandbox.call(administrator.rights.update, {"lines": False})
    assert state(frame.post(POLICY + "/outgoing", {})) == "refused"
    assert earth.portal_row()["state"] == "active", "a right that calls do not need stops nothing"
    look(earth, frame.portal)
    assert earth.portal_row()["state"] == "active"
    earth.sandbox.call(administrator.rights.clear)
    earth.sandbox.call(lambda: earth.portal.switches.switch_on("http503"))
    said = frame.post(POLICY + "/outgoing", {})
    assert has(said, "outgoing-trouble")
    assert state(said) == "refused", "what was read last stays"
    earth.sandbox.call(earth.portal.switches.switch_off)


def test_lines_follow_and_are_looked_at_after_saving(earth: World, frame: Frame) -> None:
    line = LineSettings(number="74950001122", name="New")
    pbx = DOCUMENT.pbxs[0].model_copy(update={"lines": (line,)})
    frame.post(POLICY + "/outgoing", {})
    frame.save(DOCUMENT.model_copy(update={"pbxs": (pbx,)}), ("key", "salt"))
    assert has(frame.get(POLICY), "lines-missing")
    with earth.app.app_context():
        lifecycle.queue_line_sync(frame.portal)
    until(lambda: not has(frame.get(POLICY), "lines-missing"), "the new line is never seen in the portal")


def test_inner_numbers_that_the_portal_may_take_for_clients_are_warned_of(earth: World, frame: Frame) -> None:
    numbers = {ANNA: "101", IVAN: "79160000102", OLGA: "204"}
    for user, number in numbers.items():
        earth.sandbox.call(setattr, earth.portal.users[user], "uf_phone_inner", number)
    look(earth, frame.portal)
    said = frame.get(POLICY)
    assert has(said, f"collision-{IVAN}"), "it looks like a telephone in the world"
    assert not has(said, f"collision-{ANNA}")
    call(earth, frame.portal, entry_id="inner-1", client_number="204")
    call(earth, frame.portal, entry_id="inner-2", client_number="+79160000102")
    said = frame.get(POLICY)
    assert has(said, f"collision-{OLGA}")
    assert said.count("1 client call with this number") == 2
    for user in numbers:
        earth.sandbox.call(setattr, earth.portal.users[user], "uf_phone_inner", "")
    look(earth, frame.portal)
    assert not has(frame.get(POLICY), "collisions")
