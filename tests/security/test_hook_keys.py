"""Hook keys: unguessable, changed without losing a call; who floods or knocks from elsewhere is kept out."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text, update

from bx24app import create_app
from bx24app.domain.settings import LineSettings, Settings
from bx24app.domain.settings import PbxSettings as PbxSettings
from bx24app.infra import rate_limit
from bx24app.mango.notification import MAX_DEPTH, MalformedNotification, is_too_deep, read_object
from bx24app.models import Audit, Notification, Pbx, Portal, db, utcnow
from bx24app.operations import retention
from bx24app.settings import hook_keys
from tests.support.frame_pages import Frame, frame, has
from tests.support.servers import free_port
from tests.web.conftest import HOOK, client, portal, site
from tests.web.webhooks.test_mango_hooks import CALL, signed

__all__ = ["client", "frame", "portal", "site"]
DOCUMENT = Settings(pbxs=(PbxSettings(key="moscow", lines=(LineSettings(number="74950000001"),)),))


def pbx_of(site: Flask) -> Pbx:
    with site.app_context():
        row = db.session.query(Pbx).one()
        db.session.expunge(row)
        return row


def status(client: FlaskClient, key: str, **how: object) -> int:
    return client.post(f"/mango/{key}/events/call", data=signed(CALL), **how).status_code  # type: ignore[arg-type]


def test_a_hook_key_has_more_than_128_bits() -> None:
    keys = {hook_keys.generate_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", key) for key in keys)
    assert 32 * 6 >= 128


def test_another_address_keeps_the_old_one_for_a_day(site: Flask, client: FlaskClient, frame: Frame) -> None:
    frame.save(DOCUMENT)
    asked = frame.get("/frame/pbxs/moscow/address")
    assert HOOK in asked
    assert pbx_of(site).hook_key == HOOK, "asking changes nothing"
    said = frame.post("/frame/pbxs/moscow/address", {"shown": HOOK})
    row = pbx_of(site)
    assert row.hook_key != HOOK
    assert row.old_hook_key == HOOK
    assert has(said, "hook-overlap")
    assert row.hook_key in said
    assert HOOK not in said
    assert [status(client, HOOK), status(client, row.hook_key)] == [200, 200]
    with site.app_context():
        one = db.session.query(Audit).filter_by(what="hook key rotated").one()
        assert (one.user_id, one.source, one.facts) == (7, "frame", {"pbx": "moscow"})
        assert db.session.query(Notification).count() == 1, "one PBX, one inbox, whichever address"
        left = row.old_hook_until - utcnow() if row.old_hook_until else timedelta(0)
        assert timedelta(hours=23, minutes=55) < left <= hook_keys.OVERLAP


def test_a_second_press_does_not_end_the_address_in_use(site: Flask, client: FlaskClient, frame: Frame) -> None:
    frame.save(DOCUMENT)
    frame.post("/frame/pbxs/moscow/address", {"shown": HOOK})
    frame.post("/frame/pbxs/moscow/address", {"shown": HOOK})
    assert pbx_of(site).old_hook_key == HOOK
    assert status(client, HOOK) == 200
    assert has(frame.get("/frame/pbxs/moscow/address"), "readdress-twice")


def test_after_a_day_the_old_address_is_gone(site: Flask, client: FlaskClient, frame: Frame) -> None:
    frame.save(DOCUMENT)
    frame.post("/frame/pbxs/moscow/address", {"shown": HOOK})
    with site.app_context():
        db.session.query(Pbx).update({"old_hook_until": utcnow() - timedelta(seconds=1)})
        db.session.commit()
    assert status(client, HOOK) == 404
    assert not has(frame.get("/frame/pbxs/moscow"), "hook-overlap")
    with site.app_context():
        retention.prune()
    assert (pbx_of(site).old_hook_key, pbx_of(site).old_hook_until) == (None, None)
    assert status(client, pbx_of(site).hook_key) == 200


def as_an_older_version_left_it(site: Flask, **more: object) -> None:
    with site.app_context():
        nothing = dict.fromkeys(("hook_sealed", "hook_hash", "old_hook_sealed", "old_hook_hash", "plain_until"))
        db.session.execute(update(Pbx).values(plain_hook_key=HOOK, **nothing | more))
        db.session.commit()


def hide(site: Flask, after: timedelta = timedelta(0)) -> None:
    with site.app_context():
        row = db.session.query(Pbx).one()
        if row.plain_until is not None:
            row.plain_until -= after
        db.session.commit()
        hook_keys.hide_plain_keys()


def on_disk(site: Flask) -> str:
    with site.app_context():
        rows = db.session.execute(text("SELECT * FROM pbx")).all()
        db.session.rollback()
        return str(rows)


def test_a_stolen_database_gives_no_addresses(site: Flask, client: FlaskClient, portal: int) -> None:
    with site.app_context():
        row = db.session.query(Pbx).one()
        row.old_hook_key, row.old_hook_until = "the-key-before-000000000000000001", utcnow() + timedelta(hours=1)
        db.session.commit()
        held = [str(row.hook_hash), str(row.old_hook_hash), row.plain_hook_key]
    assert HOOK not in on_disk(site)
    assert "the-key-before" not in on_disk(site)
    assert [status(client, key) for key in (HOOK, "the-key-before-000000000000000001")] == [200, 200]
    assert {status(client, key) for key in held} == {404}, "what stands there leads nowhere"


def test_keys_of_older_versions_are_hidden_a_day_later(site: Flask, client: FlaskClient, portal: int) -> None:
    old = "the-key-before-000000000000000001"
    as_an_older_version_left_it(site, plain_old_hook_key=old, old_hook_until=utcnow() + timedelta(hours=40))
    assert [status(client, key) for key in (HOOK, old)] == [200, 200], "before anything was done"
    hide(site)
    assert HOOK in on_disk(site), "an old process beside us still finds it"
    assert [status(client, key) for key in (HOOK, old)] == [200, 200]
    hide(site, timedelta(hours=25))
    assert HOOK not in on_disk(site)
    assert old not in on_disk(site)
    assert [status(client, key) for key in (HOOK, old)] == [200, 200]
    hide(site)
    assert pbx_of(site).hook_key == HOOK
    assert pbx_of(site).old_hook_key == old


def test_what_an_old_process_writes_beside_us_is_taken_up(site: Flask, client: FlaskClient, portal: int) -> None:
    as_an_older_version_left_it(site)
    hide(site)
    with site.app_context():  # it rotates as it did: the plain columns alone
        db.session.execute(
            update(Pbx).values(
                plain_hook_key="fresh-of-the-old-process",
                plain_old_hook_key=HOOK,
                old_hook_until=utcnow() + timedelta(days=2),
            )
        )
        db.session.commit()
    assert [status(client, key) for key in (HOOK, "fresh-of-the-old-process")] == [200, 200]
    hide(site, timedelta(hours=25))
    assert [status(client, key) for key in (HOOK, "fresh-of-the-old-process")] == [200, 200]
    assert pbx_of(site).hook_key == "fresh-of-the-old-process"


def test_our_own_rotation_while_an_old_process_runs(site: Flask, client: FlaskClient, portal: int) -> None:
    as_an_older_version_left_it(site)
    hide(site)
    with site.app_context():
        assert hook_keys.rotate(portal, "moscow", HOOK, 7)
    fresh = pbx_of(site).hook_key
    hide(site)
    hide(site, timedelta(hours=25))
    assert pbx_of(site).hook_key == fresh
    assert [status(client, key) for key in (HOOK, fresh)] == [200, 200]


@pytest.fixture
def walled(site: Flask, portal: int) -> Iterator[Flask]:
    """The same database behind a proxy, with Mango's networks stated; `walled.test_client()` knocks."""
    more = {"trusted_proxies": 1, "mango_addresses": (ip_network("81.88.80.0/24"), ip_network("2001:db8::/32"))}
    made = create_app(site.extensions["bx24app"].config.model_copy(update=more))
    yield made
    with made.app_context():
        db.engine.dispose()


