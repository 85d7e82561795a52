"""The page of a call says what the call did without the answer of a look-up that the portal refused."""

from __future__ import annotations

import pytest
from flask import Flask

from bx24app.models import Delivery, db
from tests.support.frame_pages import Frame, frame
from tests.web.calls.test_calls import add_call

__all__ = ["frame"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("ReadOpen", "so no further one was created"),
        ("ReadTodo", "so a new to-do was created"),
        ("ReadClient", "went on without this answer"),
        ("ReadDay", "counts as being at work"),
        ("ReadDeals", "do not know the client"),
        ("CreateRecord", "no rights"),
    ],
)
def test_what_was_done_without_the_answer(frame: Frame, site: Flask, portal: int, kind: str, words: str) -> None:
    with site.app_context():
        number = add_call(portal, 1).id
        shared = {"portal_id": portal, "call_id": number, "command": {}, "code": "ACCESS_DENIED"}
        db.session.add(Delivery(key="one", kind=kind, state="dead", reason="no rights", **shared))
        db.session.commit()
    page = frame.get(f"/frame/calls/{number}")
    assert words in page
    assert "ACCESS_DENIED: no rights" in page


def test_a_step_that_was_not_sent_names_no_internals(frame: Frame, site: Flask, portal: int) -> None:
    with site.app_context():
        number = add_call(portal, 1).id
        shared = {"portal_id": portal, "call_id": number, "command": {}, "code": "UNRESOLVED"}
        db.session.add(Delivery(key="one", kind="Finish", state="dead", reason="register gave no call_id", **shared))
        db.session.commit()
    for path in (f"/frame/calls/{number}", "/frame/stuck/dead"):
        page = frame.get(path)
        assert "not sent: a step that it depends on was refused" in page
        assert "UNRESOLVED" not in page
        assert "call_id" not in page
