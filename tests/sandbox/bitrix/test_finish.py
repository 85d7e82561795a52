"""Show, hide and finish of a call, clicks, and the statistics of finished calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.sandbox.bitrix.conftest import LINE, PHONE, Raw

FINISH = "telephony.externalCall.finish"
NOT_FOUND = "Call is not found (call should be registered prior to finishing"


def test_a_click_is_registered_by_the_portal_and_only_has_to_be_finished(raw: Raw) -> None:
    raw.bind("ONEXTERNALCALLSTART")
    call_id = raw.hand("click_to_call", 12, PHONE)
    (event,) = raw.events
    assert event["event"] == "ONEXTERNALCALLSTART"
    assert event["data[CALL_ID]"] == call_id
    assert (event["data[USER_ID]"], event["data[LINE_NUMBER]"], event["data[IS_MOBILE]"]) == ("12", "", "0")
    assert raw.portal.cards[12][call_id].type == 1
    answer = raw.finish(call_id)
    assert answer["EXTERNAL_CALL_ID"] is None, "such calls have no EXTERNAL_CALL_ID"


def test_a_second_click_within_thirty_minutes_is_the_same_call_and_the_event_comes_again(raw: Raw) -> None:
    raw.bind("ONEXTERNALCALLSTART")
    first = raw.hand("click_to_call", 12, PHONE)
    assert raw.hand("click_to_call", 12, PHONE) == first
    assert len(raw.events) == 2
    raw.finish(first, DURATION=0, STATUS_CODE="402")
    assert raw.hand("click_to_call", 12, PHONE) != first


def test_the_event_goes_to_the_owner_of_the_line_and_a_mobile_click_opens_no_card(raw: Raw) -> None:
    raw.bind("ONEXTERNALCALLSTART")
    raw.ok("telephony.externalLine.add", NUMBER=LINE, NAME="Moscow", CRM_AUTO_CREATE="N")
    raw.hand("click_to_call", 12, PHONE, LINE, mobile=True)
    assert (raw.events[0]["data[LINE_NUMBER]"], raw.events[0]["data[IS_MOBILE]"]) == (LINE, "1")
    assert not raw.portal.cards[12]
    assert not raw.portal.leads, "CRM_AUTO_CREATE of the line decides"


def test_form_callback_has_neither_call_nor_user(raw: Raw) -> None:
    raw.bind("ONEXTERNALCALLBACKSTART")
    raw.hand("form_callback", PHONE, text="Call me")
    (event,) = raw.events
    assert (event["data[PHONE_NUMBER]"], event["data[TEXT]"]) == (PHONE, "Call me")
    assert "data[CALL_ID]" not in event
    assert "data[USER_ID]" not in event
    assert not raw.portal.calls


def test_only_the_first_finish_wins_and_the_statistics_know_it(raw: Raw) -> None:
    call_id = raw.finished()
    assert raw.fails(FINISH, CALL_ID=call_id, USER_ID=12) == (400, "ERROR_CORE", NOT_FOUND)
    rows = raw.ok("voximplant.statistic.get", FILTER={"CALL_ID": call_id})
    assert [row["EXTERNAL_CALL_ID"] for row in rows] == ["finished"]


def test_finish_is_not_locked_two_at_once_make_two_activities(raw: Raw) -> None:
    raw.sandbox.call(raw.portal.add_contact, "Client", PHONE)
    call_id = raw.register()["CALL_ID"]
    raw.portal.latencies["telephony.externalcall.finish"] = 0.3
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: raw.finish(call_id), range(2)))
    assert len({answer["CRM_ACTIVITY_ID"] for answer in answers}) == 2
    assert len(raw.ok("voximplant.statistic.get", FILTER={"CALL_ID": call_id})) == 2


def test_finish_reassigns_only_what_the_call_created(raw: Raw) -> None:
    known = raw.sandbox.call(raw.portal.add_contact, "Known", "+79060000000", assigned=1)
    lead = raw.register(CRM_CREATE=1)
    raw.finish(lead["CALL_ID"], USER_ID=8)
    assert raw.portal.leads[lead["CRM_CREATED_LEAD"]].assigned_by_id == 8
    raw.finish(raw.register(PHONE_NUMBER="+79060000000", CRM_CREATE=1)["CALL_ID"], USER_ID=8)
    assert known.assigned_by_id == 1


def test_without_a_crm_record_there_is_no_activity(raw: Raw) -> None:
    answer = raw.finish(raw.register()["CALL_ID"])
    assert answer["CRM_ACTIVITY_ID"] is False
    assert answer["ERRORS"] == {"ACTIVITY_CREATION": "Could not find associated crm entity for the current call"}
    assert "CRM_ENTITY_TYPE" not in answer


def test_a_record_made_between_register_and_finish_gets_the_activity(raw: Raw) -> None:
    call_id = raw.register()["CALL_ID"]
    fields = {"name": "New", "fm": [{"typeId": "PHONE", "valueType": "WORK", "value": PHONE}]}
    contact = raw.ok("crm.item.add", entityTypeId=3, fields=fields)["item"]["id"]
    answer = raw.finish(call_id)
    assert raw.portal.activities[answer["CRM_ACTIVITY_ID"]].bindings == [(3, contact)]
    assert "CRM_ENTITY_ID" not in answer, "the row keeps the record of register"


def test_bindings_of_register_are_not_searched_again(raw: Raw) -> None:
    contact = raw.sandbox.call(raw.portal.add_contact, "Known", PHONE)
    call_id = raw.register()["CALL_ID"]
    raw.ok("crm.item.add", entityTypeId=2, fields={"title": "Deal", "contactIds": [contact.id]})
    assert raw.portal.activities[raw.finish(call_id)["CRM_ACTIVITY_ID"]].bindings == [(3, contact.id)]


def test_open_deals_are_bound_if_the_portal_does_so_and_binding_twice_is_an_error(raw: Raw) -> None:
    contact = raw.sandbox.call(raw.portal.add_contact, "Known", PHONE)
    deal = raw.sandbox.call(raw.portal.add_deal, "Deal", contact=contact.id)
    raw.portal.switches.bind_open_deals = True
    activity = raw.finish(raw.register()["CALL_ID"])["CRM_ACTIVITY_ID"]
    assert raw.ok("crm.activity.binding.list", activityId=activity) == [
        {"entityTypeId": 3, "entityId": contact.id},
        {"entityTypeId": 2, "entityId": deal.id},
    ]
    fails = raw.fails("crm.activity.binding.add", activityId=activity, entityTypeId=2, entityId=deal.id)
    assert fails[:2] == (400, "ACTIVITY_IS_ALREADY_BOUND")


def test_finish_hides_the_card_of_its_user_only(raw: Raw) -> None:
    call_id = raw.register()["CALL_ID"]
    assert raw.ok("telephony.externalCall.show", CALL_ID=call_id, USER_ID=[8, 15]) is True
    raw.finish(call_id, USER_ID=8)
    assert [user for user in (8, 12, 15) if raw.portal.cards[user]] == [12, 15]
    assert raw.ok("telephony.externalCall.hide", CALL_ID=call_id, USER_ID=[12, 15]) is False, "too late"


def test_show_and_hide_take_lists_and_default_to_the_registered_user(raw: Raw) -> None:
    call_id = raw.register(SHOW=0)["CALL_ID"]
    assert not raw.portal.cards[12]
    assert raw.ok("telephony.externalCall.show", CALL_ID=call_id) is True
    assert raw.ok("telephony.externalCall.show", CALL_ID=call_id, USER_ID=8) is True
    assert raw.ok("telephony.externalCall.hide", CALL_ID=call_id, USER_ID=[8, 12]) is True
    steps = [(step.action, step.user_id) for step in raw.portal.card_history]
    assert steps == [("show", 12), ("show", 8), ("hide", 8), ("hide", 12)]
    assert raw.portal.calls[call_id].user_id == 12, "nobody becomes responsible by a card"


@pytest.mark.parametrize(
    ("kind", "code", "missed", "completed"),
    [
        (2, "304", True, False),
        (4, "304", True, False),
        (3, "304", False, True),
        (1, "304", False, True),
        (2, "486", False, True),
        (2, "603", False, True),
        (2, "200", False, True),
    ],
)
def test_only_304_of_type_2_or_4_is_missed(
    raw: Raw, kind: int, code: str, missed: bool, completed: bool
) -> None:
    raw.sandbox.call(raw.portal.add_contact, "Client", PHONE)
    answer = raw.finish(raw.register(TYPE=kind)["CALL_ID"], DURATION=0, STATUS_CODE=code)
    activity = raw.portal.activities[answer["CRM_ACTIVITY_ID"]]
    assert (activity.is_missed, activity.completed) == (missed, completed)


def test_a_later_successful_outgoing_call_answers_the_missed_ones(raw: Raw) -> None:
    missed = raw.register(TYPE=2)["CALL_ID"]
    raw.finish(missed, DURATION=0, STATUS_CODE="304")
    assert raw.row(missed).missed
    unanswered = raw.register(TYPE=1, EXTERNAL_CALL_ID="1")["CALL_ID"]
    raw.finish(unanswered, DURATION=0, STATUS_CODE="486")
    assert raw.row(missed).called_back_by is None
    back = raw.register(TYPE=1, EXTERNAL_CALL_ID="2")["CALL_ID"]
    raw.finish(back)
    assert raw.row(missed).called_back_by == raw.row(back).id


def test_the_default_code_follows_the_duration(raw: Raw) -> None:
    for seconds, code in ((5, "200"), (0, "304")):
        call_id = raw.register(EXTERNAL_CALL_ID=code)["CALL_ID"]
        answer = raw.ok(FINISH, CALL_ID=call_id, USER_ID=12, DURATION=seconds)
        assert (answer["CALL_FAILED_CODE"], answer["CALL_STATUS"]) == (code, int(seconds > 0))


def test_add_to_chat_omitted_is_off(raw: Raw) -> None:
    call_id = raw.register()["CALL_ID"]
    raw.ok(FINISH, CALL_ID=call_id, USER_ID=12, DURATION=5)
    assert raw.row(call_id).add_to_chat is False


def test_odd_types_of_the_answer(raw: Raw) -> None:
    raw.sandbox.call(raw.portal.add_contact, "Client", PHONE)
    answer = raw.finish(raw.register(EXTERNAL_CALL_ID="x")["CALL_ID"])
    assert answer["CALL_START_DATE"] == {}
    assert (answer["INCOMING"], answer["CALL_DURATION"], answer["ID"]) == ("2", 60, 1)
    assert isinstance(answer["CRM_ACTIVITY_ID"], int)
    (row,) = raw.ok("voximplant.statistic.get", FILTER={"CALL_ID": answer["CALL_ID"]})
    assert (row["CALL_DURATION"], row["CRM_ACTIVITY_ID"]) == ("60", str(answer["CRM_ACTIVITY_ID"]))
    assert row["RECORD_FILE_ID"] is None


def test_a_dismissed_user_can_not_finish_but_any_active_one_can(raw: Raw) -> None:
    call_id = raw.register()["CALL_ID"]
    raw.portal.users[12].active = False
    assert raw.fails(FINISH, CALL_ID=call_id, USER_ID=12)[2] == "User is not found or is not active"
    assert raw.finish(call_id, USER_ID=1)["PORTAL_USER_ID"] == 1


def test_the_responsible_of_the_activity_is_finishs_user(raw: Raw) -> None:
    raw.sandbox.call(raw.portal.add_contact, "Client", PHONE)
    activity = raw.portal.activities[raw.finish(raw.register()["CALL_ID"], USER_ID=8)["CRM_ACTIVITY_ID"]]
    assert (activity.responsible_id, activity.author_id) == (8, 8)


def test_a_call_id_that_is_no_text_is_an_invalid_argument(raw: Raw) -> None:
    with raw.portal.expect_violations():
        status, code, _ = raw.fails(FINISH, CALL_ID=["a"], USER_ID=12)
    assert (status, code) == (400, "INVALID_ARGUMENT")


def test_a_planned_activity_is_completed_instead_of_a_new_one(raw: Raw) -> None:
    raw.bind("ONEXTERNALCALLSTART")
    contact = raw.sandbox.call(raw.portal.add_contact, "Client", PHONE)
    fields = {
        "OWNER_TYPE_ID": 3, "OWNER_ID": contact.id, "TYPE_ID": 2, "SUBJECT": "Call", "COMPLETED": "N",
        "COMMUNICATIONS": [{"VALUE": PHONE, "ENTITY_ID": contact.id, "ENTITY_TYPE_ID": 3, "TYPE": "PHONE"}],
    }  # fmt: skip
    planned = raw.ok("crm.activity.add", fields=fields)
    call_id = raw.hand("click_to_call", 12, PHONE, activity_id=planned)
    assert raw.finish(call_id)["CRM_ACTIVITY_ID"] == planned
    assert raw.portal.activities[planned].completed
    assert len(raw.portal.activities) == 1


def test_search_returns_the_owner_with_their_working_day(raw: Raw) -> None:
    raw.portal.users[8].timeman = "CLOSED"
    raw.sandbox.call(raw.portal.add_lead, "Lead", PHONE, assigned=12)
    raw.sandbox.call(raw.portal.add_company, "Company", PHONE, assigned=1)
    raw.sandbox.call(raw.portal.add_contact, "Пётр", PHONE, assigned=8)
    clients = raw.ok("telephony.externalCall.searchCrmEntities", PHONE_NUMBER="8 906 123-45-67")
    assert [client["CRM_ENTITY_TYPE"] for client in clients] == ["CONTACT", "LEAD", "COMPANY"]
    assert clients[0]["NAME"] == "Пётр"
    assert clients[0]["ASSIGNED_BY"] == {
        "ID": "8", "TIMEMAN_STATUS": "CLOSED", "USER_PHONE_INNER": "102", "WORK_PHONE": "", "PERSONAL_PHONE": "",
        "PERSONAL_MOBILE": "+79160000102",
    }  # fmt: skip
    assert raw.ok("telephony.externalCall.searchCrmEntities", PHONE_NUMBER="+70000000000") == []


def test_an_error_code_may_be_empty(raw: Raw) -> None:
    raw.portal.switches.empty_error_codes = True
    assert raw.fails(FINISH, CALL_ID="none", USER_ID=12) == (400, "", NOT_FOUND)


def test_unknown_filter_keys_are_ignored_and_all_rows_returned(raw: Raw) -> None:
    raw.finished()
    raw.finished(PHONE_NUMBER="+79060000000")
    with raw.portal.expect_violations() as violations:
        assert len(raw.ok("voximplant.statistic.get", FILTER={"CALLID": "x"})) == 2
    assert "unknown key in FILTER: CALLID" in str(violations[0])


def test_statistics_filters_and_pages(raw: Raw) -> None:
    raw.portal.limits.rate = 0
    for number in range(53):
        raw.finish(raw.register(EXTERNAL_CALL_ID=f"e{number}", SHOW=0)["CALL_ID"], DURATION=number)
    page = raw.post("voximplant.statistic.get", FILTER={">=CALL_DURATION": 1}, SORT="ID", ORDER="DESC").json()
    assert (len(page["result"]), page["next"], page["total"]) == (50, 50, 52)
    assert page["result"][0]["EXTERNAL_CALL_ID"] == "e52"
    rest = raw.post("voximplant.statistic.get", FILTER={">=CALL_DURATION": 1}, start=50).json()
    assert (len(rest["result"]), rest["total"]) == (2, 52)
    assert "next" not in rest
    unlimited = raw.post("voximplant.statistic.get", start=-1).json()
    assert "total" not in unlimited
    assert "next" not in unlimited


def test_transcriptions_go_to_finished_calls(raw: Raw) -> None:
    message = {"SIDE": "Client", "START_TIME": 0, "STOP_TIME": 2, "MESSAGE": "Алло"}
    call_id = raw.register()["CALL_ID"]
    method = "telephony.call.attachTranscription"
    assert "Is it finished?" in raw.fails(method, CALL_ID=call_id, MESSAGES=[message])[2]
    raw.finish(call_id)
    assert raw.ok(method, CALL_ID=call_id, MESSAGES=[message]) == {"TRANSCRIPT_ID": 1}
    assert "SIDE" in raw.fails(method, CALL_ID=call_id, MESSAGES=[{**message, "SIDE": "Robot"}])[2]
