"""What a process shares: its way to Mango leads to checked addresses only."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from bx24app.infra.runtime import Runtime
from bx24app.mango import errors
from bx24app.mango.client import MangoClient
from tests.conftest import config_for
from tests.support.servers import free_port


def test_a_name_that_turns_inward_after_its_check_gains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name was checked (`admit`) when it was public; when the connection is made it names our own network."""
    config = config_for(tmp_path, "redis://127.0.0.1:1/0", allow_loopback=False)
    asked: list[str] = []

    def inward(host: str, port: int, *_: Any, **__: Any) -> Any:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with socket.create_server(("127.0.0.1", free_port())) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        monkeypatch.setattr(socket, "getaddrinfo", inward)
        mango = MangoClient("https://pbx.example/vpbx/", "key", "salt", session=Runtime(config).http_session)
        with pytest.raises(errors.Unreachable):
            mango.open_url(f"https://files.example:{port}/1.mp3", lambda _: None)
        with pytest.raises(TimeoutError):
            server.accept()
    assert asked == ["files.example"]
