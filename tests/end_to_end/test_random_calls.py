"""Days of random calls of three PBXs, told over HTTP in random order with duplicates: the portal holds what the model
predicts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings

from bx24app.calls.journal import export
from bx24app.domain.calls import outcome as ends
from bx24app.domain.settings import Settings
from bx24app.mango import vpbx
from bx24app.sandbox.bitrix.state import CALL_PROVIDER, TODO_PROVIDER, TYPE_NAMES, Activity, Record, Statistic
from bx24app.sandbox.mango import mp3
from tests.conftest import config_for
from tests.support.offices import OFFICES, PLACEHOLDER, USERS, Outcome, PortalCall, document, predict
from tests.support.random_calls import Day, DrawnCall, days
from tests.support.stack import World, world

KEYS = {office.key: (f"key-of-{office.key}", f"salt-of-{office.key}") for office in OFFICES}
SEVERAL = 5
"""Calls that are told at the same time."""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[World]:
    """A portal with three PBXs. What is late by the clock of a busy machine is not the matter here: the app waits for
    it.
    """
    patch = pytest.MonkeyPatch()
    patch.setattr(ends, "SETTLE_SECONDS", 120)
    with world(tmp_path_factory.mktemp("three"), valkey_url, config_for, quiet_seconds=120) as made:
        made.portal.limits.rate = 0
        made.portal.license = "ru_ent250"
        for key, (api_key, salt) in KEYS.items():
            made.sandbox.call(made.mango.add_pbx, api_key=api_key, api_salt=salt, name=key)
        made.sandbox.call(made.add_users, [user for user in USERS if user not in made.portal.users])
        made.work()
        made.install()
        yield made
        assert not made.portal.violations, made.portal.violations
    patch.undo()


@settings(
    max_examples=4,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],  # a smaller day would be a new day of many seconds; what differs is told call by call
    suppress_health_check=list(HealthCheck),
)
@given(days(20, 30))
def test_the_portal_holds_what_the_model_predicts(three: World, day: Day) -> None:
    hooks = connect(three, day)
    before = three.sandbox.call(sizes, three)
    predicted = [predict(told.scene, day.ways, told.known) for told in day.calls]
    with ThreadPoolExecutor(SEVERAL) as pool:
        list(pool.map(lambda told: tell(hooks[told.scene.office.key], told), day.calls))
    three.settle(180)
    wrong = three.sandbox.call(differences, three, day.calls, predicted)
    wrong += in_journal(three, day, predicted)
    assert not wrong, f"{day.ways}\n" + "\n".join(wrong)
    grown = {name: size - before[name] for name, size in three.sandbox.call(sizes, three).items()}
    assert grown == growth(day.calls, predicted)
    assert not three.portal.calls
    assert not [card for cards in three.portal.cards.values() for card in cards.values()]


def connect(three: World, day: Day) -> dict[str, str]:
    """The day's settings, the clients whom the CRM knows, and the facts of which the PBXs will tell."""
    three.portal.crm_mode = 2 if day.ways.simple_crm else 1
    three.set_crm_mode(three.portal.crm_mode)
    hooks = three.connect(Settings.model_validate(document(day.ways.section())), KEYS)
    three.sandbox.call(_prepare, three, day)
    return hooks


def _prepare(three: World, day: Day) -> None:
    for told in day.calls:
        board = three.mango.board(KEYS[told.scene.office.key][0])
        for name, content in told.scene.sent:
            board.call_log.add_notification(name, content)
        if told.known:
            three.add_client(told.known.kind, f"+{told.scene.number}", told.known.owner)


def tell(hook: str, told: DrawnCall) -> None:
    key, salt = KEYS[told.scene.office.key]
    with requests.Session() as session:
        for name, content in told.arrivals:
            raw = json.dumps(content)
            form = {"vpbx_api_key": key, "json": raw, "sign": vpbx.sign_text(key, salt, raw)}
            assert session.post(f"{hook}/{name}", data=form, timeout=60).status_code == 200


# --- what the portal holds -------------------------------------------------------------------------------------------


def sizes(three: World) -> dict[str, int]:
    portal = three.portal
    return {
        "calls": len(portal.statistics),
        "records": sum(len(table) for table in portal.crm.records.values()),
        "activities": len(portal.activities),
        "files": len(portal.files),
        "notifications": len(portal.notifications),
    }


def growth(calls: list[DrawnCall], predicted: list[Outcome]) -> dict[str, int]:
    """How much more than before, known clients not counted: nothing else may have been made."""
    rows = [row for outcome in predicted for row in (outcome.own, *outcome.further) if row]
    made = sum(len(outcome.records) for outcome in predicted) - sum(1 for told in calls if told.known)
    return {
        "calls": len(rows),
        "records": made,
        "activities": sum(row.activity for row in rows) + sum(len(outcome.todos) for outcome in predicted),
        "files": sum(1 for row in rows if row.recording),
        "notifications": 0,
    }


