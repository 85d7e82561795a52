"""The short form of `make wide`: two hosts lose power and all four are restarted. Also tests the proxy."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import requests
from werkzeug.serving import make_server

from scripts import needs
from tests.stress.multi_host.front import Front
from tests.stress.multi_host.hosts import wide
from tests.stress.multi_host.run import run
from tests.support.servers import POSTGRES_MISSING, free_port


@pytest.mark.postgres
@pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)
def test_hosts_die_and_are_restarted_and_nothing_is_lost() -> None:
    with wide() as hosts:
        result = run(hosts, drawn=150, each=2, at_once=4, apart=0.8)
    assert result.row.good, "\n".join([str(result.row), *result.row.details])
    assert 15 <= result.row.calls < 150, "the calls did not last until the end"
    phases = {phase.name: phase.whole for phase in result.phases}
    assert phases["work-1 killed"] >= 2, "the other host did not carry the calls"
    assert phases["web-1 killed"] >= 2, "the other host did not take the notifications"
    assert phases["rolling restart of all four"] > 0
    assert result.turned_away > 0, "no request met a host that was down"
    assert set(result.away) == set(result.left) == {"web-1", "web-2", "work-1", "work-2"}
    known = ("spool/", "workers/")  # recordings on their way, and the locks by which a machine knows its own workers
    unexpected = [name for names in result.left.values() for name in names if not name.startswith(known)]
    assert not unexpected, "a data directory has a file that no other host knows"


def _host(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("201 CREATED", [("X-Path", environ["PATH_INFO"]), ("X-Host", environ["HTTP_HOST"])])
    return [body]


def test_the_proxy_asks_the_next_host() -> None:
    front, silent = Front(), socket.create_server(("127.0.0.1", 0))
    hang_up = threading.Thread(target=lambda: silent.accept()[0].close())
    hang_up.start()
    servers = [make_server("127.0.0.1", 0, app, threaded=True) for app in (front, _host)]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    refusing, living = f"127.0.0.1:{free_port()}", f"127.0.0.1:{servers[1].server_port}"
    url = f"http://127.0.0.1:{servers[0].server_port}/mango/x"
    try:
        front.addresses = [f"127.0.0.1:{silent.getsockname()[1]}", refusing, living]
        answer = requests.post(url, data="news", timeout=20)
        assert (answer.status_code, answer.text, answer.headers["X-Path"]) == (201, "news", "/mango/x")
        assert answer.headers["X-Host"] == url.split("/")[2], "the public name is kept"
        assert front.turned_away == 1
        front.addresses = [refusing]
        assert requests.post(url, data="news", timeout=20).status_code == 502
    finally:
        hang_up.join(20)
        silent.close()
        for server in servers:
            server.shutdown()
            server.server_close()
