"""No line is longer than the portal's field, on whatever way it gets there: the server would cut it within a letter."""

from __future__ import annotations

import json

import pytest

from bx24app.domain.calls.policy import Policy
from bx24app.domain.settings import MAX_LINE_NUMBER, LineSettings, PbxSettings, Settings, cut_line_number
from bx24app.portals import external_lines
from tests.conftest import KEY, SALT
from tests.end_to_end.test_rules import ANSWERED
from tests.end_to_end.test_scenarios import connect
from tests.support.replayed_scenario import absorb, as_new_call, in_portal, post
from tests.support.scenarios import Notice
from tests.support.stack import World
from tests.support.transcript import WORDS

LONG = "транк-московского-офиса-на-тверской-улице-дом-семь@vpbx400000001.mangosip.ru"


@pytest.mark.parametrize("text", [LONG, "7495" * 20, " a ", "x" * 49 + "я", "я" * 26, "\ud800abc", ""])
def test_a_cut_name_has_whole_letters_and_stays_as_it_is_when_it_is_cut_again(text: str) -> None:
    cut = cut_line_number(text)
    assert len(cut.encode()) <= MAX_LINE_NUMBER
    assert cut_line_number(cut) == cut == cut.strip()


@pytest.mark.parametrize(
    "line", [{"number": LONG[:64]}, {"number": "74950000001", "line_number": "я" * 50}, {"number": "7" * 64}]
)
def test_settings_and_calls_and_clicks_name_a_line_alike(line: dict[str, str]) -> None:
    """What the settings write as a line of the portal is what a call names, and what a click brings back."""
    pbx = PbxSettings(key="moscow", lines=(LineSettings(**line),), default_user_id=9)  # type: ignore[arg-type]
    document = Settings(pbxs=(pbx,))
    [written] = external_lines.desired_lines(document)
    assert len(written.encode()) <= MAX_LINE_NUMBER
    assert Policy(document, pbx, WORDS).line_number(line["number"]) == written == pbx.lines[0].bitrix_number


@pytest.mark.parametrize("is_known", [True, False], ids=["a line of the settings", "a line that nobody entered"])
def test_a_long_name_of_a_trunk_is_one_line_of_the_portal(earth: World, is_known: bool) -> None:
    """A violation of the sandbox (LINE_NUMBER is longer than 50 bytes) would fail this test."""
    connect(earth, ANSWERED)
    document = ANSWERED.settings.model_dump(by_alias=True, mode="json")
    if is_known:
        document["pbxs"][0]["lines"][0] |= {"number": LONG[:64], "name": "Trunk"}
    hook = earth.connect(Settings.model_validate(document), {"moscow": (KEY, SALT)})["moscow"]
    call = as_new_call(ANSWERED)
    earth.sandbox.call(absorb, earth.mango, call.notices)
    name = LONG[:64] if is_known else LONG
    for notice in call.notices:
        body = notice.raw.replace('"74950000001"', json.dumps(name))
        assert post(hook, Notice(notice.file, notice.name, body)) == 200
    earth.settle(90)
    [row] = in_portal(earth, call)["calls"]
    assert cut_line_number(name) in row
