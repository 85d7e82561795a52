"""Scopes that the administrator has not ticked are named on the overview, each with what does not work without it."""

from __future__ import annotations

import html
import re

import pytest

from bx24app.models import Portal, db
from tests.support.frame_pages import Frame, frame

__all__ = ["frame"]

EFFECTS = {
    "telephony": "no call reaches Bitrix24",
    "crm": "rules create no records",
    "user": "are not matched",
    "placement": "no tabs in the call card",
    "im": "nobody is notified",
    "timeman": "working day is open",
}


def problems_with(frame: Frame, scopes: str) -> list[str]:
    with frame.site.app_context():
        db.session.get_one(Portal, frame.portal).scopes = scopes
        db.session.commit()
    parts = frame.get("/frame").split('data-testid="trouble-scope"')[1:]
    return [re.sub(r"\s+", " ", html.unescape(part.partition("</section>")[0])) for part in parts]


@pytest.mark.parametrize("missing", EFFECTS)
def test_a_scope_that_is_not_granted_is_named_with_its_effect(frame: Frame, missing: str) -> None:
    [problem] = problems_with(frame, " ".join(EFFECTS.keys() - {missing}))
    assert "lacks 1 permission in Bitrix24" in problem
    assert f"({missing})" in problem
    assert EFFECTS[missing] in problem


def test_nothing_is_said_where_all_are_granted_or_none_is_known(frame: Frame) -> None:
    assert problems_with(frame, "crm,im,placement,telephony,timeman,user_brief") == []
    assert problems_with(frame, "") == []
