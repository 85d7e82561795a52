"""telephony.externalCall.register: deduplication, lines, clients and the records that it creates."""

from __future__ import annotations

import pytest

from tests.sandbox.bitrix.conftest import LINE, PHONE, Raw

REGISTER = "telephony.externalCall.register"


def test_an_unfinished_call_of_the_same_user_phone_type_line_and_external_id_is_the_same_call(raw: Raw) -> None:
    first = raw.register(EXTERNAL_CALL_ID="a")["CALL_ID"]
    assert raw.register(EXTERNAL_CALL_ID="a")["CALL_ID"] == first
    assert raw.register()["CALL_ID"] == first, "without EXTERNAL_CALL_ID it is no part of the key"
    others = [
        raw.register(EXTERNAL_CALL_ID="b"),
        raw.register(EXTERNAL_CALL_ID="a", USER_ID=8),
        raw.register(EXTERNAL_CALL_ID="a", PHONE_NUMBER="+79060000000"),
        raw.register(EXTERNAL_CALL_ID="a", TYPE=3),
        raw.register(EXTERNAL_CALL_ID="a", LINE_NUMBER="74950000002"),
    ]
    assert len({first, *(other["CALL_ID"] for other in others)}) == 6


def test_two_parallel_calls_without_external_id_collapse_and_the_second_finish_fails(raw: Raw) -> None:
    first, second = raw.register()["CALL_ID"], raw.register()["CALL_ID"]
    assert first == second
    raw.finish(first)
    assert raw.fails("telephony.externalCall.finish", CALL_ID=second, USER_ID=12)[2].startswith("Call is not found")


def test_the_date_of_a_call_is_its_start_date_so_a_back_dated_one_never_dedupes(raw: Raw) -> None:
    old = {"CALL_START_DATE": "2024-01-15T10:00:00+03:00", "EXTERNAL_CALL_ID": "old"}
    assert raw.register(**old)["CALL_ID"] != raw.register(**old)["CALL_ID"]


def test_thirty_minutes_later_it_is_another_call(raw: Raw) -> None:
    first = raw.register(EXTERNAL_CALL_ID="a")["CALL_ID"]
    raw.sandbox.clock.advance(29 * 60)
    assert raw.register(EXTERNAL_CALL_ID="a")["CALL_ID"] == first
    raw.sandbox.clock.advance(2 * 60)
    assert raw.register(EXTERNAL_CALL_ID="a")["CALL_ID"] != first


def test_register_after_finish_makes_a_second_call(raw: Raw) -> None:
    first = raw.register(EXTERNAL_CALL_ID="a")["CALL_ID"]
    raw.finish(first)
    assert raw.register(EXTERNAL_CALL_ID="a")["CALL_ID"] != first


def test_an_inactive_or_unknown_user_is_refused(raw: Raw) -> None:
    raw.portal.users[15].active = False
    for user in (15, 999):
        assert raw.fails(REGISTER, USER_ID=user, PHONE_NUMBER=PHONE, TYPE=2) == (
            400,
            "ERROR_CORE",
            "User is not found or is not active",
        )


def test_a_number_without_digits_is_refused(raw: Raw) -> None:
    for number in ("anonymous", "Скрыт"):
        status, _, text = raw.fails(REGISTER, USER_ID=12, PHONE_NUMBER=number, TYPE=2)
        assert (status, text) == (400, "Unsupported phone number format")


def test_an_inner_number_turns_the_crm_off(raw: Raw) -> None:
    raw.sandbox.call(raw.portal.add_contact, "Namesake", "103")
    answer = raw.register(PHONE_NUMBER="103", CRM_CREATE=1)
    assert (answer["CRM_ENTITY_TYPE"], answer["CRM_ENTITY_ID"], answer["CRM_CREATED_ENTITIES"]) == ("", None, [])
    assert raw.finish(answer["CALL_ID"])["CRM_ACTIVITY_ID"] is None
    assert not raw.portal.activities
    raw.portal.users[15].active = False
    assert raw.register(PHONE_NUMBER="103")["CRM_ENTITY_TYPE"] == "CONTACT", "a dismissed user's number is free"


def test_an_unknown_line_is_created_and_cut_to_fifty_characters(raw: Raw) -> None:
    with raw.portal.expect_violations() as violations:
        raw.register(LINE_NUMBER=f"  {'9' * 60}")
    assert "LINE_NUMBER is longer than 50 bytes" in str(violations[0])
    assert raw.ok("telephony.externalLine.get") == [{"NUMBER": "9" * 50, "NAME": "", "CRM_AUTO_CREATE": "Y"}]


