"""The background grant: refreshed by one of all workers, stored before it is used, and never killed by our own haste.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from bx24app import create_app
from bx24app.bitrix24.errors import AnswerLost, Gone, NeedsAdmin, NotSent
from bx24app.infra.leases import hold_lease
from bx24app.models import Grant, db, utcnow
from bx24app.portals import clients, sync, tokens
from tests.conftest import config_for
from tests.support.installations import grant, installed, row, w
from tests.support.stack import World

__all__ = ["w"]


def refreshes(w: World) -> int:
    return sum(
        1 for kind, asked, error in w.sandbox.oauth.log if asked.get("grant_type") == "refresh_token" and not error
    )


def at_once(w: World, count: int, work: Callable[[], Any]) -> list[Any]:
    """What `count` threads get, each in an app context of its own, started together."""
    gate, found = threading.Barrier(count), []

    def run() -> None:
        with w.app.app_context():
            gate.wait(20)
            found.append(work())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == count
    return found


def test_eight_threads_refresh_once(w: World) -> None:
    portal_id = installed(w)
    before = grant(portal_id)
    done = refreshes(w)
    client = clients.client_by_id(portal_id)
    w.sandbox.oauth.expire_tokens()
    said = at_once(w, 8, lambda: client.call("profile").result["ID"])
    assert said == ["1"] * 8
    assert refreshes(w) == done + 1
    after = grant(portal_id)
    assert (after.generation, after.user_id) == (before.generation + 1, 1)
    assert after.refresh_token != before.refresh_token


def test_eight_threads_in_clients_of_their_own_refresh_once(w: World) -> None:
    portal_id = installed(w)
    done = refreshes(w)
    w.sandbox.oauth.expire_tokens()
    said = at_once(w, 8, lambda: clients.client_by_id(portal_id).call("profile").result["ID"])
    assert said == ["1"] * 8
    assert refreshes(w) == done + 1


def test_a_token_whose_time_is_over_is_refreshed_before_the_portal_is_asked(w: World) -> None:
    portal_id = installed(w)
    db.session.execute(update(Grant).values(expires_at=utcnow() - timedelta(seconds=1)))
    db.session.commit()
    hits = w.portal.hits
    clients.client_by_id(portal_id).call("profile")
    assert w.portal.hits == hits + 1
    assert grant(portal_id).expires_at > utcnow() + timedelta(minutes=50)


def test_without_a_lock_the_slower_one_takes_the_quicker_ones_pair(w: World) -> None:
    """Valkey was flushed between both: nobody is held back, and one refresh token is spent twice."""
    portal_id = installed(w)
    old = grant(portal_id).access_token
    w.sandbox.oauth.latency = 0.2
    found = at_once(w, 2, lambda: tokens._refresh_grant(portal_id, old))
    assert found == [grant(portal_id).access_token] * 2
    assert found[0] != old
    assert clients.client_by_id(portal_id).call("profile").result["ID"] == "1"


def test_without_redis_a_refresh_waits(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import redis

    portal_id = installed(w)
    old = grant(portal_id)
    w.sandbox.oauth.expire_tokens()

    def gone(*_: Any, **__: Any) -> Any:
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(w.app.extensions["bx24app"].redis, "lock", gone)
    with pytest.raises(NotSent):
        clients.client_by_id(portal_id).call("profile")
    assert grant(portal_id).refresh_token == old.refresh_token


@pytest.mark.parametrize("switch", ["http502", "close_before", "html", "garbage"])
def test_a_lost_refresh_is_repeated_with_the_old_token(w: World, switch: str) -> None:
    portal_id = installed(w)
    w.sandbox.oauth.expire_tokens()
    w.sandbox.oauth.switches.switch_on(switch, times=1, method="token")
    assert clients.client_by_id(portal_id).call("profile").result["ID"] == "1"
    w.sandbox.oauth.expire_tokens()
    w.sandbox.oauth.switches.switch_on(switch, times=2, method="token")
    with pytest.raises(NotSent):
        clients.client_by_id(portal_id).call("telephony.externalCall.finish", {"CALL_ID": "x", "USER_ID": 1})
    assert clients.client_by_id(portal_id).call("profile").result["ID"] == "1"
    assert row(portal_id).state == "active"


def test_a_refresh_whose_effect_is_lost_for_good_needs_an_administrator_and_loses_nothing(w: World) -> None:
    portal_id = installed(w)
    w.sandbox.oauth.expire_tokens()
    w.sandbox.oauth.switches.switch_on("close_after", times=1, method="token")
    with pytest.raises(NeedsAdmin) as met:
        clients.client_by_id(portal_id).call("profile")
    assert met.value.code == "authorise"


def test_a_pair_that_cannot_be_stored_is_never_used(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    portal_id = installed(w)
    w.sandbox.oauth.expire_tokens()
    hits = w.portal.hits

    def broken(*_: Any) -> None:
        raise OperationalError("UPDATE", {}, Exception("disk full"))

    monkeypatch.setattr(tokens, "store_token_pair", broken)
    with pytest.raises(OperationalError):
        clients.client_by_id(portal_id).call("profile")
    used = {entry.error for entry in list(w.portal.request_log)[hits:]}
    assert used <= {"expired_token"}


def test_a_database_that_restarts_is_waited_for(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    portal_id = installed(w)
    w.sandbox.oauth.expire_tokens()
    monkeypatch.setattr(tokens.time, "sleep", lambda _: None)
    real, failures = db.session.execute, iter([True, True])

    def flaky(statement: Any, *args: Any, **options: Any) -> Any:
        if str(statement).startswith('UPDATE "grant"') and next(failures, False):
            raise OperationalError("UPDATE", {}, Exception("restarting"))
        return real(statement, *args, **options)

    monkeypatch.setattr(db.session, "execute", flaky)
    assert clients.client_by_id(portal_id).call("profile").result["ID"] == "1"
    assert grant(portal_id).generation == 2


@pytest.mark.parametrize(
    ("switch", "kind"), [("invalid_grant", NeedsAdmin), ("wrong_client", NeedsAdmin), ("not_installed", Gone)]
)
def test_a_dead_refresh_token(w: World, switch: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    portal_id = installed(w)
    monkeypatch.setattr(tokens.time, "sleep", lambda _: None)
    w.sandbox.oauth.expire_tokens()
    w.sandbox.oauth.switches.switch_on(switch, method="token")
    with pytest.raises(kind):
        clients.client_by_id(portal_id).call("profile")


def test_a_client_without_its_secret_needs_the_operator(w: World) -> None:
    portal_id = installed(w)
    portal = db.session.get_one(type(row(portal_id)), portal_id)
    portal.client_id = "local.unknown"
    db.session.commit()
    w.sandbox.oauth.expire_tokens()
    with pytest.raises(NeedsAdmin) as met:
        clients.client_by_id(portal_id).call("profile")
    assert met.value.code == "registration"


def test_old_grants_are_kept_fresh_and_young_ones_left_alone(w: World) -> None:
    portal_id = installed(w)
    before = grant(portal_id)
    sync.refresh_due_grants()
    assert grant(portal_id).refresh_token == before.refresh_token
    db.session.execute(update(Grant).values(refreshed_at=utcnow() - timedelta(days=21)))
    db.session.commit()
    sync.refresh_due_grants()
    assert grant(portal_id).refresh_token != before.refresh_token
    assert grant(portal_id).refreshed_at > utcnow() - timedelta(minutes=5)


def test_a_token_that_expires_in_the_middle_of_a_batch(w: World) -> None:
    portal_id = installed(w)
    w.portal.switches.switch_on("expired_token", times=1, method="crm.settings.mode.get")
    client = clients.client_by_id(portal_id)
    commands: list[tuple[str, str, dict[str, Any]]] = [
        ("a", "app.info", {}),
        ("b", "crm.settings.mode.get", {}),
        ("c", "app.info", {}),
    ]
    said = client.batch(commands)
    assert isinstance(said["b"], NotSent)
    assert client.batch(commands)["b"].result in (1, 2)  # type: ignore[union-attr]


def test_a_portal_that_breaks_off_after_the_effect_is_a_lost_answer(w: World) -> None:
    portal_id = installed(w)
    client = clients.client_by_id(portal_id)
    fields = {"entityTypeId": 1, "fields": {"title": "t"}}
    for switch in ("close_after", "http502_after"):
        w.portal.switches.switch_on(switch, times=1, method="crm.item.add")
        with pytest.raises(AnswerLost):
            client.call("crm.item.add", fields)
    w.portal.switches.switch_on("garbage_after", times=1, method="crm.item.add")
    with pytest.raises(AnswerLost):
        client.batch([("a", "crm.item.add", fields)])
    assert len(w.portal.leads) == 3


def test_text_of_a_client_is_no_reference_for_the_portal(w: World) -> None:
    from bx24app.bitrix24.batch_encoding import BatchRef

    portal_id = installed(w)
    client = clients.client_by_id(portal_id)
    said = client.batch(
        [
            ("lead", "crm.item.add", {"entityTypeId": 1, "fields": {"title": "$result[lead][item][id] & friends"}}),
            (
                "note",
                "crm.timeline.comment.add",
                {
                    "fields": {
                        "ENTITY_ID": BatchRef("lead", "item][id"),
                        "ENTITY_TYPE": "lead",
                        "COMMENT": "see $result[lead]",
                    }
                },
            ),
        ]
    )
    assert not any(isinstance(one, Exception) for one in said.values()), said
    [lead] = w.portal.leads.values()
    assert lead.title.replace("\uff04", "$") == "$result[lead][item][id] & friends"
    [comment] = w.portal.comments.values()
    assert comment.text.replace("\uff04", "$") == "see $result[lead]"
    assert w.portal.violations == []


def test_a_recording_is_uploaded_and_a_portal_with_a_full_disk_says_so(w: World, tmp_path: Any) -> None:
    portal_id = installed(w)
    client = clients.client_by_id(portal_id)
    call = client.call(
        "telephony.externalCall.register",
        {
            "USER_ID": 12,
            "PHONE_NUMBER": "+79161234567",
            "TYPE": 2,
            "SHOW": 0,
            "CRM_CREATE": 0,
            "EXTERNAL_CALL_ID": "moscow:1",
            "CALL_START_DATE": "2026-03-10T11:00:00+03:00",
        },
    ).result["CALL_ID"]
    client.call(
        "telephony.externalCall.finish",
        {"CALL_ID": call, "USER_ID": 12, "DURATION": 5, "STATUS_CODE": "200", "ADD_TO_CHAT": 1},
    )
    file = tmp_path / "voice.mp3"
    file.write_bytes(b"\xff\xfb" + b"x" * 300_000)
    where = client.call("telephony.externalCall.attachRecord", {"CALL_ID": call, "FILENAME": "voice.mp3"}).result
    w.portal.switches.switch_on("disk_full", times=1)
    with pytest.raises(NeedsAdmin) as full:
        client.upload_file(where["uploadUrl"], file, "voice.mp3", where["fieldName"])
    assert full.value.code == "disk"
    said = client.upload_file(where["uploadUrl"], file, "voice.mp3", where["fieldName"])
    assert w.portal.files[said["FILE_ID"]].size == 300_002


def test_bursts_never_meet_the_portals_own_limit(w: World) -> None:
    portal_id = installed(w)
    client = clients.client_by_id(portal_id)

    def burst() -> list[bool]:
        """For each try: did it leave? What did not was held back by our own budget."""
        left = []
        for _ in range(12):
            try:
                client.call("profile")
                left.append(True)
            except NotSent as error:
                left.append(not error.is_rate_limited)
        return left

    left = [one for found in at_once(w, 6, burst) for one in found]
    assert 30 <= sum(left) < len(left)
    assert w.portal.limits.refused_count == 0


@pytest.mark.parametrize(("rate", "budget"), [(0.0, (0.0, 0.0)), (4.0, (4.0, 100.0))])
def test_an_on_premise_portal_has_the_operators_limit(
    tmp_path: Path, valkey_url: str, rate: float, budget: tuple[float, float]
) -> None:
    app = create_app(config_for(tmp_path, valkey_url, onpremise_rate=rate))
    with app.app_context():
        of = clients.member_budget("member", "ru_selfhosted")
        assert (of.rate, of.capacity) == budget
        assert clients.member_budget("member", "ru_basic").rate == 2.0


def test_a_pair_of_another_portal_is_never_stored(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    portal_id = installed(w)
    before = grant(portal_id)
    servers = tokens.oauth_servers()
    monkeypatch.setattr(tokens, "oauth_servers", lambda: servers)
    real = servers.refresh_pair
    monkeypatch.setattr(servers, "refresh_pair", lambda *asked: replace(real(*asked), member_id="f" * 32))
    with pytest.raises(NeedsAdmin) as error:
        tokens.refresh_access_token(portal_id, before.access_token)
    assert (error.value.code, error.value.generation) == ("authorise", before.generation)
    after = grant(portal_id)
    assert (after.access_token, after.refresh_token) == (before.access_token, before.refresh_token)


def test_nobody_waits_long_for_a_refresh_of_another_worker(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    portal_id = installed(w)
    assert tokens.REFRESH_WAIT_SECONDS <= 3, "a call thread waits no longer; before, it waited for 60 s"
    monkeypatch.setattr(tokens, "REFRESH_WAIT_SECONDS", 0.2)
    before = refreshes(w)
    with hold_lease(f"refresh:{portal_id}", wait_seconds=0, at_most=60) as is_mine:
        assert is_mine
        with pytest.raises(NotSent, match="another worker") as error:
            tokens.refresh_access_token(portal_id, grant(portal_id).access_token)
    assert error.value.retry_after == 1.0
    assert refreshes(w) == before
    tokens.refresh_access_token(portal_id, grant(portal_id).access_token)
    assert refreshes(w) == before + 1
