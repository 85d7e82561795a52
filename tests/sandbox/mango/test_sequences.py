"""Ready sequences: unchanged without rebasing, and as a new call of the PBX's own people with it."""

from __future__ import annotations

import json
import time

import pytest
import requests

from bx24app.sandbox.mango import Faults, Pbx
from bx24app.sandbox.mango.sequences import load_sequence, sequence_titles
from bx24app.sandbox.mango.signing import compact_json, sign_text

from .conftest import KEY, SALT, Mango


@pytest.mark.parametrize("name", sorted(sequence_titles()))
def test_as_in_the_reference(mango: Mango, name: str) -> None:
    mango.run(mango.cloud.play_sequence(name, "Moscow", rebase=False))
    assert mango.bodies == [(f"hook/{notice.path}", notice.body) for notice in load_sequence(name)]
    for got in mango.got:
        assert got.fields["vpbx_api_key"] == KEY
        assert got.fields["sign"] == sign_text(KEY, got.fields["json"], SALT)
        assert got.fields["json"] == compact_json(got.body)


def test_moved_to_now_with_fresh_ids(mango: Mango) -> None:
    before = time.time()
    first = mango.run(mango.cloud.play_sequence("S1", "Moscow", client="79031234567"))
    second = mango.run(mango.cloud.play_sequence("S1", "Moscow", client="79031234567"))
    assert first.entry_id != second.entry_id
    stamps = [body["timestamp"] for path, body in mango.bodies[:13] if "timestamp" in body]
    assert stamps == sorted(stamps)
    assert before - 2 <= stamps[-1] <= time.time() + 1
    assert stamps[-1] - stamps[0] == 135
    ids = {body["entry_id"] for _, body in mango.bodies}
    assert ids == {first.entry_id, second.entry_id}
    text = json.dumps(mango.bodies)
    assert "79160000001" not in text
    assert "79031234567" in text
    assert all("sip_call_id" in body for path, body in mango.bodies if path.endswith("events/call"))


def test_people_of_another_pbx(mango: Mango) -> None:
    board = mango.cloud.add_pbx(Pbx(name="Krasnodar", product_id=400000077, hook_url=mango.hook))
    board.pbx.add_line("78610000001", leads_to="500")
    board.pbx.add_employee("201", "Глеб")
    board.pbx.add_employee("202", "Дина")
    board.pbx.add_group("500", "Все", ["201", "202"])
    mango.run(mango.cloud.play_sequence("S1", "Krasnodar"))
    text = json.dumps(mango.bodies)
    assert "sip:user201@vpbx400000077.mangosip.ru" in text
    assert '"500"' in text
    assert "400000001" not in text
    assert "74950000001" not in text


def test_styles_versions_types(mango: Mango) -> None:
    pbx = mango.board.pbx
    pbx.code_style, pbx.version, pbx.numbers_as_text, pbx.sip_call_ids = "php", 1, True, False
    mango.run(mango.cloud.play_sequence("S3", "Moscow"))
    calls = [body for path, body in mango.bodies if path.endswith("events/call")]
    assert all(isinstance(body["timestamp"], str) and "transfer" not in body for body in calls)
    assert all("was_transferred" not in body["to"] and "sip_call_id" not in body for body in calls)
    got = mango.got[0]
    assert got.fields["sign"] == sign_text(KEY, got.fields["json"], SALT)


def test_filters_and_no_address(mango: Mango) -> None:
    mango.board.pbx.suppressed_paths = {"events/summary"}
    mango.run(mango.cloud.play_sequence("S6", "Moscow"))
    assert len(mango.got) == 6
    mango.board.pbx.hook_url = ""
    mango.run(mango.cloud.play_sequence("S6", "Moscow"))
    assert len(mango.got) == 6


def test_address_with_a_parameter(mango: Mango) -> None:
    mango.board.pbx.hook_url = mango.hook.replace("/hook", "?pbx=hook")
    mango.run(mango.cloud.play_sequence("S7", "Moscow"))
    assert mango.got[0].path == "?pbx=hook/events/call"


def test_connection_check(mango: Mango) -> None:
    good, sent = mango.run(mango.board.check_connection())
    assert good
    assert [(one.path, one.status) for one in sent] == [("", 200), ("ping", 200)]
    assert mango.got[0].path == "hook"
    assert mango.got[0].raw == ""
    mango.statuses[:] = [404]
    assert not mango.run(mango.board.check_connection())[0]


def test_log_has_the_answers(mango: Mango) -> None:
    mango.statuses[:] = [200, 500]
    mango.run(mango.cloud.play_sequence("S7", "Moscow"))
    assert [sent.status for sent in mango.cloud.log] == [200, 500, 200, 200]
    assert len(mango.got) == 4  # nothing is repeated


def test_unknown_sequence(mango: Mango) -> None:
    with pytest.raises(KeyError, match="no sequence 'S99'"):
        mango.run(mango.cloud.play_sequence("S99", "Moscow"))


def test_receiver_that_is_not_there(mango: Mango) -> None:
    mango.board.pbx.hook_url = "http://127.0.0.1:9/mango"
    mango.board.use_faults(Faults(timeout=2))
    mango.run(mango.cloud.play_sequence("S7", "Moscow"))
    assert all(sent.status == 0 and sent.error for sent in mango.cloud.log)


def test_recording_of_a_played_call(mango: Mango) -> None:
    mango.run(mango.cloud.play_sequence("S1", "Moscow"))
    recording = mango.bodies[-1][1]["recording_id"]
    answer = mango.post("queries/recording/post", {"recording_id": recording, "action": "download"})
    assert answer.status_code == 302
    assert len(requests.get(answer.headers["Location"], timeout=20).content) == pytest.approx(84 * 4000, abs=200)