def test_a_long_line_is_cut_within_a_letter(raw: Raw) -> None:
    with raw.portal.expect_violations():
        raw.register(LINE_NUMBER="x" + "я" * 30)
    [line] = raw.portal.lines.values()
    assert line.number == "x" + "я" * 24 + "\ufffd"


def test_uninstalling_deletes_the_lines(raw: Raw) -> None:
    raw.register()
    assert raw.portal.lines
    raw.hand("uninstall", raw.app)
    assert not raw.portal.lines


def test_calls_that_nobody_finishes_are_cleaned_after_thirty_days(raw: Raw) -> None:
    call_id = raw.register()["CALL_ID"]
    raw.sandbox.clock.advance(29 * 86400)
    raw.token = raw.open().fields["AUTH_ID"]
    raw.register(PHONE_NUMBER="+79060000001")
    assert call_id in raw.portal.calls
    raw.sandbox.clock.advance(2 * 86400)
    raw.token = raw.open().fields["AUTH_ID"]
    raw.register(PHONE_NUMBER="+79060000002")
    assert call_id not in raw.portal.calls


def test_another_user_id_is_another_call(raw: Raw) -> None:
    assert raw.register(EXTERNAL_CALL_ID="a")["CALL_ID"] != raw.register(EXTERNAL_CALL_ID="a", USER_ID=8)["CALL_ID"]


@pytest.mark.parametrize("value", ["N", "false", "Y", "1", 1, True])
def test_texts_like_n_are_true(raw: Raw, value: object) -> None:
    with raw.portal.expect_violations() as violations:
        answer = raw.register(CRM_CREATE=value, SHOW=value)
    assert answer["CRM_CREATED_LEAD"]
    assert raw.portal.cards[12]
    assert (not violations) is (value in ("1", 1) and value is not True)


@pytest.mark.parametrize("value", ["0", 0, "", False])
def test_zero_and_empty_are_false(raw: Raw, value: object) -> None:
    with raw.portal.expect_violations():
        answer = raw.register(CRM_CREATE=value, SHOW=value)
    assert answer["CRM_CREATED_LEAD"] is None
    assert not raw.portal.cards[12]


def test_a_time_without_offset_is_read_in_the_portals_zone(raw: Raw) -> None:
    with raw.portal.expect_violations() as violations:
        naive = raw.register(CALL_START_DATE="2026-01-15T10:00:00", EXTERNAL_CALL_ID="1")["CALL_ID"]
    assert "has no offset" in str(violations[0])
    exact = raw.register(CALL_START_DATE="2026-01-15T07:00:00+00:00", EXTERNAL_CALL_ID="2")["CALL_ID"]
    assert raw.portal.calls[naive].start == raw.portal.calls[exact].start


def test_a_misspelt_line_is_another_line(raw: Raw) -> None:
    raw.register(LINE_NUMBER=LINE)
    raw.register(LINE_NUMBER=f"+{LINE}")
    assert [line["NUMBER"] for line in raw.ok("telephony.externalLine.get")] == [LINE, f"+{LINE}"]


@pytest.mark.parametrize("stored", ["+7 906 123-45-67", "8 (906) 123 45 67", "79061234567"])
def test_a_phone_is_found_by_its_digits(raw: Raw, stored: str) -> None:
    record = raw.sandbox.call(raw.portal.add_contact, "Client", stored, assigned=8)
    answer = raw.register()
    assert (answer["CRM_ENTITY_TYPE"], answer["CRM_ENTITY_ID"]) == ("CONTACT", record.id)


def test_contact_before_company_before_lead(raw: Raw) -> None:
    raw.sandbox.call(raw.portal.add_lead, "Lead", PHONE)
    assert raw.register(EXTERNAL_CALL_ID="1")["CRM_ENTITY_TYPE"] == "LEAD"
    raw.sandbox.call(raw.portal.add_company, "Company", PHONE)
    assert raw.register(EXTERNAL_CALL_ID="2")["CRM_ENTITY_TYPE"] == "COMPANY"
    raw.sandbox.call(raw.portal.add_contact, "Contact", PHONE)
    assert raw.register(EXTERNAL_CALL_ID="3")["CRM_ENTITY_TYPE"] == "CONTACT"


