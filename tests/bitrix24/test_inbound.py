"""Posts of Bitrix24, and of those who only say that they are Bitrix24."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bx24app.bitrix24.inbound import EventPost, FramePost, MalformedPost, parse_bracket_keys

FORM = {
    "AUTH_ID": "the-access-token",
    "AUTH_EXPIRES": "3600",
    "REFRESH_ID": "the-refresh-token",
    "SERVER_ENDPOINT": "https://oauth.bitrix.info/rest/",
    "APPLICATION_TOKEN": "51610f",
    "APPLICATION_SCOPE": "crm,telephony",
    "member_id": "a223c6b3710f85df22e9377d6c4f7553",
    "status": "L",
    "PLACEMENT": "CALL_CARD",
    "PLACEMENT_OPTIONS": '{"CALL_ID":"externalCall.1"}',
}
QUERY = {"DOMAIN": "portal.bitrix24.ru", "PROTOCOL": "1", "LANG": "ru", "APP_SID": "dd8cec"}


def test_an_opening() -> None:
    post = FramePost.from_form(FORM, QUERY)
    assert (post.access_token, post.refresh_token, post.expires_in) == ("the-access-token", "the-refresh-token", 3600)
    assert (post.member_id, post.domain, post.lang) == (FORM["member_id"], "portal.bitrix24.ru", "ru")
    assert (post.placement, post.options) == ("CALL_CARD", {"CALL_ID": "externalCall.1"})
    assert (post.application_token, post.scope) == ("51610f", "crm,telephony")


def test_an_older_portal_posts_less() -> None:
    form = {name: FORM[name] for name in ("AUTH_ID", "member_id")}
    post = FramePost.from_form(form, {})
    assert (post.server_endpoint, post.application_token, post.domain, post.placement) == ("", "", "", "DEFAULT")
    assert (post.expires_in, post.lang, post.options) == (3600, "ru", {})


@pytest.mark.parametrize("options", ["[]", "", "null", "7", '"text"', "{broken", "[" * 5000])
def test_options_that_are_no_map_are_none(options: str) -> None:
    assert FramePost.from_form({**FORM, "PLACEMENT_OPTIONS": options}, QUERY).options == {}


@pytest.mark.parametrize(
    "form",
    [
        {},
        {**FORM, "AUTH_ID": ""},
        {**FORM, "AUTH_ID": "\x00"},
        {**FORM, "AUTH_ID": "x" * 5000},
        {**FORM, "member_id": ""},
        {**FORM, "member_id": "../../etc"},
        {**FORM, "member_id": "a" * 65},
    ],
)
def test_what_cannot_prove_anything_is_not_read(form: dict[str, str]) -> None:
    with pytest.raises(MalformedPost):
        FramePost.from_form(form, QUERY)


@pytest.mark.parametrize("seconds", ["", "0", "-1", "soon", "9" * 40, "1e400"])
def test_a_strange_life_time_is_an_hour(seconds: str) -> None:
    assert FramePost.from_form({**FORM, "AUTH_EXPIRES": seconds}, QUERY).expires_in == 3600


def test_control_characters_and_strange_languages_go() -> None:
    post = FramePost.from_form({**FORM, "APPLICATION_SCOPE": "crm\x00,im\n"}, {**QUERY, "LANG": "RU-\x00"})
    assert (post.scope, post.lang) == ("crm,im", "ru")
    assert FramePost.from_form(FORM, {**QUERY, "LANG": "<script>"}).lang == "ru"


def test_nothing_secret_is_in_a_repr() -> None:
    post = FramePost.from_form(FORM, QUERY)
    event = EventPost.from_pairs([("event", "ONAPPINSTALL"), ("auth[access_token]", "the-access-token")])
    for shown in (repr(post), str(post), repr(event)):
        assert "the-access-token" not in shown
        assert "the-refresh-token" not in shown


EVENT = (
    "event=ONEXTERNALCALLSTART&event_handler_id=1055&data%5BPHONE_NUMBER%5D=%2B79061234567"
    "&data%5BPHONE_NUMBER_INTERNATIONAL%5D=%2B79061234567&data%5BEXTENSION%5D=&data%5BUSER_ID%5D=1269&data%5BCALL_LIST_ID%5D=0"
    "&data%5BLINE_NUMBER%5D=74951112233&data%5BIS_MOBILE%5D=0&data%5BCALL_ID%5D=externalCall.8935.1773236989"
    "&data%5BCRM_CREATED_ENTITIES%5D%5B0%5D%5BENTITY_TYPE%5D=LEAD&data%5BCRM_CREATED_ENTITIES%5D%5B0%5D%5BENTITY_ID%5D=7&ts=1773236988"
    "&auth%5Baccess_token%5D=t&auth%5Bexpires_in%5D=3600&auth%5Bscope%5D=telephony%2Ccrm&auth%5Bdomain%5D=portal.bitrix24.com"
    "&auth%5Bmember_id%5D=a223&auth%5Buser_id%5D=1269&auth%5Bapplication_token%5D=51610f"
)


def test_an_event() -> None:
    post = EventPost.from_pairs(parse_qsl(EVENT, keep_blank_values=True))
    assert post.event == "ONEXTERNALCALLSTART"
    assert post.data["CALL_ID"] == "externalCall.8935.1773236989"
    assert post.data["EXTENSION"] == ""
    assert post.data["CRM_CREATED_ENTITIES"] == {"0": {"ENTITY_TYPE": "LEAD", "ENTITY_ID": "7"}}
    assert (post.auth.member_id, post.auth.application_token, post.ts) == ("a223", "51610f", "1773236988")


def test_an_event_without_tokens() -> None:
    post = EventPost.from_pairs(
        [("event", "OnAppUninstall"), ("data[CLEAN]", "1"), ("auth[member_id]", "a"), ("auth[expires_in]", "")]
    )
    assert (post.event, post.data, post.auth.access_token, post.auth.expires_in) == (
        "ONAPPUNINSTALL",
        {"CLEAN": "1"},
        "",
        3600,
    )


def test_php_brackets() -> None:
    pairs = [("a[]", "1"), ("a[]", "2"), ("b[x][y]", "3"), ("c", "4"), ("c[d]", "5"), ("e[", "6"), ("[f]", "7")]
    assert parse_bracket_keys(pairs) == {"a": {"0": "1", "1": "2"}, "b": {"x": {"y": "3"}}, "c": {"d": "5"}}


def test_depth_count_and_length_are_bounded() -> None:
    assert parse_bracket_keys([("a" + "[b]" * 50, "1")]) == {}
    assert parse_bracket_keys([("a" * 501, "1")]) == {}
    assert len(parse_bracket_keys((f"k{number}", "1") for number in range(5000))) == 2000


@given(st.lists(st.tuples(st.text(), st.text()), max_size=20))
def test_no_form_breaks_the_reading_of_events(pairs: list[tuple[str, str]]) -> None:
    try:
        post = EventPost.from_pairs(pairs)
    except MalformedPost:
        return
    json.dumps(post.data)


anything: Any = st.dictionaries(st.sampled_from([*FORM, "x"]), st.text())


@given(anything, st.dictionaries(st.sampled_from([*QUERY, "x"]), st.text()))
def test_no_form_breaks_the_reading_of_openings(form: dict[str, str], query: dict[str, str]) -> None:
    try:
        post = FramePost.from_form(form, query)
    except MalformedPost:
        return
    assert post.access_token.isprintable()
