"""Runs the whole program for one test over real HTTP: sandbox portal and PBX, the app on a port, workers and scheduler.

A test opens `world(...)`, starts threads with `work`, installs the app with `install`, saves settings with `connect`,
and waits with `settle` or `until`.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import redis
import requests
from flask import Flask
from rq.serializers import JSONSerializer
from werkzeug.serving import make_server

from bx24app import create_app, settings
from bx24app.cli import up
from bx24app.config import Config
from bx24app.domain.settings import Settings
from bx24app.infra.keyed_redis import KeyedRedis
from bx24app.infra.portal_worker import PortalWorker
from bx24app.infra.runtime import runtime
from bx24app.infra.thread_worker import ThreadWorker
from bx24app.infra.wake_list import CALLS, RECORDINGS
from bx24app.infra.wake_timers import WakeTimers
from bx24app.infra.worker import THREAD_QUEUES, JobScheduler
from bx24app.models import Call, Delivery, Notification, Portal, Recording, db
from bx24app.models import Pbx as PbxRow
from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, LEAD, User
from bx24app.sandbox.mango import MangoCloud
from bx24app.sandbox.pages.portal import NeighbourSites, PortalPages
from bx24app.sandbox.server import Sandbox
from bx24app.web.base import session
from bx24app.web.base.session import FrameSession
from tests.support.servers import free_port

CLIENT_ID, CLIENT_SECRET = "local.world.0001", "secret of the world"


class World:
    """All parts that a call passes through. Attributes: `sandbox`, `portal` (the sandbox's), `mango`, `app`, `url`."""

    def __init__(
        self,
        tmp_path: Path,
        redis_url: str,
        make_config: Callable[..., Config],
        portals: int = 1,
        pages: bool = False,
        tls: bool = False,
        **config: Any,
    ) -> None:
        """`pages`: the sandbox portals also serve their own pages, for browsers. `tls`: the portals are boxes with
        https and a certificate of their own authority, and the app admits no http, as in production.
        """
        # Listen from the beginning to the end: werkzeug ends the process if another program takes the port first.
        self._listening = socket.create_server(("127.0.0.1", free_port()), backlog=128)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.sandbox = Sandbox(portals=portals, tls=tls)
        if pages:
            self.sandbox.extend.append(lambda portal, app: PortalPages(portal, NeighbourSites()).add_routes(app))
        self.sandbox.start()
        self.portal = self.sandbox.portal
        for portal in self.sandbox.portals if tls else ():
            portal.secure, portal.registered_url = True, portal.base_url(True)
        if tls:
            boxes = {"allow_loopback": False, "private_portals": (ip_network("127.0.0.0/8"),)}
            config = {"ca_bundle": self.sandbox.ca_path, **boxes, **config}
        self.mango = MangoCloud()
        self.mango.url = self.sandbox.add_site("mango", self.mango.api_app())
        self.mango.files_url = self.sandbox.add_site("mango-files", self.mango.files_app())
        self.application = self.sandbox.call(
            self.sandbox.oauth.register_application,
            CLIENT_ID,
            CLIENT_SECRET,
            f"{self.url}/",
            f"{self.url}/install",
        )
        self.config = make_config(
            tmp_path,
            redis_url,
            public_url=self.url,
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            oauth_servers=(self.sandbox.oauth.url,),
            mango_api_url=self.mango.api_url,
            recording_hosts=("127.0.0.1",),
            **config,
        )
        self._start(self.config)

    def _start(self, config: Config) -> None:
        """Serve the app with an empty Redis; no worker runs yet."""
        self.config = config
        self.app: Flask = create_app(config)
        with self.app.app_context():
            self.app.extensions["bx24app"].redis.flushall()
            up.migrate_database(self.app)
        self._server = make_server("127.0.0.1", 0, self._served(), threaded=True, fd=self._listening.fileno())
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self._stopped = threading.Event()
        self._workers: list[ThreadWorker] = []
        self._threads: list[threading.Thread] = []

    def _served(self) -> Any:
        """The WSGI application at the public address."""
        return self.app

    def move(self, config: Config) -> None:
        """Replace the app by one with this configuration and an empty Redis, as on another machine; start workers."""
        self._stop()
        self._start(config)
        self.work()

    def work(self, calls: int = 4, recordings: int = 2) -> None:
        """Start the worker threads and the scheduler."""
        with self.app.app_context():
            runtime().get(WakeTimers).start(self.app, self._stopped)
        for name, threads in ((CALLS, calls), (RECORDINGS, recordings)):
            if threads:
                self._thread(self._run_worker, partial(self._make_portal_worker, name, threads))
        for index, name in enumerate(THREAD_QUEUES):
            make = partial(ThreadWorker, self.app, [name], name=f"world-{id(self)}-{index}")
            self._thread(self._run_worker, make)
        clock = JobScheduler(redis.Redis.from_url(self.config.redis_url))
        self._thread(clock.run_until, self._stopped)

    def _thread(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _make_portal_worker(self, list_name: str, threads: int, **options: Any) -> PortalWorker:
        client = KeyedRedis(redis.Redis.from_url(self.config.redis_url), runtime().key_names)
        return PortalWorker(self.app, list_name, threads, client, name=f"world-{id(self)}-{list_name}", **options)

    def _run_worker(self, make: Callable[..., ThreadWorker]) -> None:
        with self.app.app_context():
            connection = redis.Redis.from_url(self.config.redis_url)
            worker = make(connection=connection, serializer=JSONSerializer, worker_ttl=16)
            worker.log_job_description = False
            self._workers.append(worker)
            worker.work(logging_level="ERROR")

    def close(self) -> None:
        """Stop all servers and threads of this world."""
        self._stop()
        self._listening.close()
        self.sandbox.stop()

    def _stop(self) -> None:
        self._stopped.set()
        for worker in self._workers:
            worker._stop_requested = True
        for thread in self._threads:
            thread.join(5)
        deadline = time.monotonic() + 5
        while any(worker.is_busy for worker in self._workers) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._server.shutdown()
        self._server.server_close()
        with self.app.app_context():
            db.session.remove()
            db.engine.dispose()

    # --- what people do ----------------------------------------------------------------------------------------------

    def open(self, user_id: int = 1, placement: str = "DEFAULT", number: int = 0) -> requests.Response:
        """A user opens the app in the portal's frame: post the form as a browser would."""
        portal = self.sandbox.portals[number]
        form = self.sandbox.call(portal.open_form, user_id, self.application, placement)
        return requests.post(form.url, data=form.fields, timeout=20)

    def install(self, user_id: int = 1, number: int = 0) -> None:
        """Open the installation page and finish the installation as the page's script does."""
        answer = self.open(user_id, number=number)
        assert answer.status_code == 200, answer.text
        self.sandbox.call(self.sandbox.portals[number].finish_install, self.application)
        until(lambda: self.portal_row(number)["state"] == "active", "the portal did not become active")

    def start_authorisation(self, user_id: int = 1, number: int = 0) -> requests.Response:
        """The page of this administrator begins an authorisation outside the frame; the redirect to the portal."""
        portal_id, member_id = self.portal_row(number)["id"], self.sandbox.portals[number].member_id
        with self.app.app_context():
            claim = session.issue(FrameSession(portal_id, member_id, user_id, True))
        headers = {session.HEADER: claim}
        start = requests.post(f"{self.url}/frame/authorise", headers=headers, timeout=20).json()["url"]
        return requests.get(f"{self.url}{start}", allow_redirects=False, timeout=20)

    def portal_row(self, number: int = 0) -> dict[str, Any]:
        """Id, state and trouble from our row of a sandbox portal; id 0 if there is no row."""
        member_id = self.sandbox.portals[number].member_id
        with self.app.app_context():
            row = db.session.query(Portal).filter_by(member_id=member_id).one_or_none()
            return (
                {"id": row.id, "state": row.state, "trouble": row.trouble}
                if row
                else {"id": 0, "state": "", "trouble": None}
            )

    def connect(self, document: Settings, keys: dict[str, tuple[str, str]], number: int = 0) -> dict[str, str]:
        """Save settings as the frame would. Returns the hook address by PBX key."""
        with self.app.app_context():
            portal = db.session.get_one(Portal, self.portal_row(number)["id"])
            settings.save_version(portal, document, keys)
            db.session.commit()
            rows = db.session.query(PbxRow).filter_by(portal_id=portal.id)
            return {row.key: f"{self.url}/mango/{row.hook_key}" for row in rows}

    def add_users(self, ids: list[int]) -> None:
        """Employees with these ids; runs in the sandbox's loop."""
        for number in ids:
            self.portal.users[number] = User(
                id=number, name="Worker", last_name=str(number), email=f"u{number}@portal.test"
            )

    def add_client(self, entity: str, phone: str, owner: int = 1) -> None:
        """A CRM record with this phone; `owner` is responsible. Runs in the sandbox's loop."""
        type_id = {"lead": LEAD, "contact": CONTACT, "company": COMPANY}[entity]
        fields = {"title": "Known", "name": "Known", "assignedById": owner, "stageId": "NEW"}
        self.portal.crm.add_record(type_id, fields, [{"typeId": "PHONE", "value": phone}])

    def set_crm_mode(self, mode: int, number: int = 0) -> None:
        """Store the CRM mode that the daily check would read from the portal."""
        with self.app.app_context():
            db.session.get_one(Portal, self.portal_row(number)["id"]).crm_mode = mode
            db.session.commit()

    # --- waiting -----------------------------------------------------------------------------------------------------

    def settle(self, seconds: float = 30) -> None:
        """Wait until nothing is pending: no new notification, open delivery, due recording or open call."""
        until(lambda: not self.pending(), lambda: f"never came to rest: {self.pending()}", seconds)

    def settle_quietly(self) -> None:
        """Wait until all notifications are folded and all deliveries sent; a call may still be open."""
        until(lambda: not {"notifications", "deliveries"} & self.pending().keys(), "deliveries were not sent", 90)

    def is_working(self) -> bool:
        """Does a worker carry out a job just now?"""
        return any(worker.is_busy for worker in list(self._workers))

    def pending(self) -> dict[str, int]:
        with self.app.app_context():
            counts = {
                "notifications": db.session.query(Notification).filter_by(state="new").count(),
                "deliveries": db.session.query(Delivery).filter(Delivery.state.in_(("waiting", "sent"))).count(),
                "recordings": db.session.query(Recording).filter(Recording.due_at.is_not(None)).count(),
                "calls": db.session.query(Call).filter_by(state="open").count(),
            }
            db.session.rollback()
            return {name: count for name, count in counts.items() if count}


def until(true: Callable[[], Any], why: str | Callable[[], str], seconds: float = 90) -> None:
    """Wait until `true()` holds. Raises AssertionError with the message `why` after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, why() if callable(why) else why
        time.sleep(0.03)


@contextmanager
def world(tmp_path: Path, redis_url: str, make_config: Callable[..., Config], **how: Any) -> Iterator[World]:
    running = World(tmp_path, redis_url, make_config, **how)
    try:
        yield running
    finally:
        running.close()
