"""The mapping table of a PBX: what it takes away is told in numbers first; what was typed stays where it is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bx24app.domain.settings import EmployeeSettings, PbxSettings, Settings
from bx24app.models import Call, PortalUser, db, utcnow
from bx24app.models import Pbx as PbxRow
from bx24app.portals import pbx_members
from tests.support.frame_pages import USERS, FakeMango, Frame, has
from tests.support.frame_pages import frame as frame
from tests.support.frame_pages import mango as mango

PAGE = "/frame/pbxs/moscow/employees"
MOSCOW = PbxSettings(
    key="moscow",
    name="Moscow",
    employees=(EmployeeSettings(extension="101", user_id=11), EmployeeSettings(extension="102", user_id=12)),
)


@pytest.fixture(autouse=True)
def set_up(frame: Frame, mango: FakeMango) -> None:
    frame.save(Settings(pbxs=(MOSCOW,)))


def mapped(frame: Frame) -> dict[str, int]:
    return {one.extension: one.user_id for one in frame.settings().by_key["moscow"].employees}


def row(extension: str, user: str = "", number: int = 0) -> dict[str, str]:
    return {f"row-{number}-extension": extension, f"row-{number}-user": user}


def test_what_taking_away_stops_is_told_before_it_happens(frame: Frame) -> None:
    with frame.site.app_context():
        pbx = db.session.query(PbxRow).one()
        yesterday = utcnow() - timedelta(days=1)
        for number, user in enumerate((12, 12, 11)):
            told = {"entry_id": str(number), "started_at": yesterday, "user_id": user}
            db.session.add(Call(portal_id=frame.portal, pbx_id=pbx.id, pbx_key="moscow", **told))
        db.session.commit()
    form = row("102") | row("103", "11", 1)
    said = frame.post(PAGE, form)
    assert "1 extension will have no employee: 102" in said
    assert "Their employees talked in 2 calls yesterday." in said
    assert mapped(frame) == {"101": 11, "102": 12}, "not before it was confirmed"
    assert has(said, "confirm-gone")
    assert 'data-row data-changed id="row-102"' in said, "sent again with the confirmation"
    assert 'data-row data-changed id="row-103"' in said
    assert 'data-row id="row-101"' in said
    assert has(frame.post(PAGE, form | {"confirm": "yes"}), "saved")
    assert mapped(frame) == {"101": 11, "103": 11}


def test_giving_an_extension_to_somebody_else_needs_no_confirmation(frame: Frame) -> None:
    assert has(frame.post(PAGE, row("102", "11")), "saved")
    assert mapped(frame) == {"101": 11, "102": 11}


def test_an_empty_form_takes_nothing_away(frame: Frame) -> None:
    assert has(frame.post(PAGE, {}), "nothing")
    assert mapped(frame) == {"101": 11, "102": 12}


def test_a_row_that_is_wrong_has_its_fault_beside_it_and_nothing_is_saved(frame: Frame) -> None:
    said = frame.post(PAGE, row("102", "11") | {"row-0-numbers": "7" * 65} | row("103", "11", 1))
    assert has(said, "wrong")
    there = said[said.index('id="row-102"') :]
    assert 'class="wrong" role="alert"' in there[: there.index("</tr>")]
    assert mapped(frame) == {"101": 11, "102": 12}


def test_a_mobile_that_is_no_telephone_is_said_beside_its_row(frame: Frame) -> None:
    said = frame.post(PAGE, row("102", "11") | {"row-0-numbers": "8 (916) 000-00-01, Anna's"})
    there = said[said.index('id="row-102"') :]
    assert "Enter a phone number such as" in there[: there.index("</tr>")]
    frame.post(PAGE, row("102", "11") | {"row-0-numbers": "8 (916) 000-00-01 +79160000002, 79160000003 79160000004"})
    (one,) = [one for one in frame.settings().pbxs[0].employees if one.extension == "102"]
    assert one.numbers == ("8 (916) 000-00-01", "+79160000002", "79160000003", "79160000004")


def test_after_a_conflict_the_typed_rows_are_sent_again(frame: Frame) -> None:
    version = frame.number()
    frame.save(Settings(pbxs=(MOSCOW.model_copy(update={"name": "Other"}),)))
    said = frame.post(PAGE, row("102", "11") | {"version": str(version)}, status=409)
    assert has(said, "conflict")
    assert 'data-row data-changed id="row-102"' in said


def test_thousands_of_employees_are_searched_not_shown(frame: Frame) -> None:
    many = tuple(EmployeeSettings(extension=str(number), user_id=11) for number in range(1000, 4000))
    with frame.site.app_context():
        db.session.add(PortalUser(portal_id=frame.portal, user_id=50, name="Fifty"))
        db.session.commit()
    frame.save(Settings(pbxs=(MOSCOW.model_copy(update={"employees": many}),)))
    said = frame.get(PAGE)
    assert said.count("data-row ") == 100
    assert "1–100 of 3003" in said
    assert not has(said, "part-before")
    last = frame.get(f"{PAGE}?part=99")
    assert "3001–3003 of 3003" in last
    assert has(last, "part-before")
    assert not has(last, "part-next")
    assert "101–200 of 3003" in frame.post(PAGE, {"part": "2"}), "saving stays where one was"
    found = frame.get(f"{PAGE}?q=3777")
    assert has(found, "row-3777")
    assert found.count("data-row ") == 1
    assert has(frame.post(PAGE, row("3777", "50") | {"q": "3777"}), "saved")
    assert len(mapped(frame)) == 3000
    assert mapped(frame)["3777"] == 50


def test_the_ids_of_mango_s_statistics_are_stored_when_employees_are_read(frame: Frame, mango: FakeMango) -> None:
    with frame.site.app_context():
        db.session.query(PbxRow).update({"api_key": "key", "api_salt": "salt"})
        db.session.commit()
    frame.get(PAGE)
    assert mango.requests.count("users") == 1
    with frame.site.app_context():
        pbx_id = db.session.query(PbxRow.id).scalar()
        stored = pbx_members.load_extensions(pbx_id, "user", ())
    assert stored == {user.user_id: user.extension for user in USERS if user.user_id and user.extension}
    assert stored
