"""Receiving: every row of the answer table, once each; stored exactly once; durable before the 200."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from bx24app import settings
from bx24app.calls.inbox import receiver
from bx24app.domain.settings import PbxSettings, Settings
from bx24app.infra import queue
from bx24app.mango import vpbx
from bx24app.models import Notification, Portal, db, utcnow
from bx24app.models import Pbx as PbxRow
from tests.conftest import KEY, SALT, make_portal

FORM = "application/x-www-form-urlencoded"
RING = (
    (Path(__file__).parents[2] / "mango/fixtures/incoming_answered_by_group/04_events-call__appeared_101.json")
    .read_text()
    .strip()
)


def signed(raw: str, key: str = KEY, salt: str = SALT) -> dict[str, str]:
    return {"vpbx_api_key": key, "json": raw, "sign": vpbx.sign_text(key, salt, raw)}


def post(hook: str, suffix: str = "events/call", form: dict[str, str] | None = None) -> int:
    return receiver.receive(hook, suffix, FORM, signed(RING) if form is None else form, b"", {})


def short(hook: str, suffix: str, content: Any, query: dict[str, str] | None = None) -> int:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return receiver.receive(hook, suffix, "application/json", None, body, query or {})


def stored() -> list[Notification]:
    return list(db.session.query(Notification).order_by(Notification.id))


def test_good_and_new_is_stored_and_wakes_the_portal(app: Flask, portal: Portal, hook: str) -> None:
    assert post(hook) == 200
    [row] = stored()
    assert (row.state, row.name, row.dialect, row.entry_id) == ("new", "events/call", "vpbx", "MjY0NTgxMDAwMDE=")
    assert row.body == RING
    assert app.extensions["bx24app"].redis.zscore("wakeups:calls", portal.id)
    assert app.extensions["bx24app"].redis.zcard("wakeups:calls") == 1


def test_a_duplicate_is_answered_and_not_stored_again(app: Flask, hook: str) -> None:
    spelt = json.dumps(json.loads(RING), indent=1)
    assert post(hook) == post(hook) == post(hook, form=signed(spelt)) == 200
    assert len(stored()) == 1


@pytest.mark.parametrize("form", [{}, {"json": ""}])
def test_an_empty_form_and_a_ping_are_answered(app: Flask, hook: str, form: dict[str, str]) -> None:
    assert post(hook, "", form) == post(hook, "ping", form) == 200
    assert not stored()


@pytest.mark.parametrize("suffix", ["events/dtmf", "events/sms", "events/something/new"])
def test_an_event_we_do_not_use_is_answered_and_not_stored(app: Flask, hook: str, suffix: str) -> None:
    assert post(hook, suffix) == 200
    assert not stored()


def test_an_unknown_hook_key(app: Flask, hook: str) -> None:
    assert post("nobody") == 404


@pytest.mark.parametrize(
    "form",
    [
        signed(RING, key="x" * 32),
        signed(RING, salt="x" * 32),
        {**signed(RING), "json": RING.replace("101", "102")},
        {"json": RING},
    ],
    ids=["key", "salt", "changed text", "no signature"],
)
def test_a_wrong_key_or_signature_is_counted_and_not_stored(
    app: Flask, portal: Portal, hook: str, form: dict[str, str]
) -> None:
    assert post(hook, form=form) == 403
    assert not stored()
    row = db.session.query(PbxRow).one()
    assert (row.refused_count, row.refused_since is not None) == (1, True)
    assert post(hook) == 200
    db.session.expire_all()
    assert db.session.query(PbxRow).one().refused_count == 0


@pytest.mark.parametrize(
    "raw", ["not json", "[]", "{}", '{"entry_id": {}}', '{"entry_id": "e", "call_state": "Appeared"}']
)
def test_not_json_or_a_wrong_shape_is_stored_as_rejected(app: Flask, hook: str, raw: str) -> None:
    assert post(hook, form=signed(raw)) == 200
    [row] = stored()
    assert row.state == "rejected"
    assert row.reason


def test_the_unsigned_dialect_only_where_it_is_enabled(app: Flask, portal: Portal, hook: str) -> None:
    call = {
        "uuid": "u1",
        "start_time": 1705308600,
        "from": {"number": "+74951234567"},
        "to": {"extension": "101"},
        "call_direction": "in",
    }
    assert short(hook, "call_start", call) == 403
    settings.save_version(portal, Settings(pbxs=(PbxSettings(key="moscow", dialects=("vpbx", "events")),)))
    db.session.commit()
    assert short(hook, "call_start", call) == short(hook, "events/call_start", call) == 200
    assert short(hook, "", {**call, "event": "call_start"}) == 200
    assert short(hook, "", {**call, "uuid": "u2"}, {"event": "call_start"}) == 200
    assert [row.entry_id for row in stored()][:1] == ["u1"]
    assert short(hook, "call_start", b"\xff\xfe nonsense") == 200
    assert stored()[-1].state == "rejected"
    assert post(hook) == 200


def test_a_removed_pbx_and_a_removed_portal_answer_404(app: Flask, portal: Portal, hook: str) -> None:
    settings.save_version(portal, Settings())
    db.session.commit()
    assert post(hook) == 404
    settings.save_version(portal, Settings(pbxs=(PbxSettings(key="moscow"),)))
    db.session.commit()
    assert post(hook) == 200
    portal.state = "removed"
    db.session.commit()
    assert post(hook) == 404


def test_an_old_hook_key_is_good_within_its_overlap(app: Flask, portal: Portal, hook: str) -> None:
    row = db.session.query(PbxRow).one()
    row.old_hook_key, row.hook_key, row.old_hook_until = row.hook_key, "fresh-key", utcnow() + timedelta(hours=1)
    db.session.commit()
    assert post(hook) == post("fresh-key") == 200
    row.old_hook_until = utcnow() - timedelta(seconds=1)
    db.session.commit()
    assert post(hook) == 404


def test_two_pbxs_may_have_the_same_entry(app: Flask, portal: Portal, hook: str) -> None:
    make_portal("b" * 32)
    other = db.session.query(PbxRow).filter(PbxRow.portal_id != portal.id).one()
    assert post(hook) == post(other.hook_key) == 200
    assert len(stored()) == 2


def test_503_when_the_database_does_not_answer(app: Flask, hook: str) -> None:
    db.session.execute(text("DROP TABLE notification"))
    db.session.commit()
    assert post(hook) == 503


def test_redis_away_loses_nothing(app: Flask, hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    process = app.extensions["bx24app"]
    monkeypatch.setattr(process, "_redis", __import__("redis").Redis(port=1, socket_connect_timeout=0.2))
    assert post(hook) == 200
    assert len(stored()) == 1
    queue.wake_portal(1)


def test_sqlite_is_durable_before_the_answer(app: Flask) -> None:
    with db.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
