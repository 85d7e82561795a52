"""The call model sends exactly the traces of the reference when it is played with their timings."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from bx24app.sandbox.mango import Board, Device, Party, Pbx, Plan, Signal, simulation
from bx24app.sandbox.mango.calls import Call
from bx24app.sandbox.mango.sequences import load_sequence

from .conftest import Mango

FAST = float("inf")
CLIENT = "79160000001"
T0 = 1776060000


def neutral(sent: list[tuple[str, dict[str, Any]]], start: int) -> list[str]:
    """The notifications with numbered identifiers, times from the beginning, and sorted fields.

    Fields in which the traces of the reference disagree with each other are left out.
    """
    names: dict[str, str] = {}
    counter = itertools.count(1)

    def of(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: of(name, part) for name, part in value.items()}
        if key in ("entry_id", "call_id", "recording_id", "taken_from_call_id"):
            return names.setdefault(value, f"#{next(counter)}")
        if key == "timestamp" or key.endswith("_time"):
            return value - start if value else value
        return value

    for path, body in sent:
        if path == "events/record/added":
            body.pop("user_id")
            body.pop("timestamp")
        elif body.get("call_state") == "OnHold":
            body["to"].pop("hold_initiator", None)
    return [f"{path} {json.dumps({k: of(k, v) for k, v in body.items()}, sort_keys=True)}" for path, body in sent]


def reference(name: str, start: int) -> list[str]:
    notifications = sorted(load_sequence(name), key=lambda notification: notification.at)
    return neutral([(notification.path, notification.body) for notification in notifications], start)


async def finished(call: Call) -> Call:
    assert call.task
    await call.task
    await call.board.sender.wait_until_idle()
    return call


def plan(start: int, **fields: Any) -> Plan:
    return Plan(client=CLIENT, start=float(start), speed=FAST, **fields)


NOBODY = Party(None, 99)
TALK = {"others": NOBODY}

SCENARIOS: dict[str, tuple[int, Any]] = {
    "S1": (T0, lambda b, t: simulation.incoming(b, plan(
        t, ivr=7, talk=84, record_delay=37, to=["300"], parties={"101": Party(6), "102": NOBODY}))),
    "S2": (T0 + 200, lambda b, t: simulation.incoming(b, plan(
        t, ivr=5, patience=25, to=["300"], parties={
            "101": NOBODY, "102": Party(None, 0, 1131), "103": Party(None, 20)}))),
    "S2b": (T0 + 300, lambda b, t: simulation.incoming(b, plan(t, ivr=12, ivr_end=1170))),
    "S3": (T0 + 400, lambda b, t: simulation.incoming(b, plan(
        t, ivr=0, to=["101"], parties={"101": Party(6), "102": Party(7)}, talk=114, record_delay=40,
        signals=[Signal("blind", after=44, to="102", command_id="tr-1")]))),
    "S4": (T0 + 600, lambda b, t: simulation.incoming(b, plan(
        t, ivr=0, to=["101"], parties={"101": Party(5), "102": Party(5)}, talk=115, record_delay=40,
        signals=[Signal("consult", after=35, to="102", talk=14)]))),
    "S5": (T0 + 800, lambda b, t: simulation.callback(b, "101", plan(
        t, parties={"101": Party(4), CLIENT: Party(13)}, talk=82, record_delay=40), command_id="crm-42-1")),
    "S6": (T0 + 1000, lambda b, t: simulation.outgoing(b, "101", plan(
        t, parties={CLIENT: Party(9)}, talk=51, record_delay=40))),
    "S6b": (T0 + 1200, lambda b, t: simulation.outgoing(b, "101", plan(t, parties={CLIENT: Party(None, 30, 1110)}))),
    "S7": (T0 + 1300, lambda b, t: simulation.internal(b, "101", "102", plan(t, parties={"102": Party(6)}, talk=34))),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_same_as_the_traces(mango: Mango, name: str) -> None:
    board = mango.board
    board.pbx.sip_call_ids = False
    board.pbx.find_group("300").members = ["101", "102"] if name == "S1" else ["101", "102", "103"]  # type: ignore[union-attr]
    start, begin = SCENARIOS[name]

    async def work() -> None:
        await finished(begin(board, start))

    mango.run(work())
    sent = [(path.removeprefix("hook/"), body) for path, body in mango.bodies]
    assert neutral(sent, start) == reference(name, start)


def talkers(mango: Mango, board: Board, made: Plan, how: Any = simulation.incoming) -> Call:
    async def work() -> Call:
        return await finished(how(board, made))

    call: Call = mango.run(work())
    assert not board.calls
    return call


def states(mango: Mango) -> list[tuple[str, str, str, int]]:
    """(called party, state, transfer, reason) of every leg event."""
    legs = []
    for path, body in mango.bodies:
        if path.endswith("events/call"):
            to = body["to"].get("extension") or body["to"]["number"]
            legs.append((to, body["call_state"], body.get("transfer", ""), body.get("disconnect_reason", 0)))
    return legs


def test_blind_transfer_from_a_handset_appears_twice(mango: Mango) -> None:
    made = plan(T0, ivr=0, to=["101"], talk=30, signals=[Signal("blind-handset", after=10, to="102")])
    call = talkers(mango, mango.board, made)
    assert call.talkers == ["101", "102"]
    assert states(mango) == [
        ("101", "Appeared", "", 0), ("101", "Connected", "", 0), ("101", "OnHold", "", 0),
        ("102", "Appeared", "blind", 0), ("101", "Disconnected", "", 1120), ("102", "Appeared", "blind", 0),
        ("102", "Connected", "blind", 0), ("102", "Disconnected", "blind", 1110),
    ]  # fmt: skip
    senders = [
        body["from"]
        for path, body in mango.bodies
        if path.endswith("events/call") and body["to"].get("extension") == "102"
    ]
    assert senders[0]["extension"] == "101"
    assert all(sender["number"] == CLIENT for sender in senders[1:])


def test_blind_transfer_that_returns(mango: Mango) -> None:
    made = plan(T0, ivr=0, to=["101"], talk=60, parties={"102": NOBODY}, signals=[Signal("blind", after=10, to="102")])
    call = talkers(mango, mango.board, made)
    assert call.talkers == ["101"]
    assert ("102", "Disconnected", "blind", 1111) in states(mango)
    assert ("101", "Connected", "return_blind", 0) in states(mango)


def test_declined_consultation(mango: Mango) -> None:
    made = plan(T0, ivr=0, to=["101"], talk=60, signals=[Signal("consult", after=10, to="102", complete=False)])
    assert talkers(mango, mango.board, made).talkers == ["101"]
    assert states(mango)[-1] == ("101", "Disconnected", "", 1110)


def test_transfer_to_a_group(mango: Mango) -> None:
    made = plan(T0, ivr=0, to=["101"], talk=60, parties={"101": Party(1), "103": Party(2), "102": Party(9)})
    made.signals = [Signal("blind", after=10, to="300")]
    mango.board.pbx.find_group("300").members = ["102", "103"]  # type: ignore[union-attr]
    assert talkers(mango, mango.board, made).talkers == ["101", "103"]


@pytest.mark.parametrize("redirect", [False, True])
def test_between_two_products(mango: Mango, redirect: bool) -> None:
    other = mango.cloud.add_pbx(Pbx(name="Krasnodar", product_id=400000077, hook_url=mango.hook))
    other.pbx.add_line("78610000001", leads_to="101")
    other.pbx.add_employee("101", "Глеб")
    made = plan(
        T0,
        ivr=0,
        to=["101"],
        talk=30,
        signals=[Signal("blind", after=10, to="78610000001", redirect=redirect, talk=20)],
    )

    async def work() -> None:
        await finished(simulation.incoming(mango.board, made))
        for board in (other, mango.board):
            for call in list(board.calls.values()):
                await finished(call)
            await board.sender.wait_until_idle()

    mango.run(work())
    summaries = [body for path, body in mango.bodies if path.endswith("summary")]
    assert len(summaries) == 2
    lines = {body["line_number"]: body for body in summaries}
    first, second = lines["74950000001"], lines["78610000001"]
    assert first["from"] == second["from"] == {"number": CLIENT}
    assert first["talk_time"]
    assert second["talk_time"]
    if redirect:
        assert 0 <= second["create_time"] - first["end_time"] <= 15
    else:
        assert first["talk_time"] <= second["create_time"] <= first["end_time"]
        assert first["end_time"] >= second["end_time"]


def test_missed_in_all_forms(mango: Mango) -> None:
    board = mango.board
    made = [
        plan(T0, others=NOBODY, patience=10),
        plan(T0, others=Party(None, 20)),
        plan(T0, unavailable=1164),
        plan(T0, ivr=3, ivr_end=1110),
        plan(T0, ivr=0, to=["101"], others=Party(None, 5, 1122)),
        plan(T0, ivr=0, to=["101", "102"], others=Party(None, 5)),
    ]
    for one in made:
        call = talkers(mango, board, one)
        assert call.answered_at == 0
    summaries = [body for path, body in mango.bodies if path.endswith("summary")]
    assert [body["disconnect_reason"] for body in summaries] == [1110, 1111, 1164, 1110, 1122, 1111]
    assert all(body["talk_time"] == 0 and body["entry_result"] == 0 for body in summaries)
    assert summaries[3]["to"] == {}
    assert not [path for path, _ in mango.bodies if "record" in path]


def test_several_devices_are_several_legs(mango: Mango) -> None:
    person = mango.board.pbx.find_employee("101")
    assert person
    person.devices.append(Device("79160000101", "tel"))
    made = plan(T0, ivr=0, to=["101"], parties={"79160000101": Party(2), "101": Party(9)})
    made.parties = {"sip:user101@vpbx400000001.mangosip.ru": NOBODY, "79160000101": Party(2)}
    call = talkers(mango, mango.board, made)
    assert call.talkers == ["101"]
    assert len(call.legs) == 2
    summary = mango.bodies[-2][1]
    assert summary["to"] == {"extension": "101", "number": "79160000101"}


def test_callback_whose_employee_does_not_answer(mango: Mango) -> None:
    made = plan(T0, parties={"101": Party(None, 20, 1111)})
    call = talkers(mango, mango.board, made, lambda board, p: simulation.callback(board, "101", p, command_id="c-1"))
    assert len(call.legs) == 1
    _, summary = mango.bodies[-1]
    assert (summary["call_direction"], summary["talk_time"], summary["disconnect_reason"]) == (2, 0, 1111)
    assert "command_id" not in summary


def test_anonymous_caller_and_short_talk(mango: Mango) -> None:
    made = plan(T0, talk=1)
    made.client = ""
    talkers(mango, mango.board, made)
    assert all("number" not in body["from"] for path, body in mango.bodies if path.endswith(("events/call", "summary")))
    codes = [body["completion_code"] for path, body in mango.bodies if "completion_code" in body]
    assert codes == [4002]
    assert not any(path.endswith("added") for path, _ in mango.bodies)


def test_calls_run_in_real_time(mango: Mango) -> None:
    made = Plan(client=CLIENT, ivr=0.05, parties={"101": Party(0.1)}, talk=0.2, record_delay=None)
    call = talkers(mango, mango.board, made)
    assert call.talkers == ["101"]


def test_group_without_a_number_and_a_lying_summary(mango: Mango) -> None:
    group = mango.board.pbx.add_group("", "Ночная смена", ["103"])
    made = plan(T0, to=[str(group.id)], entry_result=0)
    assert talkers(mango, mango.board, made).talkers == ["103"]
    assert any(body["to"].get("acd_group") == "" for path, body in mango.bodies if path.endswith("events/call"))
    assert mango.bodies[-2][1]["entry_result"] == 0


def test_a_failed_simulation_is_reported(mango: Mango) -> None:
    errors: list[dict[str, Any]] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: errors.append(context))
        made = plan(T0)
        made.parties = {"101": Party("now")}  # type: ignore[arg-type]
        call = simulation.incoming(mango.board, made)
        assert call.task
        await asyncio.wait([call.task])
        await asyncio.sleep(0)

    mango.run(work())
    assert "failed" in errors[0]["message"]
    assert not mango.board.calls
