"""Lines and trunks of the simulated PBX, as Mango's document shows them (D26, 3.2.1, 3.2.7, 3.7.6 to 3.7.9, 3.7.22)."""

from __future__ import annotations

from typing import Any

import pytest

from bx24app.sandbox.mango import Party, Plan, entry_report, report, simulation

from .conftest import Mango
from .test_rest import calm, wait_for

__all__ = ["calm"]
TRUNK = "roistat-1"
EXAMPLES: dict[str, dict[str, Any]] = {
    "incominglines": {
        "result": 1000,
        "lines": [
            {
                "line_id": 300024487, "number": "78124072916", "name": None, "comment": None, "region": "2",
                "schema_id": 10000008, "schema_name": "По умолчанию",
            }
        ],
    },
    "trunks/numbers": {
        "result": 1000,
        "data": [{"trunk_number_id": 787, "trunk_id": 460, "number": "74955358853", "options": 2, "desc": "Trunk 3"}],
    },
    "schemas": {
        "result": 1000,
        "data": [{"schema_id": 11004852, "name": "dd", "description": None, "incominglines": [300052347]}],
    },
    "audiofiles": {"result": 1000, "audiofiles": [{"id": 17, "name": "Abandoned"}]},
    "account/balance": {
        "result": 1000, "balance": 963592.45, "currency": "RUB", "response_at": "2019-01-24 17:55:24",
    },
}  # fmt: skip


def shape(value: Any) -> Any:
    """Keys and types; of a list the first entry."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value[:1]] if isinstance(value, list) else type(value)


@pytest.mark.parametrize("path", EXAMPLES)
def test_answers_have_the_shape_of_the_documents_examples(calm: Mango, path: str) -> None:
    calm.board.pbx.lines[0].name = ""
    calm.board.pbx.add_trunk(TRUNK, "Roistat")
    assert shape(calm.post(path, {}).json()) == shape(EXAMPLES[path])


def test_trunks_are_listed_apart(calm: Mango) -> None:
    assert calm.post("trunks/numbers", {}).json()["result"] == 3300
    calm.board.pbx.add_trunk(TRUNK)
    assert [row["number"] for row in calm.post("incominglines", {}).json()["lines"]] == ["74950000001"]
    assert [row["number"] for row in calm.post("trunks/numbers", {}).json()["data"]] == [TRUNK]
    used = calm.post("schemas", {"ext_fields": ["trunks_numbers"]}).json()["data"][0]
    assert (len(used["incominglines"]), used["sip_trunks_numbers"]) == (1, [780])
    calm.board.pbx.lines.clear()
    assert calm.post("incominglines", {}).json()["result"] == 3300
    calm.board.pbx.services_enabled = False
    assert [calm.post(path, {}).json()["result"] for path in ("trunks/numbers", "schemas", "audiofiles")] == [5201] * 3


@pytest.mark.parametrize("as_addresses", [False, True])
def test_notifications_and_statistics_name_the_trunk(calm: Mango, as_addresses: bool) -> None:
    pbx = calm.board.pbx
    pbx.lines.clear()
    pbx.add_trunk(TRUNK)
    pbx.trunks_as_addresses = as_addresses
    named = f"sip:{TRUNK}@{pbx.domain}" if as_addresses else TRUNK

    async def work() -> None:
        simulation.incoming(calm.board, Plan(ivr=0, to=["101"], parties={"101": Party(1)}, talk=5, speed=50))

    calm.run(work())
    wait_for(lambda: any(path.endswith("summary") for path, _ in calm.bodies))
    assert {body["to"]["line_number"] for path, body in calm.bodies if path.endswith("events/call")} == {named}
    summary = next(body for path, body in calm.bodies if path.endswith("summary"))
    assert summary["line_number"] == named
    entry = calm.board.call_log.entries[summary["entry_id"]]
    assert entry_report.entry_object(calm.board, entry)["called_number"] == named
    assert report.format_csv(calm.board.call_log, ["line_number"], lambda leg: True).strip() == named


@pytest.mark.parametrize(
    ("named", "options", "code"),
    [(TRUNK, 6, 1000), (TRUNK, 4, 1000), (TRUNK, 2, 3100), ("sip-name", 6, 1000), ("sip:main@mangosip.ru", 6, 3330)],
)
def test_a_sip_line_is_dialled_by_its_name(calm: Mango, named: str, options: int, code: int) -> None:
    calm.board.pbx.add_trunk(TRUNK, options=options)
    calm.board.pbx.add_line("sip:main@mangosip.ru", "sip-name").region = "sip-uac"
    body = {"command_id": "x", "from": {"extension": "101"}, "to_number": "79160000001", "line_number": named}
    assert calm.post("commands/callback", body).json()["result"] == code


@pytest.mark.parametrize(("seconds", "waits", "code"), [(60, True, 1000), (60, False, 4100), (4.5, True, 4100)])
def test_only_a_greeting_that_is_waited_for_lets_route(calm: Mango, seconds: float, waits: bool, code: int) -> None:
    async def work() -> None:
        simulation.incoming(calm.board, Plan(ivr=seconds, greeting_waits=waits, parties={"102": Party(0.1)}))

    calm.run(work())
    wait_for(lambda: calm.bodies)
    body = {"command_id": "q", "call_id": calm.bodies[0][1]["call_id"], "to_number": "102"}
    assert calm.post("commands/route", body).json()["result"] == code
