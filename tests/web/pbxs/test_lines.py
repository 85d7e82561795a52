"""Lines, employees and handling of calls in the frame."""

from __future__ import annotations

from typing import Any

import pytest

from bx24app.bitrix24.errors import AnswerLost
from bx24app.domain.settings import EmployeeSettings, HoursBlock, LineResponsible, LineSettings, PbxSettings, Settings
from bx24app.mango.api_types import TRUNK, MangoLine
from bx24app.mango.errors import Unreachable
from bx24app.models import Portal, PortalUser, db
from bx24app.portals import sync
from tests.support.frame_pages import FakeMango, Frame, frame, has, mango, wrong

__all__ = ["frame", "mango"]
LINE = LineSettings(
    number="74951234567",
    name="Moscow",
    responsible=LineResponsible(users=(12,)),
    working_hours=(HoursBlock(timezone="Asia/Omsk"),),
)
OWN = LineSettings(number="74950000000", name="Written by hand")
DOCUMENT = Settings(
    pbxs=(
        PbxSettings(
            key="moscow",
            name="M",
            lines=(LINE, OWN),
            employees=(
                EmployeeSettings(extension="101", user_id=11, numbers=("79160000001",), recordings="never"),
                EmployeeSettings(extension="900", user_id=13),
            ),
        ),
    )
)
LINES, EMPLOYEES = "/frame/pbxs/moscow/lines", "/frame/pbxs/moscow/employees"


@pytest.fixture
def ready(frame: Frame, mango: FakeMango) -> Frame:
    """The document above is saved."""
    frame.save(DOCUMENT)
    return frame


def line(index: int, number: str, **fields: Any) -> dict[str, Any]:
    """The fields of one line as the form sends them."""
    used = {f"line-{index}-used": "1"} if fields.pop("used", True) else {}
    return used | {f"line-{index}-number": number} | {f"line-{index}-{name}": value for name, value in fields.items()}


def test_lines_of_the_document_and_of_mango_stand_together(ready: Frame) -> None:
    said = ready.get(LINES)
    for number in ("74951234567", "74950000000", "78121234567"):
        assert has(said, f"line-{number}")
    assert said.count("no longer in Mango Office") == 1
    assert said.count("not used") == 1
    assert "Petrov Ivan" in said


def test_mango_is_asked_once_in_ten_minutes_and_again_on_demand(ready: Frame, mango: FakeMango) -> None:
    ready.get(LINES)
    ready.get(LINES)
    assert mango.requests == ["lines"]
    ready.get(LINES + "?fresh=1")
    assert mango.requests == ["lines", "lines"]


def test_a_silent_mango_shows_what_is_saved(ready: Frame, mango: FakeMango) -> None:
    mango.error = Unreachable("no connection")
    said = ready.get(LINES)
    assert has(said, "mango-trouble")
    assert has(said, "line-74951234567")
    assert "no longer in Mango Office" not in said
    assert has(ready.get(EMPLOYEES), "row-101")


def test_a_line_is_saved_with_all_its_parts(ready: Frame) -> None:
    hours = {
        f"line-0-hours-0-{name}": value
        for name, value in {
            "days": ["sat", "mon"],
            "from": "08:00",
            "to": "24:00",
            "holidays": "2026-01-01; 2026-01-02",
            "timezone": "Asia/Omsk",
        }.items()
    }
    form = line(
        0,
        "74951234567",
        name="New",
        users=["11", "12", "11"],
        strategy="first",
        line_number="495",
        callback_to="300",
        recordings="never",
    )
    assert has(ready.post(LINES, form | hours), "saved")
    first, second = ready.settings().pbxs[0].lines
    assert second == OWN, "a line that the form did not show stays"
    assert (first.name, first.line_number, first.callback_to, first.recordings) == ("New", "495", "300", "never")
    assert first.responsible == LineResponsible(users=(11, 12), strategy="first")
    block = first.working_hours[0]
    assert (block.days, block.from_, block.to, block.timezone) == (("mon", "sat"), "08:00", "24:00", "Asia/Omsk")
    assert [day.isoformat() for day in block.holidays] == ["2026-01-01", "2026-01-02"]


def test_a_new_line_of_mango_is_added_by_its_tick(ready: Frame) -> None:
    ready.post(LINES, line(0, "78121234567", name="Petersburg"))
    assert [one.number for one in ready.settings().pbxs[0].lines] == ["74951234567", "74950000000", "78121234567"]


def test_trunks_are_offered_by_their_names(ready: Frame, mango: FakeMango) -> None:
    sip_line = MangoLine("sip:main@mangosip.ru", "main", "1", "sip")
    mango.lines = (MangoLine("roistat-1", "Roistat", "780", TRUNK), sip_line)
    page = ready.get(f"{LINES}?fresh=1")
    assert has(page, "trunk-roistat-1")
    assert not has(page, "trunk-sip:main@mangosip.ru")
    assert page.count("calls go out on this line by its name") == 1, "at the SIP line"
    ready.post(LINES, line(0, "roistat-1", name="Roistat"))
    assert ready.settings().pbxs[0].by_line["roistat-1"].name == "Roistat"


