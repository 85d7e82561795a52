"""The steps of setting up on the overview: what can be done in them with one click."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from bx24app.domain.settings import EmployeeSettings, LineResponsible, LineSettings, PbxSettings, Rule, Settings
from bx24app.models import Dictionary, Portal, db
from tests.support.frame_pages import FakeMango, Frame, has
from tests.support.frame_pages import frame as frame
from tests.support.frame_pages import mango as mango
from tests.web.conftest import claim

MOSCOW = PbxSettings(
    key="moscow", name="Moscow", lines=(LineSettings(number="74951234567", responsible=LineResponsible(users=(11,))),)
)
OWN = Rule(name="own", do=({"nothing": {}},))


@pytest.fixture(autouse=True)
def set_up(frame: Frame, mango: FakeMango) -> None:
    frame.save(Settings(pbxs=(MOSCOW,), rules=(OWN,)))


def chosen(page: str) -> list[str]:
    return re.findall(r'aria-pressed="true" class="chosen" data-testid="ready-(\w+)"', page)


def test_a_preset_is_chosen_with_one_click_and_rules_stay(frame: Frame) -> None:
    said = frame.get("/frame")
    assert chosen(said) == ["leads"]
    assert "Your 1 rule still applies first." in said
    said = frame.post("/frame/preset", {"preset": "log"})
    assert has(said, "saved")
    assert chosen(said) == ["log"]
    assert (frame.settings().calls.answered, frame.settings().calls.missed) == ("nothing", "nothing")
    assert [rule.name for rule in frame.settings().rules] == ["own"]


def test_deals_go_into_a_pipeline_of_the_portal(frame: Frame) -> None:
    with frame.site.app_context():
        stored = {"pipelines": {"2": [{"id": "0", "name": "General"}, {"id": "5", "name": "Wholesale"}]}, "stages": {}}
        db.session.add(Dictionary(portal_id=frame.portal, content=stored))
        db.session.commit()
    assert "Wholesale" in frame.get("/frame")
    said = frame.post("/frame/preset", {"preset": "deals", "category_id": "5"})
    assert chosen(said) == ["deals"], said
    [own, rule] = frame.settings().rules
    assert (own.name, rule.name) == ("own", "Deal for new clients")
    assert rule.do[0] == {"create": {"entity": "deal", "category_id": 5}}
    said = frame.post("/frame/preset", {"preset": "deals", "category_id": "99"})
    assert has(said, "wrong"), "a pipeline that the portal does not have is refused in words"
    assert frame.settings().rules[1].do[0]["create"]["category_id"] == 5


def test_two_administrators_do_not_overwrite_each_other(frame: Frame) -> None:
    version = frame.number()
    frame.save(Settings(pbxs=(MOSCOW.model_copy(update={"name": "Other"}),), rules=(OWN,)))
    said = frame.post("/frame/preset", {"preset": "log", "version": str(version)}, status=409)
    assert has(said, "conflict")
    assert frame.settings().calls.answered == "lead"


def test_only_administrators_choose(frame: Frame, client: FlaskClient) -> None:
    headers = claim(frame.site, frame.portal, admin=False)
    assert client.post("/frame/preset", data={"preset": "log"}, headers=headers).status_code == 403
    assert frame.settings().calls.answered == "lead"


def test_what_is_no_preset_is_not_found(frame: Frame) -> None:
    frame.post("/frame/preset", {"preset": "everything"}, status=404)


def test_a_portal_without_leads_is_not_offered_one(frame: Frame) -> None:
    with frame.site.app_context():
        db.session.get_one(Portal, frame.portal).crm_mode = 2
        db.session.commit()
    said = frame.get("/frame")
    assert "Contact and deal for new clients" in said
    assert "Lead for new clients" not in said


def test_sure_suggestions_are_accepted_from_the_checklist(frame: Frame, mango: FakeMango) -> None:
    assert "0 of 0 extensions matched" in frame.get("/frame"), "the overview itself asks nobody"
    assert mango.requests == []
    frame.get("/frame/pbxs/moscow/employees")
    said = frame.get("/frame")
    assert "0 of 3 extensions matched" in said
    assert has(said, "accept-sure-moscow")
    frame.post("/frame/pbxs/moscow/employees/accept", {})
    said = frame.get("/frame")
    assert "2 of 3 extensions matched" in said
    assert not has(said, "accept-sure-moscow")
    assert '<li class="done" data-testid="step-employees">' in said


def test_a_large_pbx_is_matched_on_its_own_page(frame: Frame, mango: FakeMango) -> None:
    many = tuple(EmployeeSettings(extension=str(number), user_id=11) for number in range(1000, 2500))
    frame.save(Settings(pbxs=(MOSCOW.model_copy(update={"employees": many}),)))
    frame.get("/frame/pbxs/moscow/employees")
    assert "1500 of 1503 extensions matched" in frame.get("/frame")


def test_lines_get_their_offices_people_in_the_step(frame: Frame) -> None:
    lines = (*MOSCOW.lines, LineSettings(number="74951234568", name="msk"), LineSettings(number="74951234569"))
    frame.save(Settings(pbxs=(MOSCOW.model_copy(update={"lines": lines}),), rules=(OWN,)))
    said = frame.get("/frame")
    assert "1 of 3 lines" in said
    assert has(said, "open-74951234568")
    assert not has(said, "open-74951234567"), "somebody answers for it"
    form = {
        "line-0-pbx": "moscow", "line-0-number": "74951234568", "line-0-name": "Advertising", "line-0-users": "12",
        "line-1-pbx": "moscow", "line-1-number": "74951234569", "line-1-name": "",
    }  # fmt: skip
    said = frame.post("/frame/responsible", form)
    assert has(said, "saved")
    assert "2 of 3 lines" in said
    found = {line.number: line for line in frame.settings().pbxs[0].lines}
    assert (found["74951234568"].name, found["74951234568"].responsible.users) == ("Advertising", (12,))
    assert found["74951234567"].responsible.users == (11,), "what the form does not show stays"
    assert has(frame.post("/frame/responsible", {}), "nothing")
    assert has(
        frame.post("/frame/responsible", {"line-0-pbx": "tver", "line-0-number": "1", "line-0-users": "12"}), "nothing"
    )


def test_people_chosen_for_lines_stay_after_a_conflict(frame: Frame, client: FlaskClient) -> None:
    frame.save(Settings(pbxs=(MOSCOW.model_copy(update={"lines": (LineSettings(number="74951234568"),)}),)))
    form = {
        "line-0-pbx": "moscow",
        "line-0-number": "74951234568",
        "line-0-name": "Shop",
        "line-0-users": "12",
        "version": "1",
    }
    said = frame.post("/frame/responsible", form, status=409)
    assert has(said, "conflict")
    assert 'name="line-0-users" value="12"' in said
    assert 'value="Shop"' in said
    headers = claim(frame.site, frame.portal, admin=False)
    assert client.post("/frame/responsible", data=form, headers=headers).status_code == 403


def test_many_lines_come_in_parts(frame: Frame) -> None:
    many = tuple(LineSettings(number=str(74951230000 + number)) for number in range(40))
    frame.save(Settings(pbxs=(MOSCOW.model_copy(update={"lines": many}),)))
    said = frame.get("/frame")
    assert said.count('data-testid="open-7495') == 12
    assert "28 more lines appear once these are done." in said
