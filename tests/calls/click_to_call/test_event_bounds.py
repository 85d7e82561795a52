"""What a click or a form brings is bounded, and whoever clicked is told what cannot be dialled (t21)."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from flask import Flask

from bx24app.bitrix24.inbound import EventPost
from bx24app.calls import drain
from bx24app.calls.click_to_call.portal_event import MAX_SHOWN_NUMBER, parse_event
from bx24app.models import Call, Delivery, Notification, Portal, db
from bx24app.portals import portal_events

CLICK = {"CALL_ID": "externalCall.1", "USER_ID": "11", "PHONE_NUMBER": "+79160000001", "LINE_NUMBER": ""}


@pytest.mark.parametrize(
    ("field", "value"),
    [("USER_ID", "3000000000"), ("CALL_ID", "c" * 256), ("CRM_ENTITY_ID", "3000000000")],
)
def test_what_no_column_holds_is_refused_with_its_field(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{field}|CRM_ENTITY_TYPE"):
        parse_event(CLICK | {"CRM_ENTITY_TYPE": "LEAD"} | {field: value})


def test_a_long_number_cannot_be_dialled_and_is_shown_short() -> None:
    request = parse_event(CLICK | {"PHONE_NUMBER": "8" * 3000})
    assert (request.number, len(request.raw_number)) == (None, MAX_SHOWN_NUMBER)


def click(portal: Portal, **data: Any) -> None:
    pairs = [("event", "ONEXTERNALCALLSTART"), ("auth[member_id]", portal.member_id), ("ts", "1"),
             ("auth[application_token]", "token-of-the-application")]  # fmt: skip
    pairs += [(f"data[{name}]", value) for name, value in {**CLICK, **data}.items()]
    assert portal_events.receive(EventPost.from_pairs(pairs)) == 200


@pytest.mark.parametrize(
    "typed",
    ["\\u0000", "call \\u0000", "".join(secrets.choice("123456789") for _ in range(3000)), "\ud800", "no\x00number"],
    ids=["nul", "words and nul", "long", "surrogate", "raw nul"],
)
def test_the_person_who_clicked_is_told(app: Flask, portal: Portal, typed: str) -> None:
    portal_id = portal.id
    click(portal, PHONE_NUMBER=typed, CALL_ID="externalCall.told")
    row = db.session.query(Notification).one()
    assert json.loads(row.body)["CALL_ID"] == "externalCall.told", "the stored text is JSON"
    drain.drain(portal_id)
    call = db.session.query(Call).one()
    assert (call.outcome, call.client_number) == ("failed", None)
    rows = {row.kind: row.command for row in db.session.query(Delivery).filter_by(call_id=call.id)}
    assert rows["Finish"]["status"] == "404"
    assert "cannot be dialled" in rows["Notify"]["text"] or "нельзя набрать" in rows["Notify"]["text"]
    assert rows["Notify"]["user_id"] == 11
    assert db.session.query(Notification).one().state == "handled"
