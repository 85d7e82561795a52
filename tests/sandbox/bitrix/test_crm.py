"""The methods crm.*: records, dictionaries, duplicates, activities and comments."""

from __future__ import annotations

import pytest

from bx24app.sandbox.bitrix.seed import SPA
from tests.sandbox.bitrix.conftest import PHONE, Raw

FM = [{"typeId": "PHONE", "valueType": "WORK", "value": PHONE}]


def test_misspelt_fields_are_ignored_with_200(raw: Raw) -> None:
    with raw.portal.expect_violations() as violations:
        fields = {"TITLE": "Upper", "assigned_by_id": 8, "stageid": "WON"}
        item = raw.ok("crm.item.add", entityTypeId=2, fields=fields)["item"]
    assert (item["title"], item["assignedById"], item["stageId"]) == (f"Сделка #{item['id']}", 1, "NEW")
    assert len(violations) == 3


def test_fields_of_another_type_are_ignored_too(raw: Raw) -> None:
    with raw.portal.expect_violations() as violations:
        raw.ok("crm.item.add", entityTypeId=3, fields={"name": "A", "title": "B", "stageId": "NEW"})
    assert "unknown field fields[title] of entityTypeId 3" in str(violations[0])


def test_phones_come_only_with_a_star(raw: Raw) -> None:
    contact = raw.ok("crm.item.add", entityTypeId=3, fields={"name": "A", "fm": FM})["item"]
    assert contact["fm"][0]["value"] == PHONE
    named = raw.ok("crm.item.list", entityTypeId=3, select=["id", "name", "fm"])["items"][0]
    assert named["fm"] is None
    assert raw.ok("crm.item.list", entityTypeId=3, select=["*"])["items"][0]["fm"][0]["value"] == PHONE


def test_stages_follow_the_pipeline(raw: Raw) -> None:
    def add(**fields: object) -> dict[str, object]:
        return dict(raw.ok("crm.item.add", entityTypeId=2, fields=fields)["item"])

    assert add(title="1")["stageId"] == "NEW"
    assert add(title="2", categoryId=9)["stageId"] == "C9:NEW"
    won = add(title="3", categoryId=9, stageId="C9:WON")
    assert (won["stageSemanticId"], won["closed"]) == ("S", "Y")
    for wrong in ({"stageId": "C9:NEW"}, {"categoryId": 77}):
        fails = raw.fails("crm.item.add", entityTypeId=2, fields={"title": "4", **wrong})
        assert fails[:2] == (400, "CRM_FIELD_ERROR_VALUE_NOT_VALID")


def test_items_of_a_smart_process(raw: Raw) -> None:
    (kind,) = raw.ok("crm.type.list")["types"]
    assert (kind["entityTypeId"], kind["id"] != SPA) == (SPA, True)
    contact = raw.ok("crm.item.add", entityTypeId=3, fields={"name": "A"})["item"]["id"]
    item = raw.ok("crm.item.add", entityTypeId=SPA, fields={"title": "Request", "contactIds": [contact]})["item"]
    assert (item["stageId"], item["contactId"]) == (f"DT{SPA}_12:NEW", contact)
    assert raw.fails("crm.item.add", entityTypeId=999, fields={})[:2] == (400, "NOT_FOUND")
    comment = {"ENTITY_TYPE": f"dynamic_{SPA}", "ENTITY_ID": item["id"], "COMMENT": "Hello"}
    assert raw.ok("crm.timeline.comment.add", fields=comment)
    assert [entry["kind"] for entry in raw.portal.timeline(SPA, item["id"])] == ["created", "comment"]


def test_a_record_is_found_again_by_its_origin(raw: Raw) -> None:
    fields = {"title": "Mine", "originatorId": "bx24app", "originId": "e1"}
    made = raw.ok("crm.item.add", entityTypeId=2, fields=fields)["item"]["id"]
    again = raw.ok("crm.item.add", entityTypeId=2, fields=fields)["item"]["id"]
    assert made != again, "there is no uniqueness"
    wanted = {"=originatorId": "bx24app", "=originId": "e1"}
    page = raw.ok("crm.item.list", entityTypeId=2, filter=wanted, select=["id", "originId"], order={"id": "DESC"})
    assert [item["id"] for item in page["items"]] == [again, made]


