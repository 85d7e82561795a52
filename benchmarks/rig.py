"""An installation as an operator starts it (`bx24app up`), with a sandbox in a process of its own and installed
portals.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import requests
from cryptography.fernet import Fernet
from flask import Flask

from benchmarks.cloud import CLIENT_ID, CLIENT_SECRET, Cloud, cloud
from bx24app import create_app, settings
from bx24app.config import load
from bx24app.domain.settings import Settings
from bx24app.infra.processes.child_process import die_with_parent
from bx24app.mango import vpbx
from bx24app.models import Delivery, Notification, Portal, Recording, db
from bx24app.models import Pbx as PbxRow
from tests.conftest import KEY, SALT
from tests.support.replayed_scenario import ReplayedCall, as_new_call
from tests.support.scenarios import FIXTURES, Notice, Scenario
from tests.support.servers import free_port

ROOT = Path(__file__).parent.parent
FIRST = Scenario(FIXTURES / "incoming_answered_by_group")
"""The first sequence of the reference: thirteen notifications."""


class Rig:
    """A running installation. `pid`: the parent of all its processes. `hooks`: the notification address of each
    portal's PBX.
    """

    def __init__(self, app: Flask, cloud: Cloud, url: str, pid: int, document: Settings) -> None:
        self.app, self.cloud, self.url, self.pid, self._document = app, cloud, url, pid, document
        self.hooks: list[str] = []

    def install(self, number: int) -> None:
        """Installs the app in a portal as an administrator does, then saves the settings of the first sequence."""
        form = self.cloud.ask("open_form", number)
        requests.post(form.url, data=form.fields, timeout=30).raise_for_status()
        self.cloud.ask("finish_install", number)
        member = self.cloud.ask("member_id", number)
        until(partial(self._active, member), f"portal {number} never became active")
        with self.app.app_context():
            portal = db.session.query(Portal).filter_by(member_id=member).one()
            settings.save_version(portal, self._document, {"moscow": (KEY, SALT)})
            db.session.commit()
            key = db.session.query(PbxRow).filter_by(portal_id=portal.id).one().hook_key
            db.session.remove()
        self.hooks.append(f"{self.url}/mango/{key}")

    def _active(self, member: str) -> bool:
        with self.app.app_context():
            count = db.session.query(Portal).filter_by(member_id=member, state="active").count()
            db.session.remove()
            return bool(count)

    def pending(self) -> int:
        """The number of notifications, deliveries and recordings that are not done."""
        with self.app.app_context():
            count = db.session.query(Notification).filter_by(state="new").count()
            count += db.session.query(Delivery).filter(Delivery.state.in_(("waiting", "sent"))).count()
            count += db.session.query(Recording).filter(Recording.due_at.is_not(None)).count()
            db.session.remove()
            return count

    def settle(self, seconds: float) -> None:
        until(lambda: not self.pending(), "it never came to rest", seconds, 0.2)


def call() -> ReplayedCall:
    """The first sequence with new ids and a new client."""
    return as_new_call(FIRST)


def post(session: requests.Session, hook: str, notice: Notice) -> None:
    """Posts one notification as Mango does. An answer other than 200 ends the benchmark."""
    form = {"vpbx_api_key": KEY, "json": notice.raw, "sign": vpbx.sign_text(KEY, SALT, notice.raw)}
    session.post(f"{hook}/{notice.name}", data=form, timeout=30).raise_for_status()


def until(true: Callable[[], object], why: str, seconds: float = 60, every: float = 0.03) -> None:
    """Waits until a condition is true.

    Raises:
        RuntimeError: it was not true after `seconds`.
    """
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise RuntimeError(why)
        time.sleep(every)


def _document(recordings: bool) -> Settings:
    """The settings of the first sequence."""
    made = FIRST.settings
    attach = made.calls.recordings.model_copy(update={"attach": "upload" if recordings else "never"})
    return made.model_copy(update={"calls": made.calls.model_copy(update={"recordings": attach})})


@contextmanager
def rig(portals: int = 1, license: str = "", recordings: bool = True, **variables: str) -> Iterator[Rig]:
    """A running installation with installed portals.

    Args:
        license: of every portal; empty: an ordinary one.
        recordings: whether the settings attach recordings.
        variables: further BX24APP_ variables, without the prefix.
    """
    with tempfile.TemporaryDirectory() as folder, cloud(portals) as sky:
        port, places = free_port(), sky.ask("addresses")
        url = f"http://127.0.0.1:{port}"
        sky.ask("register", url)
        if license:
            sky.ask("license", license)
        own = {
            "PUBLIC_URL": url,
            "DATA_DIR": f"{folder}/var",
            "ALLOW_LOOPBACK": "1",
            "CLIENT_ID": CLIENT_ID,
            "CLIENT_SECRET": CLIENT_SECRET,
            "OAUTH_SERVERS": places["oauth"],
            "MANGO_API_URL": places["mango"],
            "RECORDING_HOSTS": "127.0.0.1",
            "HOOK_RATE": "0",
            "ADDRESS_RATE": "0",
            "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "SECRET_KEY": "benchmarks only",
            "LOG_LEVEL": "WARNING",
        } | variables
        environ = {f"BX24APP_{name}": value for name, value in own.items()}
        with serving("up", environ, port, Path(folder) / "up.log") as pid:
            app = create_app(load(environ, redis_url=own.get("REDIS_URL", "redis://127.0.0.1:1/0")))
            made = Rig(app, sky, url, pid, _document(recordings))
            for number in range(portals):
                made.install(number)
            yield made
            with app.app_context():
                db.engine.dispose()


@contextmanager
def serving(part: str, environ: dict[str, str], port: int, log: Path) -> Iterator[int]:
    """Runs `bx24app up` or `bx24app web` and yields the parent's pid when it is ready."""
    command = [sys.executable, "-m", "bx24app.cli", part, "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environ}, stdout=output, stderr=output,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )  # fmt: skip
    try:
        until(
            lambda: process.poll() is not None or b"bx24app ready on" in log.read_bytes(),
            f"`{part}` never became ready",
        )
        if process.poll() is not None:
            raise RuntimeError(f"`{part}` ended: {log.read_text(errors='replace')[-2000:]}")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
