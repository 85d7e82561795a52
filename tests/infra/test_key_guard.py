"""One wrong request locks no key: after an answer 3xxx questions wait for two minutes, commands leave, and a 401 of a
key that works is that lock and not a refused address. Against the sandbox's Mango, where every 3xxx counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from flask import Flask

from bx24app.infra import key_guard
from bx24app.infra.runtime import runtime
from bx24app.mango.client import MangoClient
from bx24app.mango.errors import AddressRefused, KeyLocked, MangoError, QuestionPostponed, ResourceNotFound
from bx24app.sandbox.mango import MangoCloud
from tests.support.mango_cloud import served


@pytest.fixture
def cloud() -> Iterator[MangoCloud]:
    with served() as mango:
        mango.cloud.add_pbx(api_key="key", api_salt="salt").pbx.add_employee("101", "Anna")
        mango.cloud.limits.every_3xxx_counts = True
        mango.cloud.limits.is_enabled = False  # how often is not the matter here
        yield mango.cloud


def client_of(cloud: MangoCloud, salt: str = "salt") -> MangoClient:
    """A client of its own, as in another process; what is known of the key is in Redis alone."""
    return MangoClient(cloud.api_url, "key", salt, guard=key_guard.RememberedKey(runtime(), "key"))


def ask_recording(client: MangoClient, recording_id: str = "late") -> None:
    client.open_recording(recording_id, lambda _: None)


def forget_note() -> None:
    """As in a process that has just begun."""
    runtime().get(key_guard._NotedKeys).clear()


def test_after_a_wrong_question_commands_leave_alone(app: Flask, cloud: MangoCloud) -> None:
    with pytest.raises(ResourceNotFound):
        ask_recording(client_of(cloud))
    sent = len(cloud.requests)
    for question in (MangoClient.fetch_balance, MangoClient.fetch_lines, ask_recording):
        with pytest.raises(QuestionPostponed) as held:
            question(client_of(cloud))
        assert 100 < held.value.seconds <= key_guard.LOCK_SECONDS
    assert len(cloud.requests) == sent, "nothing was sent"
    client_of(cloud).start_callback("c-1", "101", "79160000001")
    assert [path for path, _ in cloud.commands] == ["commands/callback"]
    check = client_of(cloud).check_credentials()
    assert check.state == "wait"
    assert 100 < check.wait_seconds <= key_guard.LOCK_SECONDS, "a page counts it down"


def test_questions_go_on_when_a_second_wrong_one_no_longer_counts(
    app: Flask, cloud: MangoCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_guard, "LOCK_SECONDS", 0.3)
    cloud.limits.lockout_seconds = 0.3
    for _ in range(3):
        with pytest.raises(ResourceNotFound):
            ask_recording(client_of(cloud))
        time.sleep(0.4)
    assert client_of(cloud).fetch_balance().amount is not None


def test_of_questions_at_the_same_time_one_is_wrong(app: Flask, cloud: MangoCloud) -> None:
    clients = [client_of(cloud) for _ in range(6)]

    def ask(client: MangoClient) -> type[MangoError] | None:
        try:
            ask_recording(client)
        except MangoError as error:
            return type(error)
        return None

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(ask, clients))
    assert sorted(error.__name__ for error in answers if error) == ["QuestionPostponed"] * 5 + ["ResourceNotFound"]
    assert not cloud.limits.is_locked_out("key")


def test_a_good_answer_lets_the_next_question_leave_at_once(app: Flask, cloud: MangoCloud) -> None:
    client_of(cloud).fetch_balance()
    guard = key_guard.RememberedKey(runtime(), "key")
    with guard.question(is_alone=True):
        pass
    with guard.question(is_alone=True):
        pass


def test_a_lock_of_a_key_that_works_passes_by_itself(app: Flask, cloud: MangoCloud) -> None:
    client_of(cloud).fetch_balance()
    for _ in range(2):  # another program with the same key
        cloud.limits.count_malformed("key")
    forget_note()
    with pytest.raises(KeyLocked) as locked:
        client_of(cloud).start_callback("c-2", "101", "79160000001")
    assert 100 < locked.value.seconds <= key_guard.LOCK_SECONDS
    assert "две минуты" in locked.value.describe("ru")
    assert "two minutes" in locked.value.describe("en")
    assert not cloud.commands
    with pytest.raises(QuestionPostponed):
        client_of(cloud).fetch_balance()


def test_the_lock_ends_two_minutes_after_the_first_wrong_request(app: Flask, cloud: MangoCloud) -> None:
    client_of(cloud).fetch_balance()
    key_guard.RememberedKey(runtime(), "key").record_wrong()
    name = next(key for key in runtime().redis.keys("*") if key.decode().endswith(":wrong")).decode()
    plain = runtime().queue_redis
    plain.pexpire(name, 50_000)
    for _ in range(2):
        cloud.limits.count_malformed("key")
    with pytest.raises(KeyLocked) as locked:
        client_of(cloud).start_callback("c-3", "101", "79160000001")
    assert 40 < locked.value.seconds <= 50


def test_a_401_of_a_key_that_never_worked_is_a_refused_address(app: Flask, cloud: MangoCloud) -> None:
    for _ in range(2):
        cloud.limits.count_malformed("key")
    with pytest.raises(AddressRefused):
        client_of(cloud).fetch_balance()
    with pytest.raises(AddressRefused):
        client_of(cloud).start_callback("c-4", "101", "79160000001")


def test_a_wrong_salt_proves_no_key(app: Flask, cloud: MangoCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_guard, "LOCK_SECONDS", 0.01)
    assert client_of(cloud, "another").check_credentials().state == "wrong_salt"
    time.sleep(0.05)
    assert client_of(cloud, "another").check_credentials().state == "address_refused"


def test_that_a_key_works_is_written_once_a_minute(app: Flask, cloud: MangoCloud) -> None:
    def is_noted() -> bool:
        return any(key.decode().endswith(":worked") for key in runtime().redis.keys("*"))

    client_of(cloud).fetch_balance()
    assert is_noted()
    assert not any(b"key:key" in key or key.endswith(b":key") for key in runtime().redis.keys("*")), "never the key"
    runtime().redis.flushall()
    client_of(cloud).fetch_balance()
    assert not is_noted()


def test_without_redis_requests_leave_as_before(
    app: Flask, cloud: MangoCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime(), "_redis", redis.Redis(port=1, socket_connect_timeout=0.1, retry=None))
    cloud.limits.every_3xxx_counts = False
    for _ in range(2):
        with pytest.raises(ResourceNotFound):
            ask_recording(client_of(cloud))
    for _ in range(2):
        cloud.limits.count_malformed("key")
    with pytest.raises(AddressRefused):
        client_of(cloud).fetch_balance()
