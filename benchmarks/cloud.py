"""The sandbox in a process of its own: portals, their OAuth server and a PBX that share no interpreter with what is
measured.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from bx24app.infra.processes.child_process import die_with_parent
from bx24app.sandbox.bitrix.apps import FrameForm
from bx24app.sandbox.bitrix.control import documented_seconds
from bx24app.sandbox.mango import MangoCloud
from bx24app.sandbox.mango.call_log import Recording
from bx24app.sandbox.server import Sandbox
from tests.conftest import KEY, SALT
from tests.support.scenarios import Notice

CLIENT_ID, CLIENT_SECRET = "local.bench.0001", "secret of the benchmark"
EMPLOYEES = (9, 11, 12, 13, 21, 22)
REGISTER = "telephony.externalcall.register"


class _Served:
    """The sandbox in its process. Each method is a question that `Cloud.ask` sends by name."""

    def __init__(self, portals: int) -> None:
        self.sandbox = Sandbox(portals=portals)
        self.sandbox.start()
        self.mango = MangoCloud()
        self.mango.url = self.sandbox.add_site("mango", self.mango.api_app())
        self.mango.files_url = self.sandbox.add_site("mango-files", self.mango.files_app())
        self.sandbox.call(lambda: self.mango.add_pbx(api_key=KEY, api_salt=SALT, name="Moscow"))
        for portal in self.sandbox.portals:
            portal.limits.rate = 0
            for number in set(EMPLOYEES) - portal.users.keys():
                self.sandbox.call(portal.add_user, number, "Worker", str(number))

    def addresses(self) -> dict[str, str]:
        return {"oauth": self.sandbox.oauth.url, "mango": self.mango.api_url}

    def member_id(self, number: int) -> str:
        return self.sandbox.portals[number].member_id

    def register(self, url: str) -> None:
        """Registers the application, whose pages are at `url`."""
        self.application = self.sandbox.call(
            self.sandbox.register_application, CLIENT_ID, CLIENT_SECRET, f"{url}/", f"{url}/install"
        )

    def license(self, word: str) -> None:
        """The license that `app.info` returns for every portal; `selfhosted` has no request budget."""
        for portal in self.sandbox.portals:
            portal.license = word

    def open_form(self, number: int) -> FrameForm:
        form: FrameForm = self.sandbox.call(self.sandbox.portals[number].open_form, 1, self.application)
        return form

    def finish_install(self, number: int) -> None:
        self.sandbox.call(self.sandbox.portals[number].finish_install, self.application)

    def absorb(self, notices: list[Notice]) -> None:
        """Adds the notifications of calls to the PBX's call log, so that it has their recordings."""
        board = self.mango.board(KEY)
        for notice in notices:
            self.sandbox.call(board.call_log.add_notification, notice.name, notice.content)

    def requests(self, number: int, since: float) -> list[tuple[float, float, bool]]:
        """The portal's answered requests from `since` on: (arrival in epoch seconds, seconds the portal took, whether
        it registers a call).
        """

        def read_log() -> list[tuple[float, float, bool]]:
            log = self.sandbox.portals[number].request_log
            return [
                (
                    entry.at,
                    entry.seconds,
                    any(
                        name.lower() == REGISTER for name in (entry.method, *(command[0] for command in entry.commands))
                    ),
                )
                for entry in log
                if entry.at >= since and entry.status
            ]

        requests: list[tuple[float, float, bool]] = self.sandbox.call(read_log)
        return requests

    def sized(self, size: int | None) -> None:
        """Sets the size in bytes of new recordings. None: by their length."""
        self.mango.board(KEY).call_log.recording_size = size

    def stored(self, names: list[str], size: int) -> None:
        """Adds stored recordings with these ids to the PBX."""
        at = int(time.time())

        def add_recordings() -> None:
            call_log = self.mango.board(KEY).call_log
            for name in names:
                call_log.recordings[name] = Recording(name, name, "101", at - 60, at, is_stored=True, size=size)

        self.sandbox.call(add_recordings)

    def limit(self, number: int, rate: float, seconds: float, used: bool = False) -> None:
        """Makes a portal as strict as a real one: `rate` requests a second and a store of 50, which `used` empties;
        each command takes `seconds`.
        """
        portal = self.sandbox.portals[number]

        def set_limits() -> None:
            portal.limits.rate, portal.latency = rate, seconds
            if used:
                portal.limits.fill_bucket(portal.limits.threshold, portal.now())

        self.sandbox.call(set_limits)

    def documented(self, number: int, how: dict[str, Any]) -> tuple[int, float]:
        """Lets a portal's commands take the documentation's seconds (`control.documented_seconds`). Returns how many
        requests were cut before, and the seconds of the longest.
        """
        portal = self.sandbox.portals[number]
        before = portal.durations
        self.sandbox.call(documented_seconds, portal, how)
        return before.cut_requests, before.longest_request

    def slow(self, number: int, seconds: float) -> None:
        """Makes a portal answer right, but after so many seconds, where a call is registered or a recording attached.
        """
        methods = (REGISTER, "telephony.externalcall.attachrecord")
        self.sandbox.portals[number].latencies = dict.fromkeys(methods, seconds)

    def hang(self, number: int, hanging: bool) -> None:
        """Makes a portal answer nothing, or answer again."""
        switches = self.sandbox.portals[number].switches
        self.sandbox.call(switches.switch_on, "hang") if hanging else self.sandbox.call(switches.switch_off)

    def grant(self, number: int) -> tuple[str, str]:
        """(REST address, access token) for a program that uses the portal besides ours."""
        portal = self.sandbox.portals[number]
        token = self.sandbox.call(self.sandbox.oauth.issue_token, portal, CLIENT_ID, 1)
        return f"{portal.base_url()}/rest/", token.access

    def hits(self, number: int) -> tuple[int, int]:
        """(requests so far, requests that the limit refused)."""
        portal = self.sandbox.portals[number]
        return portal.hits, portal.limits.refused_count

    def cards(self, number: int, since: float) -> dict[str, float]:
        """When the first card of each client's call opened, by the digits of the number."""

        def read_history() -> dict[str, float]:
            portal = self.sandbox.portals[number]
            opened: dict[str, float] = {}
            for step in portal.card_history:
                call = portal.by_call.get(step.call_id) or portal.calls.get(step.call_id)
                if step.action == "show" and step.at >= since and call is not None:
                    opened.setdefault(call.phone.lstrip("+"), step.at)
            return opened

        cards: dict[str, float] = self.sandbox.call(read_history)
        return cards

    def landed(self, number: int) -> tuple[int, int]:
        """(calls in the portal's statistics, calls with a recording)."""
        rows = list(self.sandbox.portals[number].statistics.values())
        return len(rows), sum(row.file_id is not None for row in rows)


class Cloud:
    """Sends questions to the sandbox's process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, what: str, *args: Any) -> Any:
        """The answer to a question. An exception of the question is raised here."""
        self._connection.send((what, args))
        failed, answer = self._connection.recv()
        if failed:
            raise answer
        return answer


def _serve(connection: Connection, portals: int, parent: int) -> None:
    die_with_parent(parent)
    served = _Served(portals)
    connection.send("ready")
    while (question := connection.recv()) is not None:
        name, arguments = question
        try:
            connection.send((False, getattr(served, name)(*arguments)))
        except Exception as error:  # noqa: BLE001 - `ask` raises it again
            connection.send((True, error))
    served.sandbox.stop()


@contextmanager
def cloud(portals: int = 1) -> Iterator[Cloud]:
    """A sandbox with this number of portals and without request limits, stopped at the end of the block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, portals, os.getpid()), daemon=True)
    process.start()
    theirs.close()
    try:
        ours.recv()
        yield Cloud(ours)
        ours.send(None)
    finally:
        process.join(10)
        if process.is_alive():
            process.kill()
            process.join()