def test_a_post_with_an_empty_list_deletes_nothing(ready: Frame) -> None:
    for path in (LINES, EMPLOYEES, "/frame/policy"):
        assert has(ready.post(path, {}), "nothing")
    assert ready.settings() == DOCUMENT
    assert ready.number() == 1


def test_unticking_tells_what_is_lost_and_asks(ready: Frame) -> None:
    form = line(0, "74951234567", used=False, name="Moscow") | line(1, "74950000000", name="Typed meanwhile")
    said = ready.post(LINES, form)
    assert has(said, "lines-gone")
    assert "1 line will be removed: 74951234567" in said
    assert "Typed meanwhile" in said
    assert ready.settings() == DOCUMENT
    ready.post(LINES, form | {"confirm": "yes"})
    assert [one.name for one in ready.settings().pbxs[0].lines] == ["Typed meanwhile"]


def test_unticking_what_was_never_saved_asks_nothing(ready: Frame) -> None:
    assert has(ready.post(LINES, line(0, "78121234567", used=False)), "nothing")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hours-0-days": "mon", "hours-0-from": "9", "hours-0-to": "18:00"}, "Enter a time such as 09:00."),
        ({"hours-0-days": "mon", "hours-0-from": "09:00", "hours-0-to": "09:00"}, "end when they begin"),
        (
            {"hours-0-days": "mon", "hours-0-from": "09:00", "hours-0-to": "18:00", "hours-0-holidays": "soon"},
            "Enter a date such as",
        ),
        ({"name": "x", "line_number": "9" * 51}, "At most 50 characters"),
    ],
)
def test_a_fault_stands_at_its_line_and_nothing_is_saved(ready: Frame, fields: dict[str, str], words: str) -> None:
    said = ready.post(LINES, line(0, "74950000000", name="x") | line(1, "74951234567", **({"name": "Kept"} | fields)))
    assert has(said, "wrong")
    assert words in said.split('data-testid="line-74951234567"')[1]
    assert words not in said.split('data-testid="line-74951234567"')[0]
    assert ready.settings() == DOCUMENT


def test_a_number_of_another_line_is_refused_at_its_field(ready: Frame) -> None:
    said = ready.post(LINES, line(3, "74950000000", name="x", line_number="74951234567"))
    assert wrong(said) == {"line-0-line_number": "This number is already a line of the PBX moscow."}


def test_a_user_whom_nobody_knows_is_looked_up_in_the_portal(ready: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "fetch_users", lambda portal_id: {11, 77})
    said = ready.post(LINES, line(0, "74951234567", name="Moscow", users=["88"]))
    assert "no such active employee" in said
    assert ready.number() == 1
    ready.post(LINES, line(0, "74951234567", name="Moscow", users=["77"]))
    assert ready.settings().pbxs[0].lines[0].responsible.users == (77,)

    def silent(portal_id: int) -> set[int]:
        raise AnswerLost("x")

    monkeypatch.setattr(sync, "fetch_users", silent)
    assert "cannot be checked" in ready.post(LINES, line(0, "74951234567", name="Moscow", users=["99"]))


def test_employees_are_suggested_with_their_reason(ready: Frame, mango: FakeMango) -> None:
    said = ready.get(EMPLOYEES)
    assert "2 of 4 extensions are matched." in said
    row = said.split('data-testid="row-102"')[1].split("</tr>")[0]
    assert "Perhaps Petrov Ivan" in row
    assert "same mobile" in row
    stranger = said.split('data-testid="row-103"')[1].split("</tr>")[0]
    assert "Perhaps" not in stranger, "the one with this internal number is dismissed"
    assert "Dismissed: Bitrix24" in said.split('data-testid="row-900"')[1]
    assert has(said, "accept-sure")


def test_all_sure_suggestions_are_taken_at_once(ready: Frame) -> None:
    assert has(ready.post(EMPLOYEES + "/accept", {}), "saved")
    found = {one.extension: one.user_id for one in ready.settings().pbxs[0].employees}
    assert found == {"101": 11, "900": 13, "102": 12}


def test_only_unmatched_and_search(ready: Frame) -> None:
    said = ready.get(EMPLOYEES + "?unmapped=1")
    assert has(said, "row-102")
    assert not has(said, "row-101")
    said = ready.get(EMPLOYEES + "?q=smirn")
    assert has(said, "row-101")
    assert not has(said, "row-102")
    assert has(ready.get(EMPLOYEES + "?q=nobody+at+all"), "nothing-found")


