"""A name server that does not answer holds nobody: `getaddrinfo` itself has no time-out."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bx24app.bitrix24 import resolver
from bx24app.bitrix24.errors import NotSent
from bx24app.bitrix24.request_deadline import limit_seconds
from bx24app.bitrix24.resolver import Resolver
from bx24app.bitrix24.ssrf_guard import AddressPolicy


class SilentNames:
    """A name server that answers no name before `answer` is set. `asked`: the names."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = threading.Event()

    def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked.append(host)
        assert self.answer.wait(60)
        if host == "nowhere.example":
            raise socket.gaierror("no such host")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentNames]:
    silent = SilentNames()
    monkeypatch.setattr(socket, "getaddrinfo", silent.getaddrinfo)
    yield silent
    silent.answer.set()


def test_a_silent_name_server_is_waited_for_a_bounded_time(names: SilentNames) -> None:
    started = time.monotonic()
    with limit_seconds(0.3), pytest.raises(NotSent, match="not resolved in time"):
        AddressPolicy().resolve_host("slow.example", 443)
    assert time.monotonic() - started < 5


def test_a_worker_too_waits_a_few_seconds_only(names: SilentNames, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "RESOLVE_SECONDS", 0.2)
    with pytest.raises(TimeoutError):
        Resolver().resolve_name("slow.example", 443)


def test_one_name_takes_one_thread_and_all_together_a_bounded_number(
    names: SilentNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "RESOLVE_SECONDS", 0.05)
    monkeypatch.setattr(resolver, "MAX_LOOKUPS", 3)
    shared = Resolver()
    for host in ("a.example", "a.example", "b.example", "a.example", "c.example", "d.example"):
        with pytest.raises(TimeoutError):
            shared.resolve_name(host, 443)
    assert names.asked == ["a.example", "b.example", "c.example"]


def test_an_answer_and_a_refusal_arrive(names: SilentNames) -> None:
    names.answer.set()
    assert AddressPolicy().resolve_host("good.example", 443) == [(socket.AF_INET, "93.184.216.34")]
    with pytest.raises(NotSent, match="no such host"):
        AddressPolicy().resolve_host("nowhere.example", 443)


def test_an_address_needs_no_thread(names: SilentNames) -> None:
    names.answer.set()
    before = threading.active_count()
    Resolver().resolve_name("127.0.0.1", 443)
    assert threading.active_count() == before