def differences(three: World, calls: list[DrawnCall], predicted: list[Outcome]) -> list[str]:
    """Runs in the sandbox's loop. One paragraph for each call that is not as predicted."""
    owned = _by_phone(three)
    wrong = []
    for told, outcome in zip(calls, predicted, strict=True):
        wanted = {
            "own": [_plain(outcome.own)] if outcome.own else [],
            "further": sorted(_plain(row) for row in outcome.further),
            "records": sorted(outcome.records),
            "todos": sorted(outcome.todos),
        }
        found = _found(three, told, owned.get(told.scene.number or "", []))
        if found != wanted:
            name = f"{told.scene.office.key}:{told.scene.entry} {told.known}"
            wrong.append("\n  ".join([name, f"{wanted}", f"{found}", *map(_short, told.arrivals)]))
    return wrong


def _short(notice: tuple[str, dict[str, Any]]) -> str:
    name, content = notice
    left = {key: value for key, value in content.items() if key not in ("entry_id", "dct", "location")}
    return f"  {name} {left}"


def _plain(row: PortalCall) -> tuple[str, ...]:
    return tuple(str(getattr(row, name)) for name in PortalCall.__dataclass_fields__)


def _by_phone(three: World) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for table in three.portal.crm.records.values():
        for record in table.values():
            for phone in record.phones:
                found.setdefault(re.sub(r"\D", "", phone), []).append(record)
    return found


def _found(three: World, told: DrawnCall, records: list[Record]) -> dict[str, Any]:
    portal, scene = three.portal, told.scene
    external = f"{scene.office.key}:{scene.entry}"
    number = PLACEHOLDER if scene.number is None else scene.number
    further = [row for name, rows in portal.by_external.items() if name.startswith(f"{external}#") for row in rows]
    keys = {record.key for record in records}
    deals = [deal for deal in portal.crm.records[2].values() if any((3, one) in keys for one in deal.contact_ids)]
    own = portal.by_external.get(external, [])
    of_own = {row.activity_id for row in own}
    clients = set(keys)
    keys |= {deal.key for deal in deals}
    of_client = [one for one in portal.activities.values() if keys & set(one.bindings)]
    for one in of_client:
        bound = set(one.bindings)
        if one.provider_id == CALL_PROVIDER:  # a further recording has the first call's client, not its deal
            assert bound == keys if one.id in of_own else clients <= bound <= keys, (external, bound, keys)
    assert all(row.phone.lstrip("+") == number for row in [*own, *further]), (external, own, further)
    return {
        "own": [_row(three, told, row) for row in own],
        "further": sorted(_row(three, told, row) for row in further),
        "records": sorted((TYPE_NAMES[one.type_id].lower(), one.assigned_by_id) for one in [*records, *deals]),
        "todos": sorted(
            (one.responsible_id, int(one.deadline or 0)) for one in of_client if one.provider_id == TODO_PROVIDER
        ),
    }


def _row(three: World, told: DrawnCall, row: Statistic) -> tuple[str, ...]:
    activity = three.portal.activities.get(row.activity_id or 0)
    recording = _recording(three, told, row, activity)
    line = row.portal_number or None
    seen = PortalCall(
        row.user_id, row.type, row.duration, row.failed_code, line, row.missed, recording, activity is not None
    )
    if activity is not None:
        assert activity.responsible_id == row.user_id, (row, activity)
        assert (activity.is_missed, activity.completed) == (row.missed, not row.missed), activity
    return _plain(seen)


def _recording(three: World, told: DrawnCall, row: Statistic, activity: Activity | None) -> str | None:
    """Which recording of the call this row carries, by the bytes of its file."""
    if row.file_id is None:
        return None
    file = three.portal.files[row.file_id]
    if activity is not None:
        assert activity.files == [file.id], activity
    facts = three.mango.board(KEYS[told.scene.office.key][0]).call_log.entries[told.scene.entry]
    for name, taped in facts.recordings.items():
        content = b"".join(mp3.stream_bytes(taped.file_size, voice=sum(name.encode())))
        if hashlib.sha256(content).hexdigest() == file.sha256:
            return name
    return f"unknown file {file.name}"


def in_journal(three: World, day: Day, predicted: list[Outcome]) -> list[str]:
    """Where our own journal says something else than the model."""
    with three.app.app_context():
        rows = {(row["pbx"], row["entry_id"]): row for row in export.iterate_rows(three.portal_row()["id"])}
    wrong = []
    for told, outcome in zip(day.calls, predicted, strict=True):
        row = rows.get((told.scene.office.key, told.scene.entry))
        if told.scene.direction == 0:
            if (row is not None) != (day.ways.internal_calls == "log"):
                wrong.append(f"internal call: {row}")
            continue
        found = {name: row[name] for name in outcome.journal} if row else None
        if found != outcome.journal:
            wrong.append(f"journal: {found}, predicted {outcome.journal}")
    return wrong
