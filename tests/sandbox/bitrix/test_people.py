"""Users, departments, working days, lines and who may change them."""

from __future__ import annotations

import pytest

from tests.sandbox.bitrix.conftest import LINE, Raw


def test_profile_and_rights(raw: Raw) -> None:
    assert raw.ok("profile")["ADMIN"] is True
    token = raw.open(user_id=12).fields["AUTH_ID"]
    assert raw.ok("profile", token)["ADMIN"] is False
    assert raw.ok("user.admin", token) is False
    assert raw.ok("user.current", token)["UF_PHONE_INNER"] == "101"


def test_user_get_filters_and_pages(raw: Raw) -> None:
    raw.portal.users[15].active = False
    for number in range(100, 160):
        raw.sandbox.call(raw.portal.add_user, number, "User", str(number))
    first = raw.post("user.get", FILTER={"ACTIVE": True}).json()
    assert (len(first["result"]), first["next"], first["total"]) == (50, 50, 63)
    second = raw.post("user.get", filter={"ACTIVE": "Y"}, start=50).json()
    assert len(second["result"]) == 13
    assert [row["ID"] for row in raw.ok("user.get", FILTER={"ACTIVE": False})] == ["15"]
    assert [row["ID"] for row in raw.ok("user.get", FILTER={"UF_PHONE_INNER": "102"})] == ["8"]
    assert [row["ID"] for row in raw.ok("user.get", FILTER={"NAME_SEARCH": "орл"})] == ["12"]
    assert raw.ok("user.get", sort="ID", order="DESC")[0]["ID"] == "159"
    assert [row["ID"] for row in raw.ok("user.get", ID=12)] == ["12"]


def test_phones_and_mail_need_user_basic(raw: Raw) -> None:
    assert raw.ok("user.get", ID=12)[0]["EMAIL"] == "101@example.ru"
    scopes = raw.portal.apps[raw.app.client_id].scopes
    scopes[scopes.index("user_basic")] = "user_brief"
    shown = raw.ok("user.get", ID=12)[0]
    assert "EMAIL" not in shown
    assert shown["UF_PHONE_INNER"] == "101"


def test_departments_and_working_days(raw: Raw) -> None:
    assert raw.ok("department.get", NAME="Отдел продаж")[0]["UF_HEAD"] == "12"
    raw.portal.users[8].timeman = "PAUSED"
    assert raw.ok("timeman.status", USER_ID=8)["STATUS"] == "PAUSED"
    assert raw.ok("timeman.status")["STATUS"] == "OPENED"


def test_lines(raw: Raw) -> None:
    made = raw.ok("telephony.externalLine.add", NUMBER=LINE, NAME="Moscow")
    assert made == {"ID": 1}
    assert raw.fails("telephony.externalLine.add", NUMBER=LINE)[2] == "Line already exists"
    assert raw.ok("telephony.externalLine.update", NUMBER=LINE, CRM_AUTO_CREATE="N") == {"ID": "1"}
    assert raw.ok("telephony.externalLine.get") == [{"NUMBER": LINE, "NAME": "Moscow", "CRM_AUTO_CREATE": "N"}]
    with raw.portal.expect_violations():
        assert raw.fails("telephony.externalLine.update", NUMBER=LINE)[2] == "There are no fields to update"
    assert raw.ok("telephony.externalLine.delete", NUMBER=LINE) == []
    assert raw.fails("telephony.externalLine.delete", NUMBER=LINE)[2] == f"Could not find line with number {LINE}"
    assert raw.fails("telephony.externalLine.add", NUMBER=" ")[2] == "NUMBER should not be empty"


def test_lines_belong_to_their_application(raw: Raw) -> None:
    raw.register()
    other = raw.sandbox.register_application("app.other", "x", raw.app.handler_url)
    foreign = raw.sandbox.call(raw.portal.open_form, 1, other).fields["AUTH_ID"]
    assert raw.ok("telephony.externalLine.get", foreign) == []


@pytest.mark.parametrize("number", ["9" * 51, "я" * 26])
def test_a_line_over_the_field_of_fifty_bytes_is_reported(raw: Raw, number: str) -> None:
    with raw.portal.expect_violations() as violations:
        raw.ok("telephony.externalLine.add", NUMBER=number)
    assert "NUMBER is longer than 50 bytes" in str(violations[0])


def test_numbers_of_applications_are_not_listed_and_setting_one_needs_a_right(raw: Raw) -> None:
    raw.register()
    assert raw.ok("voximplant.line.get") == []
    employee = raw.open(user_id=12).fields["AUTH_ID"]
    assert raw.fails("voximplant.line.outgoing.set", employee, LINE_ID=LINE)[:2] == (403, "ACCESS_DENIED")
    assert raw.ok("voximplant.line.outgoing.set", LINE_ID="no such line") == 1, "always 1: read it back"
    assert raw.ok("voximplant.line.outgoing.get") == ""
    for line in (LINE, f"REST_APP:{raw.ok('app.info')['ID']}"):
        assert raw.ok("voximplant.line.outgoing.set", LINE_ID=line) == 1
        assert raw.ok("voximplant.line.outgoing.get") == line


def test_voximplant_user_get_waits_for_an_administrators_confirmation(raw: Raw) -> None:
    assert raw.fails("voximplant.user.get", USER_ID=12)[:2] == (401, "METHOD_CONFIRM_WAITING")
