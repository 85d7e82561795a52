"""Commands are checked against the official tables, forms are read as PHP reads them, a violation fails its test."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bx24app.sandbox.bitrix import methods, params, php
from bx24app.sandbox.checks import UnexpectedViolations, checked_sandbox
from tests.sandbox.bitrix.conftest import PHONE, Raw

GOOD: dict[str, Any] = {"USER_ID": 12, "PHONE_NUMBER": PHONE, "TYPE": 2}


@pytest.mark.parametrize(
    ("method", "change", "sentence"),
    [
        ("telephony.externalCall.register", {"COLOUR": "red"}, "unknown parameter COLOUR"),
        ("telephony.externalCall.register", {"user_id": 12}, "unknown parameter user_id"),
        ("telephony.externalCall.register", {"TYPE": None}, "TYPE is required"),
        ("telephony.externalCall.register", {"USER_ID": None}, "one of USER_ID, USER_PHONE_INNER is required"),
        ("telephony.externalCall.register", {"SHOW": "N"}, "SHOW should be 0 or 1, not 'N'"),
        ("telephony.externalCall.register", {"TYPE": "two"}, "TYPE should be integer, not 'two'"),
        ("telephony.externalCall.register", {"LINE_NUMBER": ["x"]}, "LINE_NUMBER should be string, not ['x']"),
        ("telephony.externalCall.register", {"CALL_START_DATE": "2026-01-15T10:00:00"}, "has no offset"),
        ("telephony.externalCall.show", {"CALL_ID": "x", "USER_IDS": [1]}, "unknown parameter USER_IDS"),
        ("crm.item.list", {"entityTypeId": 2, "filters": {}}, "unknown parameter filters"),
        ("crm.item.list", {"entityTypeId": 2, "filter": "x"}, "filter should be object, not 'x'"),
        ("crm.lead.add", {"fields": {"title": "x"}}, "unknown field fields[title]"),
        ("crm.lead.add", {"fields": {"ASSIGNED_BY_ID": "me"}}, "fields[ASSIGNED_BY_ID] should be user, not 'me'"),
        ("crm.nothing.get", {}, "no such method in the official documentation"),
        ("crm.activity.todo.add", {"ownerTypeId": 2, "ownerId": 1}, "deadline is required"),
    ],
)
def test_a_violation_is_a_sentence(raw: Raw, method: str, change: dict[str, Any], sentence: str) -> None:
    base = GOOD if method.endswith("register") else {}
    with raw.portal.expect_violations() as violations:
        raw.post(method, **{**base, **change})
    assert any(sentence in str(violation) for violation in violations), [str(violation) for violation in violations]


def test_commands_of_a_batch_are_checked_too(raw: Raw) -> None:
    with raw.portal.expect_violations() as violations:
        raw.batch(a="user.get?COLOUR=red")
    assert [str(violation) for violation in violations] == ["user.get: unknown parameter COLOUR"]


def test_forms_and_json_are_checked_alike(raw: Raw) -> None:
    answer = raw.form(
        "crm.item.add",
        [("entityTypeId", "2"), ("fields[title]", "A"), ("fields[opportunity]", "12.5"), ("fields[observers][]", "8")],
    )
    item = answer.json()["result"]["item"]
    assert (item["title"], item["opportunity"], item["observers"]) == ("A", 12.5, [8])
    assert raw.portal.violations == []


def test_older_modules_read_names_in_any_case_the_others_do_not(raw: Raw) -> None:
    assert raw.ok("event.bind", event="ONAPPUPDATE", HANDLER=raw.handler) is True
    assert raw.ok("user.get", filter={"ID": 12})
    with raw.portal.expect_violations():
        status = raw.post("telephony.externalCall.register", user_id=12, phone_number=PHONE, type=2).status_code
    assert status == 400


def test_method_names_are_matched_without_case(raw: Raw) -> None:
    for name in ("PROFILE", "Telephony.ExternalLine.Get", "crm.settings.mode.get.json"):
        assert raw.post(name).status_code == 200


def test_parameters_of_the_javascript_sdk(raw: Raw) -> None:
    query = "bx24_request_id=1&bx24_sdk_ver=2.2.0&bx24_sdk_type=b24-js-sdk"
    answer = raw.session.post(f"{raw.portal.url}/rest/profile?{query}", json={"auth": raw.token}, timeout=20)
    assert answer.status_code == 200


def _offend() -> None:
    with checked_sandbox() as sandbox:
        app = sandbox.register_application("app.1", "x", "http://127.0.0.1:9/")
        token = sandbox.call(sandbox.portal.open_form, 1, app).fields["AUTH_ID"]
        Raw(sandbox, app, token, "").post("crm.nothing.get")


def test_the_fixture_fails_the_test_that_caused_a_violation() -> None:
    with pytest.raises(UnexpectedViolations, match="no such method"):
        _offend()


def test_every_method_that_the_sandbox_has_is_in_the_documentation() -> None:
    unknown = sorted(name for name in methods.METHODS if not params.is_documented(name))
    assert unknown == []


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("a[b]=1&a[c][]=2&a[c][]=3", {"a": {"b": "1", "c": ["2", "3"]}}),
        ("a[0]=x&a[1]=y", {"a": ["x", "y"]}),
        ("a[1]=x", {"a": {"1": "x"}}),
        ("FILTER[%3E%3DID]=5", {"FILTER": {">=ID": "5"}}),
        ("a[5]=x&a[]=y", {"a": {"5": "x", "6": "y"}}),
        ("a=1&a=2", {"a": "2"}),
        ("a", {"a": ""}),
        ("fields[fm][0][value]=%2B7", {"fields": {"fm": [{"value": "+7"}]}}),
    ],
)
def test_brackets(query: str, value: dict[str, Any]) -> None:
    assert php.parse_query(query) == value


_keys = st.text("abcXYZ_09", min_size=1, max_size=5).filter(lambda key: not key.isdigit())
_values = st.recursive(
    st.text(max_size=8),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(_keys, inner, min_size=1, max_size=3),
)


@given(st.dictionaries(_keys, _values, max_size=4))
def test_what_is_encoded_is_decoded_again(fields: dict[str, Any]) -> None:
    assert php.parse_query(php.encode_form(fields)) == fields


def test_encoding_as_php_does_it() -> None:
    fields = {"a": None, "b": [], "c": True, "d": False, "e": {"f": ["1"]}}
    assert list(php.flatten_fields(fields)) == [("c", "1"), ("d", "0"), ("e[f][0]", "1")]


@pytest.mark.parametrize(
    ("value", "answer"),
    [("0", False), ("", False), (None, False), ([], False), ("N", True), ("false", True), ("00", True)],
)
def test_truth_in_php(value: object, answer: bool) -> None:
    assert php.is_true(value) is answer