@pytest.mark.parametrize(
    ("wanted", "titles"),
    [
        ({">id": 0, "stageSemanticId": "P"}, ["a", "b"]),
        ({"contactId": 3001, "categoryId": 0}, ["a"]),
        ({"@title": ["a", "c"]}, ["a", "c"]),
        ({"!title": "a"}, ["b", "c"]),
        ({"%title": "B"}, ["b"]),
        ({"><opportunity": [10, 20]}, ["b"]),
        ({"0": {"logic": "OR", "0": {"title": "a"}, "1": {"closed": "Y"}}}, ["a", "c"]),
    ],
)
def test_filters(raw: Raw, wanted: dict[str, object], titles: list[str]) -> None:
    raw.ok("crm.item.add", entityTypeId=3, fields={"name": "Contact"})
    for fields in (
        {"title": "a", "contactIds": [3001]},
        {"title": "b", "opportunity": 15},
        {"title": "c", "stageId": "WON", "opportunity": 100},
    ):
        raw.ok("crm.item.add", entityTypeId=2, fields=fields)
    assert [row["title"] for row in raw.ok("crm.item.list", entityTypeId=2, filter=wanted)["items"]] == titles


def test_a_bad_filter_is_an_error(raw: Raw) -> None:
    assert raw.fails("crm.item.list", entityTypeId=2, filter={"colour": "red"})[1] == "INVALID_ARG_VALUE"
    assert raw.fails("crm.item.list", entityTypeId=3, filter={"fm": PHONE})[1] == "100"


def test_updating_a_record(raw: Raw) -> None:
    lead = raw.sandbox.call(raw.portal.add_lead, "Lead", PHONE)
    item = raw.ok("crm.item.update", entityTypeId=1, id=lead.id, fields={"assignedById": 8, "stageId": "JUNK"})["item"]
    assert (item["assignedById"], item["stageSemanticId"], item["previousStageId"]) == (8, "F", "NEW")
    raw.portal.users[15].active = False
    assert raw.fails("crm.item.update", entityTypeId=1, id=lead.id, fields={"assignedById": 15})[0] == 400
    assert raw.fails("crm.item.get", entityTypeId=1, id=999)[1] == "NOT_FOUND"
    assert raw.ok("crm.item.delete", entityTypeId=1, id=lead.id) == []
    assert raw.register()["CRM_ENTITY_TYPE"] == ""


def test_the_older_methods(raw: Raw) -> None:
    fields = {
        "TITLE": "Old",
        "ASSIGNED_BY_ID": 8,
        "SOURCE_ID": "CALL",
        "PHONE": [{"VALUE": PHONE, "VALUE_TYPE": "WORK"}],
    }
    lead = raw.ok("crm.lead.add", fields=fields)
    assert isinstance(lead, int)
    row = raw.ok("crm.lead.get", id=lead)
    assert (row["ID"], row["ASSIGNED_BY_ID"], row["STATUS_ID"], row["PHONE"][0]["VALUE"]) == (
        str(lead),
        "8",
        "NEW",
        PHONE,
    )
    phone_id = row["PHONE"][0]["ID"]
    changed = {"STATUS_ID": "IN_PROCESS", "PHONE": [{"ID": phone_id, "VALUE": ""}, {"VALUE": "+79060000000"}]}
    assert raw.ok("crm.lead.update", id=lead, fields=changed) is True
    assert raw.portal.leads[lead].phones == ["+79060000000"]
    page = raw.post("crm.lead.list", filter={"PHONE": "+79060000000"}, select=["ID", "TITLE", "PHONE"]).json()
    assert (page["total"], page["result"][0]["TITLE"]) == (1, "Old")
    assert "PHONE" not in raw.ok("crm.lead.list", select=["*"])[0]
    assert raw.fails("crm.lead.get", id=1) == (400, "", "Not found")
    with raw.portal.expect_violations():
        assert len(raw.ok("crm.lead.list", filter={"COLOUR": "red"})) == 1, "unknown filters are ignored"


@pytest.mark.parametrize("kind", ["deal", "contact", "company"])
def test_the_older_methods_of_other_types(raw: Raw, kind: str) -> None:
    fields = {"NAME": "A"} if kind == "contact" else {"TITLE": "A"}
    number = raw.ok(f"crm.{kind}.add", fields=fields)
    assert raw.ok(f"crm.{kind}.get", id=number)["ID"] == str(number)
    assert raw.ok(f"crm.{kind}.update", id=number, fields={"COMMENTS": "x"}) is True
    assert [row["ID"] for row in raw.ok(f"crm.{kind}.list", order={"ID": "DESC"})] == [str(number)]
    assert "ASSIGNED_BY_ID" in raw.ok(f"crm.{kind}.fields")


def test_duplicates_found_are_a_map_and_none_is_a_list(raw: Raw) -> None:
    query = {"type": "PHONE", "values": [PHONE, "79061234567"]}
    assert raw.ok("crm.duplicate.findbycomm", **query) == []
    lead = raw.sandbox.call(raw.portal.add_lead, "Lead", PHONE)
    contact = raw.sandbox.call(raw.portal.add_contact, "Contact", "8 (906) 123-45-67")
    assert raw.ok("crm.duplicate.findbycomm", **query) == {"LEAD": [lead.id], "CONTACT": [contact.id]}
    assert raw.ok("crm.duplicate.findbycomm", **query, entity_type="CONTACT") == {"CONTACT": [contact.id]}


