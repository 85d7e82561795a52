"""BX24APP_REDIS_URL: Sentinel with a master that dies, TLS, and what cannot be understood. Real servers."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import redis

from bx24app import config
from bx24app.infra import redis_client
from bx24app.infra.runtime import runtime
from tests.conftest import config_for
from tests.support.servers import sentinel, valkey
from tests.support.stack import until


def port_of(url: str) -> str:
    return url.rpartition(":")[2].partition("/")[0]


def test_the_master_that_sentinel_names_is_used_also_after_a_failover(tmp_path: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(valkey(tmp_path / "a"))
        second = stack.enter_context(valkey(tmp_path / "b", replicaof=f"127.0.0.1 {port_of(first)}"))
        port = stack.enter_context(sentinel(tmp_path / "c", first))
        direct, watcher = redis.Redis.from_url(second), redis.Redis(port=port)
        until(lambda: direct.info("replication")["master_link_status"] == "up", "the replica never followed")
        until(lambda: watcher.sentinel_slaves("mymaster"), "the sentinel never heard of the replica")
        client = redis_client.connect(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/mymaster/3", socket_timeout=2)
        client.set("said", "before")
        until(lambda: redis.Redis.from_url(second[:-1] + "3").get("said") == b"before", "never replicated")
        with suppress(redis.ConnectionError):
            redis.Redis.from_url(first).shutdown(nosave=True)

        def said() -> bytes | None:
            try:
                client.set("more", "after")
                return client.get("said")  # type: ignore[return-value]
            except redis.RedisError:
                return None

        until(lambda: said() == b"before", "the new master was never found", 60)
        assert redis.Redis.from_url(second[:-1] + "3").get("more") == b"after"


@pytest.fixture
def behind_tls(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A Valkey behind TLS; its URL and the certificate to trust."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    opened: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        threads.append(thread)
        thread.start()

    def serve(port: int) -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            opened.append(raw)
            with suppress(OSError):
                peer = context.wrap_socket(raw, server_side=True)
                opened.append(peer)
                inner = socket.create_connection(("127.0.0.1", port))
                opened.append(inner)
                start(pump, peer, inner)
                start(pump, inner, peer)

    with valkey(tmp_path) as url:
        start(serve, int(port_of(url)))
        yield f"rediss://localhost:{listener.getsockname()[1]}/0", certificate
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # closing alone does not wake who accepts
        listener.close()
        threads[0].join(10)
        for one in opened:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)
        for one in opened:
            one.close()


def test_tls_is_spoken_and_the_authority_checked(behind_tls: tuple[str, Path]) -> None:
    url, certificate = behind_tls
    trusting = redis_client.connect(url, certificate)
    assert trusting.ping()
    trusting.close()
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        redis_client.connect(url).ping()


def test_what_sentinel_needs_is_read_from_the_address() -> None:
    client = redis_client.connect("redis+sentinel://us%40er:pa%2Fss@one,two:7000/main")
    held = client.connection_pool.connection_kwargs
    assert (held["db"], held["username"], held["password"]) == (0, "us@er", "pa/ss")
    hosts = [one.connection_pool.connection_kwargs for one in client.connection_pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in hosts] == [("one", 26379), ("two", 7000)]


@pytest.mark.parametrize("url", ["redis+sentinel://host", "redis+sentinel:///main", "http://host", "redis+sentinel://h:x/m"])
def test_an_address_that_is_none_stops_the_start(url: str, tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match=r"BX24APP_REDIS_URL is .*give an address such as redis"):
        config.load({"BX24APP_REDIS_URL": url, "BX24APP_DATA_DIR": str(tmp_path)})


def test_a_wrong_address_does_not_print_its_password(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError) as met:
        config.load({"BX24APP_REDIS_URL": "http://me:pa/ss@host/0", "BX24APP_DATA_DIR": str(tmp_path)})
    assert "pa/ss" not in str(met.value)
    assert "http://me:***@host/0" in str(met.value)


def test_a_worker_in_a_world_of_sentinels(tmp_path: Path) -> None:
    """The app's own clients take such an address: the queue is filled and read through it."""
    from bx24app import create_app
    from bx24app.infra import queue
    from bx24app.models import db

    with valkey(tmp_path / "a") as first, sentinel(tmp_path / "c", first) as port:
        app = create_app(config_for(tmp_path, f"redis+sentinel://127.0.0.1:{port}/mymaster/0"))
        (tmp_path / "var").mkdir(exist_ok=True)
        with app.app_context():
            db.create_all()
            queue.wake_portal(7)
            from bx24app.infra.worker import _open_connection

            def count() -> int:
                return int(_open_connection().zcard(runtime().key_names("wakeups:calls")))  # type: ignore[arg-type]

            deadline = time.monotonic() + 10
            while not count() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert count() == 1
