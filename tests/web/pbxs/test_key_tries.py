"""Wrong keys of all tenants together never come to two within two minutes: Mango would lock our address."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from bx24app.calls.reconciliation import statistics_requests
from bx24app.calls.reconciliation.statistics_requests import DelayedRequest, StatisticsRequest
from bx24app.infra import key_tries
from bx24app.infra.runtime import runtime
from bx24app.mango import errors
from bx24app.models import Pbx, db
from tests.support.frame_pages import API_KEY, API_SALT, FakeMango, Frame, frame, mango, wrong

__all__ = ["frame", "mango"]
PAGE = "/frame/pbxs"
WAIT = re.compile(r'data-countdown="(\d+)"')


def typed(frame: Frame, key: str, salt: str = API_SALT) -> dict[str, Any]:
    return {
        "name": "Moscow", "dialects": ["vpbx"], "api_key": key, "api_salt": salt, "version": str(frame.number()),
    }  # fmt: skip


def wait_of(page: str) -> int:
    match = WAIT.search(page)
    return int(match[1]) if match else 0


def test_after_a_wrong_key_nobody_tries_another_one_for_two_minutes(frame: Frame, mango: FakeMango) -> None:
    first = frame.post(PAGE, typed(frame, "m" * 32))
    assert wrong(first)
    assert 110 < wait_of(first) <= key_tries.LOCK_SECONDS, "the page counts down at once"
    again = frame.post(PAGE, typed(frame, API_KEY))
    assert 110 < wait_of(again) <= key_tries.LOCK_SECONDS
    assert f'value="{API_KEY}"' in again
    assert f'value="{API_SALT}"' in again, "nobody copies both of them again"
    assert "Keys are checked one at a time" in again
    assert mango.requests.count("check") == 1, "nothing was sent"
    with frame.site.app_context():
        assert 110 < key_tries.acquire(frame.portal + 1, "another portal's") <= 120
        runtime().redis.delete("key_tries:all", f"key_tries:portal:{frame.portal}")
    assert not wait_of(frame.post(PAGE, typed(frame, API_KEY)))
    assert [pbx.name for pbx in frame.settings().pbxs] == ["Moscow"]


@pytest.mark.parametrize("state", ["ok", "unreachable", "busy"])
def test_what_is_not_wrong_holds_nobody_back(frame: Frame, mango: FakeMango, state: str) -> None:
    mango.state = None if state == "ok" else state
    frame.post(PAGE, typed(frame, API_KEY))
    with frame.site.app_context():
        assert key_tries.acquire(frame.portal + 1, "another portal's") == 0
        assert 0 < key_tries.acquire(frame.portal + 2, "at the same time") <= key_tries.TRY_SECONDS


def test_a_key_and_a_portal_wait_by_themselves_too(frame: Frame) -> None:
    with frame.site.app_context():
        pauses = []
        for number in range(7):
            key_tries.report(1, f"k{number}", is_wrong=True)
            runtime().redis.delete("key_tries:all")
            pauses.append(key_tries.acquire(1, "other"))
        assert pauses == sorted(pauses)
        assert pauses[0] <= 120
        assert 230 < pauses[1] <= 240
        assert pauses[-1] <= key_tries.LONGEST_PAUSE, "the others have their turn, and so has this one"
        assert 110 < key_tries.acquire(2, "k6") <= 120, "Mango may lock the key instead of the address"
        assert key_tries.acquire(2, "fresh") == 0


def test_without_redis_nothing_is_held_back(frame: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    import redis

    with frame.site.app_context():
        monkeypatch.setattr(runtime(), "_redis", redis.Redis(port=1, socket_connect_timeout=0.1, retry=None))
        key_tries.report(1, "k", is_wrong=True)
        assert key_tries.acquire(1, "k") == 0


class WrongKeys:
    """Mango's client of a PBX whose keys were regenerated."""

    def __init__(self) -> None:
        self.requests = 0

    def __call__(self, api_key: str | None, api_salt: str | None) -> WrongKeys:
        return self

    def request_calls(self, *window: int) -> str:
        self.requests += 1
        raise errors.WrongSignature("Mango answered 3102.", 3102)


def test_stored_keys_that_were_wrong_take_the_same_turns(frame: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    client = WrongKeys()
    with frame.site.app_context():
        monkeypatch.setattr(statistics_requests.mango_clients, "build_client", client)
        monkeypatch.setattr(statistics_requests, "rate_limiter", lambda: SimpleNamespace(acquire=lambda: 0.0))
        db.session.add_all(
            Pbx(portal_id=frame.portal, key=f"p{n}", hook_key=f"h{n}", api_key=f"k{n}", api_salt="s", ask_failures=1)
            for n in range(3)
        )
        db.session.commit()
        ids = list(db.session.scalars(db.select(Pbx.id)))
        with pytest.raises(errors.WrongSignature):
            statistics_requests.advance(StatisticsRequest(ids[0], 1, 2))
        for pbx_id in ids[1:]:
            answer = statistics_requests.advance(StatisticsRequest(pbx_id, 1, 2))
            assert isinstance(answer, DelayedRequest)
            assert answer.seconds > 110
        assert client.requests == 1
        assert key_tries.acquire(frame.portal, "typed") <= 120, "an administrator does not wait longer for that"