def test_the_search_stops_with_a_type_that_has_twenty(raw: Raw) -> None:
    for number in range(20):
        raw.sandbox.call(raw.portal.add_lead, f"Lead {number}", PHONE)
    raw.sandbox.call(raw.portal.add_contact, "Contact", PHONE)
    assert list(raw.ok("crm.duplicate.findbycomm", type="PHONE", values=[PHONE])) == ["LEAD"]


FILTERABLE = {
    "stageSemanticId": {1, 2}, "closed": {2}, "isReturnCustomer": {1, 2}, "hasPhone": {1, 3, 4}, "entityTypeId": set(),
    "movedTime": {1, 2, SPA}, "previousStageId": {2, SPA}, "contactIds": {1, 2, 4, SPA}, "xmlId": {SPA},
    "originId": {1, 2, 3, 4}, "parentId1": set(), "createdTime": {1, 2, 3, 4, SPA},
}  # fmt: skip
"""Field -> types that have it (object-fields.md)."""


@pytest.mark.parametrize("field", FILTERABLE)
def test_a_filter_takes_the_fields_of_its_type_alone(raw: Raw, field: str) -> None:
    for type_id in (1, 2, 3, 4, SPA):
        params = {"entityTypeId": type_id, "filter": {field: "1"}}
        if type_id in FILTERABLE[field]:
            raw.ok("crm.item.list", **params)
        else:
            assert raw.fails("crm.item.list", **params)[1] == "INVALID_ARG_VALUE"


def test_a_parent_is_a_field_where_the_types_are_bound(raw: Raw) -> None:
    raw.portal.types[0].parents = (1,)
    raw.ok("crm.item.list", entityTypeId=SPA, filter={"parentId1": 1})


def test_todos(raw: Raw) -> None:
    contact = raw.sandbox.call(raw.portal.add_contact, "Client", PHONE)
    owner = {"ownerTypeId": 3, "ownerId": contact.id}
    deadline = "2026-12-01T10:00:00+03:00"
    todo = raw.ok("crm.activity.todo.add", **owner, deadline=deadline, title="Call back", responsibleId=8)["id"]
    assert raw.portal.todos[todo].settings["PING_OFFSETS"] == [], "without pingOffsets nothing reminds"
    same = {**owner, "id": todo}
    assert raw.ok("crm.activity.todo.updateColor", **same, colorId="3") == {"id": todo}
    assert raw.ok("crm.activity.todo.updateDeadline", **same, value="2026-12-02T10:00:00+03:00") == {"id": todo}
    assert raw.ok("crm.activity.todo.updateDescription", **same, value="Twice") == {"id": todo}
    assert raw.ok("crm.activity.todo.updateResponsibleUser", **same, responsibleId=12) == {"id": todo}
    shown = raw.ok("crm.activity.get", id=todo)
    assert (shown["SUBJECT"], shown["DESCRIPTION"], shown["RESPONSIBLE_ID"]) == ("Call back", "Twice", "12")
    assert shown["DEADLINE"] == "2026-12-02T10:00:00+03:00"
    # What an update is not sent becomes empty, and a null responsible is notified (server source).
    assert raw.ok("crm.activity.todo.update", **same, deadline=deadline, title="Again", responsibleId=None) == {
        "id": todo
    }
    emptied = raw.portal.todos[todo]
    assert (emptied.subject, emptied.description, emptied.settings) == ("Again", "", {"PING_OFFSETS": []})
    assert [note.user_id for note in raw.portal.notifications.values()] == [12]
    assert raw.ok("crm.activity.update", id=todo, fields={"COMPLETED": "Y"}) is True
    assert raw.portal.todos[todo].completed
    open_ones = raw.ok("crm.activity.list", filter={"OWNER_TYPE_ID": 3, "OWNER_ID": contact.id, "COMPLETED": "N"})
    assert open_ones == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ownerId": 999}, "OWNER_NOT_FOUND"),
        ({"deadline": "tomorrow"}, "WRONG_DATETIME_FORMAT"),
        ({"deadline": None}, "100"),
    ],
)
def test_bad_todos(raw: Raw, change: dict[str, object], code: str) -> None:
    contact = raw.sandbox.call(raw.portal.add_contact, "Client", PHONE)
    good = {"ownerTypeId": 3, "ownerId": contact.id, "deadline": "2026-12-01T10:00:00+03:00"}
    with raw.portal.expect_violations():
        assert raw.fails("crm.activity.todo.add", **{**good, **change})[:2] == (400, code)


