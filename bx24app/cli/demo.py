"""`bx24app demo`: the whole app on embedded defaults beside the sandbox, in one process tree. Each start is a new world."""

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
from bx24app.infra.embedded_redis import EmbeddedError
from bx24app.infra.processes.supervisor import Part

PORTAL, PBX, OAUTH = 8001, 8002, 8003
"""Ports of the sandbox; 0: any free one."""


def run(host: str, port: int, ports: tuple[int, int, int] = (PORTAL, PBX, OAUTH)) -> int:
    """Runs until a signal; returns the exit code. Nothing of the environment but the data directory is used: a demo must not reach real portals.

    Raises:
        bx24app.infra.embedded_redis.EmbeddedError: another demo runs in this data directory.
    """
    port, *taken = (_free(host) if number == 0 else number for number in (port, *ports))
    portal, pbx, oauth = taken
    config = _config(host, port, pbx, oauth)
    sandbox = Part(
        "sandbox", partial(_sandbox, host, portal, oauth, pbx, config.public_url), ready=partial(_serves, host, pbx)
    )

    def ready(address: str) -> None:
        print(
            f"\n  the sandbox portal   http://{host}:{portal}/\n  the sandbox PBX      http://{host}:{pbx}/\n\n"
            "Open the portal, install the application, connect the PBX, then press a button of the PBX.\nCtrl-C stops all of it.",
            flush=True,
        )

    return up.up(config, host, port, [sandbox], ready)


def _config(host: str, port: int, pbx: int, oauth: int) -> Config:
    from bx24app.sandbox.demo import CLIENT_ID, CLIENT_SECRET

    return configuration.load(
        {},
        data_dir=_fresh(configuration.load(database_url="", redis_url="").data_dir / "demo"),
        public_url=f"http://{host}:{port}",
        allow_loopback=True,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        oauth_servers=(f"http://{host}:{oauth}",),
        mango_api_url=f"http://{host}:{pbx}/vpbx/",
        recording_hosts=(host,),
        log_level="WARNING",
    )


def _fresh(data_dir: Path) -> Path:
    """An empty directory: the sandbox remembers nothing either, so what a former demo left would fit nobody."""
    if embedded_redis.answers(data_dir):
        raise EmbeddedError(f"another demo runs in {data_dir}: end it first, or set BX24APP_DATA_DIR")
    shutil.rmtree(data_dir, ignore_errors=True)
    return data_dir


def _free(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _serves(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _sandbox(host: str, portal: int, oauth: int, pbx: int, app_url: str) -> None:
    from bx24app.sandbox import demo

    asyncio.run(demo.serve(host, portal, oauth, pbx, app_url))
