"""Delivery faults between PBX and receiver, repeatable by their seed."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import requests

from bx24app.sandbox.mango import Faults, PbxNotification
from bx24app.sandbox.mango.faults import FaultInjector
from bx24app.sandbox.mango.sequences import load_sequence
from bx24app.sandbox.mango.signing import sign_text

from .conftest import SALT, Mango


def play(mango: Mango, name: str = "S1", **faults: Any) -> list[tuple[str, Any]]:
    mango.board.use_faults(Faults(**faults))
    mango.run(mango.cloud.play_sequence(name, "Moscow", rebase=False))
    return [(path.removeprefix("hook/"), body) for path, body in mango.bodies]


def true(name: str = "S1") -> list[tuple[str, Any]]:
    return [(notice.path, notice.body) for notice in load_sequence(name)]


def test_everything_twice(mango: Mango) -> None:
    assert play(mango, duplicate=1) == [one for one in true() for _ in range(2)]


def test_lost(mango: Mango) -> None:
    assert play(mango, drop_numbers={1, 12}) == [one for number, one in enumerate(true(), 1) if number not in (1, 12)]
    mango.got.clear()
    assert "events/summary" not in [path for path, _ in play(mango, drop_paths={"events/summary"})]
    mango.got.clear()
    assert play(mango, drop=1) == []
    assert len(mango.board.call_log.entries) == 1  # the call log is not affected


def test_no_record_added(mango: Mango) -> None:
    assert [path for path, _ in play(mango, no_record_added=1)][-1] == "events/summary"


def test_summary_before_the_last_disconnected(mango: Mango) -> None:
    sent = play(mango, "S6", summary_early=1)
    paths = [(path, body.get("call_state")) for path, body in sent]
    assert paths.index(("events/summary", None)) < paths.index(("events/call", "Disconnected"))


def test_out_of_order_but_complete(mango: Mango) -> None:
    sent = play(mango, reorder_any=0.5, seed=7)
    assert sent != true()
    assert sorted(map(repr, sent)) == sorted(map(repr, true()))


def test_swapped_within_a_leg() -> None:
    weather = FaultInjector(Faults(reorder_leg=1))
    first, second = (PbxNotification("events/call", 0, {"call_id": "x", "seq": seq}) for seq in (1, 2))
    assert weather.push_notification(first) == []
    weather.faults.reorder_leg = 0
    assert weather.push_notification(second) == [second, first]


def test_same_seed_same_faults() -> None:
    def run(seed: int) -> list[Any]:
        injector = FaultInjector(Faults(reorder_any=0.3, duplicate=0.2, drop=0.2, seed=seed))
        sent = [sent for due in load_sequence("S1") for sent in injector.push_notification(due)]
        return sent + injector.release_all()

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_forged(mango: Mango) -> None:
    play(mango, "S7", wrong_sign=1)
    forms = [got.fields for got in mango.got]
    assert all(form["sign"] != sign_text(form["vpbx_api_key"], form["json"], SALT) for form in forms)
    mango.got.clear()
    play(mango, "S7", unknown_key=1)
    assert {got.fields["vpbx_api_key"] for got in mango.got} == {"0" * 32}


def test_errors_are_not_repeated_unless_asked(mango: Mango) -> None:
    mango.statuses[:] = [503]
    assert len(play(mango, "S7")) == 4
    mango.got.clear()
    mango.statuses[:] = [503]
    assert len(play(mango, "S7", retry=True)) == 5


def test_parallel_sending_and_a_late_recording(mango: Mango) -> None:
    sent = play(mango, parallel=True, record_delay=(0.2, 0.3))
    assert sorted(map(repr, sent)) == sorted(map(repr, true()))
    assert sent[-1][0] == "events/record/added"


def test_short_vocabulary(mango: Mango) -> None:
    mango.board.pbx.dialect = "events"
    mango.run(mango.cloud.play_sequence("S1", "Moscow"))
    sent = [(got.path.removeprefix("hook/"), json.loads(got.raw)) for got in mango.got]
    assert [path for path, _ in sent] == ["call_start", "call_answer", "call_end", "call_record"]
    end = sent[2][1]
    assert end["call_direction"] == "in"
    assert end["call_state"] == "Answered"
    assert end["duration"] == 84
    assert end["from"] == {"number": "+79160000001"}
    assert end["to"] == {"number": "101", "extension": "101"}
    assert end["line_number"] == "74950000001"
    assert requests.get(sent[3][1]["record_url"], timeout=20).status_code == 200
    assert requests.get(sent[3][1]["record_url"], timeout=20).status_code == 200  # good for a day
    mango.got.clear()
    for name in ("S2", "S3", "S6"):
        mango.run(mango.cloud.play_sequence(name, "Moscow"))
    sent = [(got.path.removeprefix("hook/"), json.loads(got.raw)) for got in mango.got]
    missed = sent[1][1]
    assert (missed["call_state"], missed["to"]["extension"]) == ("Missed", "0")
    moved = next(body for path, body in sent if path == "call_transfer")
    assert (moved["from"]["extension"], moved["to"]["extension"]) == ("101", "102")
    outgoing = next(body for path, body in sent if path == "call_end" and body["call_direction"] == "out")
    assert (outgoing["from"]["extension"], outgoing["to"]["number"]) == ("101", "+79160000001")


def test_receiver_that_hangs(mango: Mango) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        mango.board.pbx.hook_url = f"http://127.0.0.1:{deaf.getsockname()[1]}/mango"
        mango.board.use_faults(Faults(timeout=0.2))
        started = time.monotonic()
        mango.run(mango.cloud.play_sequence("S7", "Moscow", rebase=False))
        assert time.monotonic() - started < 20
    assert [sent.status for sent in mango.cloud.log] == [0, 0, 0, 0]
    assert "Timeout" in mango.cloud.log[0].error