def test_bindings_of_an_activity(raw: Raw) -> None:
    contact = raw.sandbox.call(raw.portal.add_contact, "Client", PHONE)
    deal = raw.sandbox.call(raw.portal.add_deal, "Deal")
    activity = raw.finish(raw.register()["CALL_ID"])["CRM_ACTIVITY_ID"]
    deal_binding = {"activityId": activity, "entityTypeId": 2, "entityId": deal.id}
    assert raw.ok("crm.activity.binding.add", **deal_binding) is True
    assert raw.portal.timeline(2, deal.id)[-1]["id"] == activity
    assert raw.ok("crm.activity.binding.delete", **deal_binding) is True
    last = {"activityId": activity, "entityTypeId": 3, "entityId": contact.id}
    assert raw.fails("crm.activity.binding.delete", **last)[1] == "LAST_BINDING_CANNOT_BE_DELETED"
    with raw.portal.expect_violations():
        fails = raw.fails("crm.activity.binding.add", activityId=None, entityTypeId=2, entityId=deal.id)
    assert fails[1] == "NOT_FOUND", "CRM_ACTIVITY_ID of a call without an activity"


def test_dictionaries(raw: Raw) -> None:
    assert [row["id"] for row in raw.ok("crm.category.list", entityTypeId=2)["categories"]] == [0, 9]
    stages = raw.ok("crm.status.list", filter={"ENTITY_ID": "DEAL_STAGE_9"}, order={"SORT": "ASC"})
    assert [row["STATUS_ID"] for row in stages][:2] == ["C9:NEW", "C9:PREPARATION"]
    assert {row["SEMANTICS"] for row in stages} == {None, "S", "F"}
    assert stages[-1]["EXTRA"]["SEMANTICS"] == "failure"
    sources = [row["STATUS_ID"] for row in raw.ok("crm.status.list", filter={"ENTITY_ID": "SOURCE"})]
    assert {"CALL", "CALLBACK", "OTHER"} < set(sources)
    assert raw.ok("crm.settings.mode.get") == 1
    raw.portal.crm_mode = 2
    assert raw.ok("crm.settings.mode.get") == 2
    assert raw.ok("crm.item.fields", entityTypeId=1)["fields"]["stageId"]["upperName"] == "STATUS_ID"


def test_the_application_may_only_what_its_user_may(raw: Raw) -> None:
    token = raw.open(user_id=12).fields["AUTH_ID"]
    raw.portal.users[12].rights = {"crm": False, "statistics": False}
    assert raw.fails("crm.item.list", token, entityTypeId=2)[:2] == (400, "ACCESS_DENIED")
    assert raw.fails("voximplant.statistic.get", token)[:2] == (403, "ACCESS_DENIED")
    assert raw.ok("crm.item.list", entityTypeId=2)["items"] == []


def test_notifications_with_a_tag_replace_each_other(raw: Raw) -> None:
    first = raw.ok("im.notify.system.add", USER_ID=12, MESSAGE="One", TAG="silent")
    second = raw.ok("im.notify.system.add", USER_ID=12, MESSAGE="Two", TAG="silent")
    assert first != second
    assert [notification.message for notification in raw.portal.notifications.values()] == ["Two"]
    with raw.portal.expect_violations():
        assert raw.fails("im.notify.system.add", USER_ID=12)[1] == "MESSAGE_EMPTY"
        assert raw.fails("im.notify.system.add", MESSAGE="x")[1] == "USER_ID_EMPTY"


def test_tasks_need_their_scope(raw: Raw) -> None:
    task = {"TITLE": "Look", "RESPONSIBLE_ID": 12, "UF_CRM_TASK": ["C_7"]}
    assert raw.fails("tasks.task.add", fields=task)[:2] == (403, "insufficient_scope")
    raw.portal.apps[raw.app.client_id].scopes.append("task")
    assert raw.ok("tasks.task.add", fields=task)["task"]["responsibleId"] == "12"


def test_the_timeline_of_a_client(raw: Raw) -> None:
    lead = raw.register(CRM_CREATE=1)
    raw.finish(lead["CALL_ID"])
    raw.ok(
        "crm.timeline.comment.add", fields={"ENTITY_TYPE": "lead", "ENTITY_ID": lead["CRM_ENTITY_ID"], "COMMENT": "Hi"}
    )
    entries = raw.portal.timeline(1, lead["CRM_ENTITY_ID"])
    assert [entry["kind"] for entry in entries] == ["created", "call", "comment"]
    assert (entries[0]["by_call"], entries[1]["duration"]) == (lead["CALL_ID"], 60)
    listed = raw.ok("crm.timeline.comment.list", filter={"ENTITY_TYPE": "lead", "ENTITY_ID": lead["CRM_ENTITY_ID"]})
    assert [row["COMMENT"] for row in listed] == ["Hi"]