def row(index: int, extension: str, user: str, numbers: str = "") -> dict[str, str]:
    fields = {"extension": extension, "user": user, "numbers": numbers}
    return {f"row-{index}-{name}": value for name, value in fields.items()}


def test_only_the_rows_that_are_sent_change(ready: Frame) -> None:
    said = ready.post(EMPLOYEES, row(0, "101", "12", "79160000001, 79160000002") | row(5, "103", "11"))
    assert has(said, "saved")
    found = {one.extension: one for one in ready.settings().pbxs[0].employees}
    assert found["101"] == EmployeeSettings(
        extension="101", user_id=12, numbers=("79160000001", "79160000002"), recordings="never"
    )
    assert found["103"].user_id == 11
    assert found["900"].user_id == 13


def test_a_row_without_a_user_takes_its_mapping_away(ready: Frame) -> None:
    ready.post(EMPLOYEES, row(0, "900", "") | {"confirm": "yes"})
    assert [one.extension for one in ready.settings().pbxs[0].employees] == ["101"]


def test_a_fault_stands_at_its_row(ready: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "fetch_users", lambda portal_id: {11})
    said = ready.post(EMPLOYEES, row(0, "103", "55") | row(1, "102", "12"))
    assert "no such active employee" in said.split('data-testid="row-103"')[1].split("</tr>")[0]
    assert "no such active employee" not in said.split('data-testid="row-102"')[1].split("</tr>")[0]
    assert 'value="12"' in said.split('data-testid="row-102"')[1].split("</tr>")[0], "what was chosen is still there"
    assert ready.settings() == DOCUMENT


def test_handling_of_calls(ready: Frame) -> None:
    form = {
        "answered": "contact",
        "missed": "activity",
        "outgoing": "lead",
        "transfer_responsible": "always",
        "card": "answer",
        "hidden_number": "skip",
        "internal_calls": "log",
        "attach": "never",
        "min_seconds": "5",
        "timezone": "Asia/Omsk",
        "default_user_id": "12",
    }
    assert has(ready.post("/frame/policy", form), "saved")
    found = ready.settings()
    assert (found.portal.timezone, found.portal.default_user_id) == ("Asia/Omsk", 12)
    calls = found.calls.model_dump()
    assert {name: calls[name] for name in form if name in calls} == {name: form[name] for name in form if name in calls}
    assert calls["recordings"] == {"attach": "never", "min_seconds": 5}
    assert found.pbxs == DOCUMENT.pbxs


@pytest.mark.parametrize(
    ("name", "value"),
    [("min_seconds", "-1"), ("min_seconds", "many"), ("timezone", "Mars/Olympus"), ("answered", "gift")],
)
def test_faults_of_the_policy_stand_at_their_fields(ready: Frame, name: str, value: str) -> None:
    said = ready.post("/frame/policy", {name: value})
    assert set(wrong(said)) == {name}
    assert value in said or name == "answered"
    assert ready.settings() == DOCUMENT


def test_a_crm_without_leads_says_what_is_made_instead(ready: Frame) -> None:
    assert "works without leads" not in ready.get("/frame/policy")
    with ready.site.app_context():
        db.session.query(Portal).update({"crm_mode": 2})
        db.session.commit()
    assert "works without leads" in ready.get("/frame/policy")


def test_the_overview_ticks_what_is_done(ready: Frame) -> None:
    said = ready.get("/frame")
    assert '<li class="done" data-testid="step-employees">' in said
    assert '<li class="" data-testid="step-lines">' in said
    assert "1 of 2 lines" in said


def test_names_of_people_are_escaped(ready: Frame) -> None:
    with ready.site.app_context():
        db.session.query(PortalUser).filter_by(user_id=12).update({"name": "<script>alert(1)</script>"})
        db.session.commit()
    for path in (LINES, EMPLOYEES, "/frame"):
        assert "<script>alert" not in ready.get(path)


def test_hundreds_of_lines_are_searched_and_what_is_not_shown_stays(frame: Frame, mango: FakeMango) -> None:
    lines = tuple(LineSettings(number=f"7495{number:07d}", name=f"Line {number}") for number in range(120))
    frame.save(Settings(pbxs=(PbxSettings(key="moscow", name="Moscow", lines=lines),)))
    said = frame.get(LINES)
    assert said.count('data-testid="used-') == 50
    assert "50 of 122 are shown" in said, "two more are Mango's own"
    found = frame.get(f"{LINES}?q=Line 117")
    assert found.count('data-testid="used-') == 1
    form = {"line-0-number": "74950000117", "line-0-used": "1", "line-0-name": "Renamed", "q": "Line 117"}
    assert has(frame.post(LINES, form), "saved")
    kept = frame.settings().pbxs[0].lines
    assert (len(kept), kept[117].name) == (120, "Renamed")
    assert has(frame.get(f"{LINES}?q=nothing like it"), "nothing-found")
