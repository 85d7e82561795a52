"""The method `batch`: what it allows, how it answers, and how it resolves references."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.sandbox.bitrix.conftest import PHONE, Raw


def test_empty_maps_are_lists(raw: Raw) -> None:
    result = raw.batch(a="profile")
    assert result["result"]["a"]["ID"] == "1"
    assert (result["result_error"], result["result_total"], result["result_next"]) == ([], [], [])
    assert raw.batch(a="crm.lead.get?id=999")["result"] == []
    assert raw.ok("batch", cmd={}, halt=0)["result"] == []


def test_list_shaped_commands_have_list_shaped_answers_until_one_is_missing(raw: Raw) -> None:
    whole = raw.ok("batch", cmd=["user.admin", "user.admin"], halt=0)
    assert whole["result"] == [True, True]
    holed = raw.ok("batch", cmd=["crm.lead.get?id=999", "user.admin"], halt=0)
    assert holed["result"] == {"1": True}
    assert list(holed["result_error"][0]) == ["error", "error_description"]


def test_it_is_200_even_if_everything_fails_and_counts_as_one_request(raw: Raw) -> None:
    before = raw.portal.hits
    result = raw.batch(a="crm.lead.get?id=998", b="crm.lead.get?id=999")
    assert set(result["result_error"]) == {"a", "b"}
    assert raw.portal.hits == before + 1


@pytest.mark.parametrize(("halt", "done"), [(0, ["a", "c"]), (1, ["a"])])
def test_halt_stops_at_the_first_error_and_the_rest_is_absent(raw: Raw, halt: int, done: list[str]) -> None:
    result = raw.batch(halt, a="user.admin", b="crm.lead.get?id=999", c="user.admin")
    assert list(result["result"]) == done
    assert list(result["result_error"]) == ["b"]


def test_more_than_fifty_the_surplus_is_refused(raw: Raw) -> None:
    with raw.portal.expect_violations() as violations:
        result = raw.batch(0, **{f"c{number}": "user.admin" for number in range(52)})
    assert len(result["result"]) == 50
    assert result["result_error"]["c50"]["error"] == "ERROR_BATCH_LENGTH_EXCEEDED"
    assert len(violations) == 2


def test_no_batch_in_a_batch_and_no_unknown_methods(raw: Raw) -> None:
    with raw.portal.expect_violations():
        result = raw.batch(a="batch?cmd[x]=profile", b="crm.nothing.get")
    assert result["result_error"]["a"]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"
    assert result["result_error"]["b"]["error"] == "ERROR_METHOD_NOT_FOUND"


def test_references_lead_into_earlier_answers(raw: Raw) -> None:
    result = raw.batch(
        1,
        contact=f"crm.item.add?entityTypeId=3&fields[name]=New&fields[fm][0][typeId]=PHONE"
        f"&fields[fm][0][valueType]=WORK&fields[fm][0][value]={quote(PHONE)}",
        deal="crm.item.add?entityTypeId=2&fields[title]=Deal&fields[contactIds][0]=$result[contact][item][id]",
        todo="crm.activity.todo.add?ownerTypeId=2&ownerId=$result[deal][item][id]&deadline=2026-12-01T10:00:00%2B03:00",
    )
    contact = result["result"]["contact"]["item"]["id"]
    deal = raw.portal.deals[result["result"]["deal"]["item"]["id"]]
    assert deal.contact_ids == [contact]
    assert raw.portal.todos[result["result"]["todo"]["id"]].bindings == [(2, deal.id)]


def test_register_and_finish_in_one_request(raw: Raw) -> None:
    result = raw.batch(
        1,
        reg=f"telephony.externalCall.register?USER_ID=12&PHONE_NUMBER={quote(PHONE)}&TYPE=2&SHOW=0&CRM_CREATE=1",
        fin="telephony.externalCall.finish?CALL_ID=$result[reg][CALL_ID]&USER_ID=12&DURATION=0&STATUS_CODE=304",
    )
    assert raw.row(result["result"]["fin"]["CALL_ID"]).missed


def test_total_and_next_of_lists(raw: Raw) -> None:
    for number in range(51):
        raw.sandbox.call(raw.portal.add_lead, f"Lead {number}")
    result = raw.batch(a="crm.lead.list", b="crm.lead.list?start=$next[a]")
    assert (result["result_total"], result["result_next"]) == ({"a": 51, "b": 51}, {"a": 50})
    assert len(result["result"]["b"]) == 1


def test_a_missing_path_yields_its_last_existing_parent(raw: Raw) -> None:
    with raw.portal.expect_violations() as violations:
        result = raw.batch(p="profile", g="crm.contact.get?id=$result[p][NOTHING]")
    assert "id should be integer" in str(violations[0])
    assert result["result_error"]["g"]["error_description"] == "Not found"


def test_text_attached_to_a_reference_is_lost(raw: Raw) -> None:
    result = raw.batch(
        p="profile",
        a="crm.item.add?entityTypeId=2&fields[title]=" + quote("From $result[p][NAME]/tail end"),
        b="crm.item.add?entityTypeId=2&fields[title]=" + quote("$result[p][NAME]-glued"),
    )
    titles = [raw.portal.deals[result["result"][key]["item"]["id"]].title for key in "ab"]
    assert titles == ["From Мария end", "Мария"]


def test_text_of_a_person_can_count_as_a_reference(raw: Raw) -> None:
    result = raw.batch(
        p="profile",
        evil="crm.item.add?entityTypeId=2&fields[title]=" + quote("Client named $result[p][LAST_NAME]"),
        harmless="crm.item.add?entityTypeId=2&fields[title]=" + quote("costs $100 or $result"),
    )
    titles = [raw.portal.deals[result["result"][key]["item"]["id"]].title for key in ("evil", "harmless")]
    assert titles == ["Client named Соколова", "costs $100 or Array"]


def test_forms_with_brackets(raw: Raw) -> None:
    pairs = [
        ("halt", "0"),
        ("cmd[a]", "user.get?FILTER[ACTIVE]=1&FILTER[ID][]=8&FILTER[ID][]=12"),
        ("cmd[b]", "profile"),
    ]
    result = raw.form("batch.json", pairs).json()["result"]["result"]
    assert [user["ID"] for user in result["a"]] == ["8", "12"]
    assert result["b"]["ID"] == "1"


def test_a_box_filters_the_values_of_a_batch_and_of_nothing_else(raw: Raw) -> None:
    raw.portal.switches.filters_batches = True
    words = "Price < script > and <script>"
    inside = raw.batch(a=f"crm.item.add?entityTypeId=1&fields[title]={words}")
    assert inside["result"]["a"]["item"]["title"] != words
    assert raw.ok("crm.item.add", entityTypeId=1, fields={"title": words})["item"]["title"] == words
