"""The control API, the scenarios and the command line of the simulated PBX."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import requests

from bx24app.sandbox.mango import Pbx
from bx24app.sandbox.mango.scenarios import SCENARIOS

from .conftest import KEY, SALT, Mango
from .test_rest import wait_for


def api(mango: Mango, path: str, body: Any = None) -> requests.Response:
    url = f"{mango.cloud.url}/sandbox/api/{path}"
    return requests.get(url, timeout=20) if body is None else requests.post(url, json=body, timeout=20)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_button(mango: Mango, name: str) -> None:
    for number in (2, 3):
        other = mango.cloud.add_pbx(Pbx(name=f"Office {number}", hook_url=mango.hook))
        other.pbx.add_line(f"7861000000{number}", leads_to="300")
        for extension in ("101", "102"):
            other.pbx.add_employee(extension, f"Person {extension}")
        other.pbx.add_group("300", "All", ["101", "102"])
    body = {"scenario": name, "speed": 1000, "extension": "102"}
    entries = api(mango, "pbx/Moscow/call", body).json()["entries"]
    wait_for(lambda: not any(board.calls for board in mango.cloud.boards.values()))
    summaries = [body["entry_id"] for path, body in mango.bodies if path.endswith("summary")]
    wait_for(lambda: set(entries) <= {body["entry_id"] for path, body in mango.bodies if path.endswith("summary")})
    assert len(summaries) <= 3
    state = api(mango, "state").json()
    assert {entry["entry_id"] for pbx in state["pbxs"] for entry in pbx["entries"]} >= set(entries)


def test_state_play_set_check(mango: Mango) -> None:
    state = api(mango, "state").json()
    assert state["pbxs"][0]["key"] == KEY
    assert state["sequences"]["S1"].startswith("S1 incoming")
    assert api(mango, f"pbx/{KEY}/play", {"name": "S7", "speed": 10000}).status_code == 200
    wait_for(lambda: len(mango.got) == 4)
    assert api(mango, f"pbx/{KEY}/play", {"name": "nonsense"}).status_code == 400
    changed = api(
        mango, f"pbx/{KEY}/set", {"code_style": "php", "faults": {"drop": 1}, "suppressed": ["events/dtmf"]}
    ).json()
    assert changed["switches"]["code_style"] == "php"
    assert changed["faults"]["drop"] == 1
    assert api(mango, f"pbx/{KEY}/set", {"faults": {"nonsense": 1}}).status_code == 400
    assert api(mango, f"pbx/{KEY}/check", {}).json()["ok"]
    people = [{"extension": "1", "name": "Одна"}]
    assert [one["name"] for one in api(mango, f"pbx/{KEY}/employees", people).json()["employees"]] == ["Одна"]
    assert api(mango, "pbx/none/check", {}).status_code == 404
    assert api(mango, f"pbx/{KEY}/call", {"scenario": "incoming"}).status_code == 400


def test_signal_to_a_running_call(mango: Mango) -> None:
    entry = api(mango, "pbx/Moscow/call", {"scenario": "incoming"}).json()["entries"][0]
    assert api(mango, "pbx/Moscow/signal", {"entry_id": entry, "kind": "giveup"}).status_code == 200
    wait_for(lambda: any(path.endswith("summary") for path, _ in mango.bodies))
    assert api(mango, "pbx/Moscow/signal", {"entry_id": entry, "kind": "giveup"}).status_code == 404


def test_rest_faults_by_api(mango: Mango) -> None:
    assert (
        api(mango, "cloud", {"limits": False, "rest_faults": {"groups": {"kind": "http", "value": 500}}}).status_code
        == 200
    )
    assert mango.post("groups", {}).status_code == 500


def test_only_json(mango: Mango) -> None:
    url = f"{mango.cloud.url}/sandbox/api/pbx/{KEY}/set"
    assert requests.post(url, data="{}", headers={"Content-Type": "text/plain"}, timeout=20).status_code == 415
    assert requests.post(url, data="{", headers={"Content-Type": "application/json"}, timeout=20).status_code == 400


def test_stream(mango: Mango) -> None:
    with requests.get(f"{mango.cloud.url}/sandbox/api/stream", stream=True, timeout=20) as answer:
        lines = answer.iter_lines()
        assert next(lines) == b"event: changed"
        mango.run(mango.cloud.play_sequence("S7", "Moscow"))
        assert [line for line, _ in zip(lines, range(4), strict=False)][2] == b"event: changed"


def test_command_line(mango: Mango) -> None:
    command = [
        sys.executable,
        "-m",
        "bx24app.sandbox.mango",
        "play",
        "S7",
        "--to",
        mango.hook,
        "--key",
        KEY,
        "--salt",
        SALT,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "events/summary" in done.stdout
    assert len(mango.got) == 4
    mango.statuses[:] = [403]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 1
