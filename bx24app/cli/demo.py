"""`bx24app demo`: the whole app with its defaults beside the sandbox, in one process tree. Each start begins with empty
data."""

from __future__ import annotations

import asyncio
import shutil
import socket
from functools import partial
from pathlib import Path

from bx24app import config as configuration
from bx24app.cli import up
from bx24app.config import Config
from bx24app.infra import embedded_redis
from bx24app.infra.embedded_redis import EmbeddedRedisError
from bx24app.infra.processes.supervisor import ProcessSpec

PORTAL_PORT, PBX_PORT, OAUTH_PORT = 8001, 8002, 8003
"""Ports of the sandbox; 0 takes a free port."""


def run_demo(host: str, port: int, ports: tuple[int, int, int] = (PORTAL_PORT, PBX_PORT, OAUTH_PORT)) -> int:
    """Run until a signal; returns the exit code. Of the environment only the data directory is used: a demo must not
    reach real portals.

    Raises:
        bx24app.infra.embedded_redis.EmbeddedRedisError: another demo runs in this data directory.
    """
    port, *sandbox_ports = (_find_free_port(host) if number == 0 else number for number in (port, *ports))
    portal, pbx, oauth = sandbox_ports
    config = _load_demo_config(host, port, pbx, oauth)
    target = partial(_run_sandbox, host, portal, oauth, pbx, config.public_url)
    sandbox = ProcessSpec("sandbox", target, is_ready=partial(_is_serving, host, pbx))

    def print_addresses(address: str) -> None:
        print(
            f"\n  the sandbox portal   http://{host}:{portal}/\n  the sandbox PBX      http://{host}:{pbx}/\n\n"
            "Open the portal, install the application, connect the PBX, then press a button of the PBX.\n"
            "Ctrl-C stops all of it.",
            flush=True,
        )

    return up.run_all(config, host, port, [sandbox], print_addresses)


def _load_demo_config(host: str, port: int, pbx: int, oauth: int) -> Config:
    from bx24app.sandbox.demo import CLIENT_ID, CLIENT_SECRET

    return configuration.load(
        {},
        data_dir=_clear_data_dir(configuration.load(database_url="", redis_url="").data_dir / "demo"),
        public_url=f"http://{host}:{port}",
        allow_loopback=True,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        oauth_servers=(f"http://{host}:{oauth}",),
        mango_api_url=f"http://{host}:{pbx}/vpbx/",
        recording_hosts=(host,),
        log_level="WARNING",
    )


def _clear_data_dir(data_dir: Path) -> Path:
    """Empty the directory: the sandbox keeps nothing, so the data of a former demo would match nothing."""
    if embedded_redis.is_answering(data_dir):
        raise EmbeddedRedisError(f"another demo runs in {data_dir}: end it first, or set BX24APP_DATA_DIR")
    shutil.rmtree(data_dir, ignore_errors=True)
    return data_dir


def _find_free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _is_serving(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _run_sandbox(host: str, portal: int, oauth: int, pbx: int, app_url: str) -> None:
    from bx24app.sandbox import demo

    asyncio.run(demo.serve_world(host, portal, oauth, pbx, app_url))