def by(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


def test_only_the_stated_networks_may_knock(walled: Flask) -> None:
    client = walled.test_client()
    for address in ("81.88.80.9", "::ffff:81.88.80.9", "2001:db8::1", "10.0.0.1, 81.88.80.9"):
        assert status(client, HOOK, headers=by(address)) == 200, address
    for address in ("81.88.81.9", "81.88.80.9, 10.0.0.1", "::ffff:10.0.0.1", "nonsense", "fe80::1%eth0"):
        assert status(client, HOOK, headers=by(address)) == 403, address
        assert client.get(f"/mango/{HOOK}", headers=by(address)).status_code == 403
    assert status(client, HOOK) == 403, "who comes past the proxy is nobody of Mango's"
    with walled.app_context():
        assert db.session.query(Notification).count() == 1
        assert db.session.query(Pbx.refused_count).scalar() == 0, "a stranger moves no administrator's figure"


@pytest.mark.parametrize("redis", ["up", "down"])
def test_a_flood_is_429_by_hook_and_by_address(
    site: Flask, portal: int, valkey_url: str, monkeypatch: pytest.MonkeyPatch, redis: str
) -> None:
    url = valkey_url if redis == "up" else f"redis://127.0.0.1:{free_port()}/0"
    more = {"redis_url": url, "hook_rate": 1, "address_rate": 2, "trusted_proxies": 1}
    made = create_app(site.extensions["bx24app"].config.model_copy(update=more))
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    client = made.test_client()
    first = [status(client, HOOK, headers=by("81.88.80.9")) for _ in range(12)]
    assert first == [200] * 10 + [429] * 2
    said = client.post(f"/mango/{HOOK}/events/call", headers=by("81.88.80.10"))
    assert said.status_code == 429, "the hook is full, whoever sends"
    assert int(said.headers["Retry-After"]) > 0
    rest = [status(client, f"guess-{number}", headers=by("81.88.80.9")) for number in range(9)]
    assert rest == [404] * 8 + [429], "one address guesses at many hooks"
    assert status(client, "other", headers=by("81.88.80.11")) == 404
    monkeypatch.setattr(time, "time", lambda: 1_800_000_010.0)
    assert status(client, HOOK, headers=by("81.88.80.9")) == 200, "the next window"
    with made.app_context():
        keys = b" ".join(made.extensions["bx24app"].redis.keys("*")) if redis == "up" else b""
        assert HOOK.encode() not in keys
        db.engine.dispose()


def test_the_largest_honest_pbx_is_no_flood(site: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 a second all the time, and the notifications of a pause of ten seconds at once."""
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    with site.app_context():
        assert not any(rate_limit.is_over_limit(HOOK, "81.88.80.9") for _ in range(10_000))
        assert rate_limit.is_over_limit(HOOK, "81.88.80.9")


def test_two_processes_share_one_bound(site: Flask, portal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes leave for some requests at a time: never more than the bound, and what one leaves unused is little."""
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    bound = site.extensions["bx24app"].config.hook_rate * rate_limit.WINDOW_SECONDS
    config = site.extensions["bx24app"].config
    mine, other = (create_app(config) for _ in range(2))
    passed = 0
    for app, most in ((mine, 150), (other, 50), (mine, 20 * bound)):
        with app.app_context():
            for _ in range(most):
                if rate_limit.is_over_limit(HOOK, "81.88.80.9"):
                    break
                passed += 1
    with other.app_context():
        while not rate_limit.is_over_limit(HOOK, "81.88.80.9"):
            passed += 1
    assert passed == bound


def test_the_local_count_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    local = rate_limit.LocalCounter()
    for number in range(3 * rate_limit._MAX_NAMES):
        local.count_requests((str(number),), 1)
        local.add_reserve(str(number), 1, 5)
    assert len(local._counts) <= rate_limit._MAX_NAMES + 1
    assert len(local._reserves) <= rate_limit._MAX_NAMES + 1


@pytest.mark.parametrize("shape", ["[" * 80_000, '{"a":' * 15_000, "[" * 33 + "]" * 33, '{"a":' * 33 + "1" + "}" * 33])
def test_deep_nesting_is_refused_before_it_is_parsed(
    site: Flask, client: FlaskClient, portal: int, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(*_: object, **__: object) -> None:
        raise AssertionError("parsed")

    with monkeypatch.context() as patched:
        patched.setattr("bx24app.mango.notification.json.loads", parse)
        with pytest.raises(MalformedNotification, match="nested too deep"):
            read_object(shape)
    form = {"vpbx_api_key": "key", "sign": hashlib.sha256(f"key{shape}salt".encode()).hexdigest(), "json": shape}
    assert client.post(f"/mango/{HOOK}/events/call", data=form).status_code == 200
    with site.app_context():
        row = db.session.query(Notification).one()
        assert (row.state, row.reason) == ("rejected", "The notification is nested too deep.")
        db.session.query(Pbx).update({"dialects": "events"})
        db.session.commit()
    assert client.post(f"/mango/{HOOK}/call_end", data=shape, content_type="application/json").status_code == 200


def test_brackets_in_texts_are_no_depth() -> None:
    assert not is_too_deep('{"a": "' + "[" * 1000 + '\\"{{{{' + '"}')
    assert is_too_deep('{"a": "\\\\"' + "[" * MAX_DEPTH)
    assert not is_too_deep("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert not is_too_deep("[]" * 1000)


@pytest.mark.parametrize("evil", ['"' * 1 + "\\", '\\"', '"\\', "\\"])
def test_looking_at_the_depth_takes_linear_time(evil: str) -> None:
    """256 KiB of what makes a careless expression look at the same text over and over: it would take minutes."""
    assert not is_too_deep(evil * (256 * 1024 // len(evil)))


def test_a_removed_portal_has_no_hooks(site: Flask, client: FlaskClient, portal: int) -> None:
    with site.app_context():
        db.session.query(Portal).update({"state": "removed"})
        db.session.commit()
    assert status(client, HOOK) == 404
