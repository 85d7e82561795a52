"""The sandbox answers as the documentation's examples do: the same keys, of the same types.

`tests/sandbox/documented/answers.json` has for every method that the app uses the page and the types of its example's
`result`; names of custom fields are left out. null, and an empty list in place of a map, say nothing about a type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.bitrix.conftest import LINE, PHONE, Raw

ANSWERS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "documented" / "answers.json").read_text())
DEAL = {"title": "Deal", "categoryId": 0}
DEADLINE = "2030-01-01T10:00:00+03:00"
PLACE = {"PLACEMENT": "CALL_CARD", "HANDLER": "https://app.example.com/place", "TITLE": "T", "DESCRIPTION": "D",
         "LANG_ALL": {"de": {"TITLE": "T", "DESCRIPTION": "D", "GROUP_NAME": "G"}}}  # fmt: skip
BOUND = {"EVENT": "ONAPPUPDATE", "HANDLER": "https://app.example.com/event"}


def _deal(raw: Raw) -> int:
    return int(raw.ok("crm.item.add", entityTypeId=2, fields=DEAL)["item"]["id"])


def _contact(raw: Raw) -> int:
    fields = {"name": "A", "fm": [{"typeId": "PHONE", "valueType": "WORK", "value": PHONE}]}
    return int(raw.ok("crm.item.add", entityTypeId=3, fields=fields)["item"]["id"])


def _todo(raw: Raw) -> int:
    params = {"ownerTypeId": 2, "ownerId": _deal(raw), "deadline": DEADLINE}
    return int(raw.ok("crm.activity.todo.add", **params)["id"])


def _call(raw: Raw) -> dict[str, Any]:
    _contact(raw)
    return {"CALL_ID": raw.register()["CALL_ID"], "USER_ID": 12}


def _line(raw: Raw) -> dict[str, Any]:
    raw.ok("telephony.externalLine.add", NUMBER=LINE, NAME="Main")
    return {"NUMBER": LINE}


def _statistics(raw: Raw) -> dict[str, Any]:
    _contact(raw)
    return {"FILTER": {"CALL_ID": raw.finished()}}


def _comment(raw: Raw) -> dict[str, Any]:
    wanted = {"ENTITY_ID": _deal(raw), "ENTITY_TYPE": "deal"}
    raw.ok("crm.timeline.comment.add", fields={**wanted, "COMMENT": "c"})
    return {"filter": wanted}


def _clients(raw: Raw) -> dict[str, Any]:
    _contact(raw)
    return {"PHONE_NUMBER": PHONE}


def _after(method: str, params: dict[str, Any], wanted: dict[str, Any]) -> Callable[[Raw], dict[str, Any]]:
    def prepare(raw: Raw) -> dict[str, Any]:
        raw.ok(method, **params)
        return wanted

    return prepare


REQUESTS: dict[str, Callable[[Raw], dict[str, Any]]] = {
    "app.info": lambda raw: {},
    "crm.activity.binding.add": lambda raw: {"activityId": _todo(raw), "entityTypeId": 3, "entityId": _contact(raw)},
    "crm.activity.get": lambda raw: {"id": _todo(raw)},
    "crm.activity.list": lambda raw: {"filter": {"ID": _todo(raw)}},
    "crm.activity.todo.add": lambda raw: {"ownerTypeId": 2, "ownerId": _deal(raw), "deadline": DEADLINE},
    "crm.activity.update": lambda raw: {"id": _todo(raw), "fields": {"SUBJECT": "s"}},
    "crm.category.list": lambda raw: {"entityTypeId": 2},
    "crm.duplicate.findbycomm": lambda raw: {"type": "PHONE", "values": [PHONE], "entity_type": _contact(raw) and ""},
    "crm.item.add": lambda raw: {"entityTypeId": 2, "fields": DEAL},
    "crm.item.get": lambda raw: {"entityTypeId": 1, "id": raw.ok(
        "crm.item.add", entityTypeId=1, fields={"title": "L"})["item"]["id"]},
    "crm.item.list": lambda raw: {"entityTypeId": 1, "select": list(ANSWERS["crm.item.list"]["result"]["items"][0]),
        "filter": {"=id": raw.ok("crm.item.add", entityTypeId=1, fields={"title": "L"})["item"]["id"]}},
    "crm.item.update": lambda raw: {"entityTypeId": 2, "id": _deal(raw), "fields": {"title": "N"}},
    "crm.settings.mode.get": lambda raw: {},
    "crm.status.list": lambda raw: {"filter": {"ENTITY_ID": "DEAL_STAGE"}},
    "crm.timeline.comment.add": lambda raw: {
        "fields": {"ENTITY_ID": _deal(raw), "ENTITY_TYPE": "deal", "COMMENT": "c"}},
    "crm.timeline.comment.list": _comment,
    "crm.type.list": lambda raw: {},
    "event.bind": lambda raw: BOUND,
    "event.get": _after("event.bind", BOUND, {}),
    "event.unbind": _after("event.bind", BOUND, BOUND),
    "im.notify.system.add": lambda raw: {"USER_ID": 12, "MESSAGE": "m"},
    "placement.bind": lambda raw: PLACE,
    "placement.get": _after("placement.bind", PLACE, {}),
    "placement.unbind": _after("placement.bind", PLACE, {"PLACEMENT": "CALL_CARD"}),
    "profile": lambda raw: {},
    "telephony.externalCall.attachRecord": lambda raw: {"CALL_ID": raw.finished(), "FILENAME": "a.mp3"},
    "telephony.externalCall.finish": lambda raw: {**_call(raw), "DURATION": 5, "STATUS_CODE": "200"},
    "telephony.externalCall.hide": _call,
    "telephony.externalCall.register": lambda raw: {
        "USER_ID": 12, "TYPE": 2, "LINE_NUMBER": LINE, **_clients(raw)},
    "telephony.externalCall.searchCrmEntities": _clients,
    "telephony.externalCall.show": _call,
    "telephony.externalLine.add": lambda raw: {"NUMBER": LINE, "NAME": "Main"},
    "telephony.externalLine.delete": _line,
    "telephony.externalLine.get": _after("telephony.externalLine.add", {"NUMBER": LINE}, {}),
    "timeman.status": lambda raw: {"USER_ID": 12},
    "user.get": lambda raw: {"FILTER": {"ID": 8}},
    "voximplant.line.outgoing.get": lambda raw: {},
    "voximplant.statistic.get": _statistics,
}  # fmt: skip


@pytest.mark.parametrize("method", ANSWERS)
def test_an_answer_has_the_keys_and_types_of_the_page(raw: Raw, method: str) -> None:
    answer = raw.post(method, **REQUESTS[method](raw)).json()
    assert "; ".join(_differences(ANSWERS[method]["result"], answer["result"], "result")) == ""
    assert [key for key in ANSWERS[method]["beside"] if key not in answer] == []


ERRORS: list[tuple[str, Callable[[Raw], dict[str, Any]], int, str]] = [
    ("crm.activity.binding.add", lambda raw: {}, 400, "100"),
    ("crm.activity.binding.add", lambda raw: {"activityId": 1, "entityTypeId": 3, "entityId": _contact(raw)}, 400,
     "NOT_FOUND"),
    ("crm.activity.binding.add", lambda raw: {"activityId": _todo(raw), "entityTypeId": 3, "entityId": 1}, 400,
     "OWNER_NOT_FOUND"),
    ("crm.activity.get", lambda raw: {"id": 1}, 400, ""),
    ("crm.activity.todo.add", lambda raw: {}, 400, "100"),
    ("crm.activity.todo.add", lambda raw: {"ownerTypeId": 2, "ownerId": 1, "deadline": DEADLINE}, 400,
     "OWNER_NOT_FOUND"),
    ("crm.activity.todo.add", lambda raw: {"ownerTypeId": 2, "ownerId": _deal(raw), "deadline": "soon"}, 400,
     "WRONG_DATETIME_FORMAT"),
    ("crm.item.get", lambda raw: {"entityTypeId": 2, "id": 1}, 400, "NOT_FOUND"),
    ("crm.item.list", lambda raw: {"entityTypeId": 4, "filter": {"=stageSemanticId": "P"}}, 400, "INVALID_ARG_VALUE"),
    ("crm.item.update", lambda raw: {"entityTypeId": 2, "id": 1, "fields": {"title": "N"}}, 400, "NOT_FOUND"),
    ("crm.timeline.comment.add", lambda raw: {
        "fields": {"ENTITY_ID": 1, "ENTITY_TYPE": "deal", "COMMENT": "c"}}, 400, "OWNER_NOT_FOUND"),
    ("event.bind", lambda raw: {**BOUND, "EVENT": "ONNOTHING"}, 400, "ERROR_EVENT_NOT_FOUND"),
    ("im.notify.system.add", lambda raw: {"MESSAGE": "m"}, 400, "USER_ID_EMPTY"),
    ("im.notify.system.add", lambda raw: {"USER_ID": 12}, 400, "MESSAGE_EMPTY"),
    ("telephony.externalCall.attachRecord", lambda raw: {"CALL_ID": "none", "FILENAME": "a.mp3"}, 400, "ERROR_CORE"),
    ("telephony.externalCall.finish", lambda raw: {"CALL_ID": ["a"], "USER_ID": 12}, 400, "INVALID_ARGUMENT"),
    ("telephony.externalCall.register", lambda raw: {"PHONE_NUMBER": PHONE, "TYPE": 2}, 400, "ERROR_CORE"),
]  # fmt: skip
ADMINISTRATORS_ONLY = {
    "crm.type.list": 400, "placement.bind": 403, "placement.get": 403, "placement.unbind": 403,
    "voximplant.line.outgoing.get": 403,
}  # fmt: skip
"""Methods that the page gives to administrators (of the portal, of the CRM, of numbers), and the status of the error.
"""


@pytest.mark.parametrize(("method", "prepare", "status", "code"), ERRORS)
def test_an_error_has_the_code_and_status_of_the_page(
    raw: Raw, method: str, prepare: Callable[[Raw], dict[str, Any]], status: int, code: str
) -> None:
    params = prepare(raw)
    with raw.portal.expect_violations():
        assert raw.fails(method, **params)[:2] == (status, code)


@pytest.mark.parametrize("method", ADMINISTRATORS_ONLY)
def test_a_right_is_missing(raw: Raw, method: str) -> None:
    raw.portal.users[1].admin = False
    params = PLACE if method == "placement.bind" else {"PLACEMENT": "CALL_CARD"} if method == "placement.unbind" else {}
    assert raw.fails(method, **params)[:2] == (ADMINISTRATORS_ONLY[method], "ACCESS_DENIED")


def test_statistics_need_the_right_to_view_them(raw: Raw) -> None:
    raw.portal.users[1].rights["statistics"] = False
    assert raw.fails("voximplant.statistic.get")[:2] == (403, "ACCESS_DENIED")


@pytest.mark.parametrize("method", ANSWERS)
def test_a_missing_scope_refuses_the_one_command_of_a_batch(raw: Raw, method: str) -> None:
    """app.info and profile need none; events neither (their pages)."""
    (app,) = raw.portal.apps.values()
    app.scopes[:] = []
    with raw.portal.expect_violations():
        answer = raw.batch(one=method, two="profile")
    assert "two" in answer["result"], "the others go through"
    needs_none = method in ("app.info", "profile") or method.startswith("event.")
    error = answer["result_error"]["one"]["error"] if "one" in (answer["result_error"] or {}) else ""
    assert needs_none or error == "insufficient_scope"


def test_a_box_names_no_family_of_licences(raw: Raw) -> None:
    """Server source: only the cloud has the module that tells them."""
    for name, family in (("ru_ent250", "ent"), ("de_ent10000", "ent"), ("ru_pro100", "pro"), ("ru_selfhosted", None)):
        raw.portal.license = name
        assert raw.ok("app.info").get("LICENSE_FAMILY") == family


def _differences(documented: Any, actual: Any, path: str) -> Iterator[str]:
    if documented in ("null", [], {}) or actual is None or actual == []:
        return
    if isinstance(documented, dict):
        if not isinstance(actual, dict):
            yield f"{path}: {type(actual).__name__} in place of a map"
            return
        for key, expected in documented.items():
            if key not in actual:
                yield f"{path}.{key} is missing"
            else:
                yield from _differences(expected, actual[key], f"{path}.{key}")
    elif isinstance(documented, list):
        for index, item in enumerate(actual) if isinstance(actual, list) else [(0, actual)]:
            yield from _differences(documented[0], item, f"{path}[{index}]")
    elif documented != _type_name(actual):
        yield f"{path}: {_type_name(actual)} in place of {documented}"


def _type_name(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return {int: "number", float: "number", str: "str"}.get(type(value), type(value).__name__)