def test_a_given_entity_is_not_searched_for(raw: Raw) -> None:
    company = raw.sandbox.call(raw.portal.add_company, "Company")
    raw.sandbox.call(raw.portal.add_contact, "Contact", PHONE)
    answer = raw.register(CRM_ENTITY_TYPE="COMPANY", CRM_ENTITY_ID=company.id)
    assert (answer["CRM_ENTITY_TYPE"], answer["CRM_ENTITY_ID"]) == ("COMPANY", company.id)


def test_the_user_by_inner_number_must_be_active(raw: Raw) -> None:
    params = {"PHONE_NUMBER": PHONE, "TYPE": 2, "USER_PHONE_INNER": "103"}
    call_id = raw.ok(REGISTER, **params)["CALL_ID"]
    assert raw.portal.calls[call_id].user_id == 15
    raw.portal.users[15].active = False
    assert raw.fails(REGISTER, **params)[2] == "USER_ID or USER_PHONE_INNER should be set"


def test_unknown_type_and_date(raw: Raw) -> None:
    assert raw.fails(REGISTER, USER_ID=12, PHONE_NUMBER=PHONE, TYPE=9)[2] == "Unknown TYPE"
    text = "CALL_START_DATE should be in the ISO-8601 format"
    assert raw.fails(REGISTER, USER_ID=12, PHONE_NUMBER=PHONE, TYPE=2, CALL_START_DATE="soon")[2] == text


def test_crm_create_in_classic_mode_makes_a_lead_of_the_calls_user(raw: Raw) -> None:
    answer = raw.register(CRM_CREATE=1, CRM_SOURCE="WEB")
    lead = raw.portal.leads[answer["CRM_CREATED_LEAD"]]
    assert (lead.assigned_by_id, lead.source_id, lead.phones, lead.stage_id) == (12, "WEB", [PHONE], "NEW")
    assert answer["CRM_CREATED_ENTITIES"] == [{"ENTITY_TYPE": "LEAD", "ENTITY_ID": lead.id}]


def test_an_unknown_source_falls_back_to_call(raw: Raw) -> None:
    lead = raw.register(CRM_CREATE=1, CRM_SOURCE="MANGO")["CRM_CREATED_LEAD"]
    assert raw.portal.leads[lead].source_id == "CALL"


def test_crm_create_in_simple_mode_makes_contact_and_deal(raw: Raw) -> None:
    raw.portal.crm_mode = 2
    answer = raw.register(CRM_CREATE=1)
    kinds = [record["ENTITY_TYPE"] for record in answer["CRM_CREATED_ENTITIES"]]
    assert (kinds, answer["CRM_CREATED_LEAD"], answer["CRM_ENTITY_TYPE"]) == (["CONTACT", "DEAL"], None, "CONTACT")
    (deal,) = raw.portal.deals.values()
    assert deal.contact_ids == [answer["CRM_ENTITY_ID"]]
    assert not raw.portal.leads


def test_nothing_is_made_for_a_known_client_unless_repeat_leads_are_on(raw: Raw) -> None:
    raw.sandbox.call(raw.portal.add_contact, "Known", PHONE)
    assert raw.register(CRM_CREATE=1, EXTERNAL_CALL_ID="1")["CRM_CREATED_ENTITIES"] == []
    raw.portal.switches.repeat_leads = True
    answer = raw.register(CRM_CREATE=1, EXTERNAL_CALL_ID="2")
    assert (answer["CRM_CREATED_ENTITIES"][0]["ENTITY_TYPE"], answer["CRM_ENTITY_TYPE"]) == ("LEAD", "CONTACT")
    outgoing = raw.register(CRM_CREATE=1, EXTERNAL_CALL_ID="3", TYPE=1)
    assert outgoing["CRM_CREATED_ENTITIES"] == [], "an outgoing call with bindings only updates"


def test_a_colleagues_phone_makes_no_lead(raw: Raw) -> None:
    answer = raw.register(PHONE_NUMBER="+79160000103", CRM_CREATE=1)
    assert answer["LEAD_CREATION_ERROR"] == "Lead creation is disabled for local users"
    assert not raw.portal.leads


def test_the_exclusion_list_makes_no_lead(raw: Raw) -> None:
    raw.portal.switches.number_blacklist.append("79061234567")
    assert raw.register(CRM_CREATE=1)["CRM_CREATED_ENTITIES"] == []
