"""Runs the sandbox's sites in one asyncio loop: the OAuth server, the portals, and added sites such as the PBX.

Tests use `Sandbox` as a context manager, which runs the loop in a thread. The demo and the benchmarks serve it in the
foreground. Each portal has a port of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import shutil
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from bx24app.sandbox import tls as tls_files
from bx24app.sandbox.bitrix import site
from bx24app.sandbox.bitrix.oauth import OAuthServer
from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.state import Application
from bx24app.sandbox.clock import Clock

SiteExtender = Callable[[Portal, web.Application], None]
_SHUTDOWN_SECONDS = 1.0


class Sandbox:
    """A Bitrix24 cloud on this machine. As a context manager it runs in a daemon thread.

    Attributes:
        oauth: the OAuth server (`.url`).
        portals: all portals. Each has its own port and therefore its own HOST.
        clock: the portals' clock; set it forward with `clock.advance` instead of sleeping.
        ca_path: the certificate authority that clients must trust (with `tls`).
        extend: functions called as `(portal, app)` before a portal starts; they add routes (the pages).
        on_start: functions or coroutine functions that run in the loop once all sites listen.
        on_stop: the same before the sites close.
        sites: addresses of the added sites by name.
    """

    def __init__(
        self, portals: int = 1, host: str = "127.0.0.1", oauth_port: int = 0, portal_port: int = 0, tls: bool = False
    ) -> None:
        self.host = host
        self.clock = Clock()
        self.oauth = OAuthServer(self.clock)
        self.extend: list[SiteExtender] = []
        self.on_start: list[Callable[[], Any]] = []
        self.on_stop: list[Callable[[], Any]] = []
        self.ca_path: Path | None = None
        self._ports = (oauth_port, portal_port)
        self._tls_context: ssl.SSLContext | None = None
        self._tls_folder: Path | None = None
        if tls:
            self._tls_folder = Path(tempfile.mkdtemp(prefix="sandbox-tls-"))
            self.ca_path, self._tls_context = tls_files.make_certificates(self._tls_folder)
        self.portals = [Portal(number + 1, self.oauth, self.clock) for number in range(portals)]
        self.oauth.portals = self.portals
        self._extra_sites: list[tuple[str, web.Application, int]] = []
        self.sites: dict[str, str] = {}
        self._runners: list[web.AppRunner] = []
        self._portal_runners: dict[int, web.AppRunner] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_event: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def portal(self) -> Portal:
        """The first portal."""
        return self.portals[0]

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop in which all sites run.

        Raises:
            RuntimeError: the sandbox does not run.
        """
        if self._loop is None:
            raise RuntimeError("the sandbox does not run")
        return self._loop

    def register_application(
        self, client_id: str, client_secret: str, handler_url: str, install_url: str = "", **fields: Any
    ) -> Application:
        """See `OAuthServer.register_application`."""
        return self.oauth.register_application(client_id, client_secret, handler_url, install_url, **fields)

    # --- running

    def start(self) -> Self:
        """Runs the loop in a daemon thread. Returns when all sites listen."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run_sites(ready)), name="sandbox", daemon=True)
        self._thread.start()
        ready.result(60)
        return self

    async def serve(self) -> None:
        """Runs in the foreground until `stop` or cancellation."""
        await self._run_sites(Future())

    async def _run_sites(self, ready: Future[None]) -> None:
        self._loop, self._stop_event = asyncio.get_running_loop(), asyncio.Event()
        try:
            try:
                await self._open_sites()
            except BaseException as error:
                ready.set_exception(error)
                raise
            ready.set_result(None)
            await self._stop_event.wait()
        finally:
            await self._close_sites()

    async def _open_sites(self) -> None:
        oauth_port, portal_port = self._ports
        hosts = await self._start_app(self.oauth.web_app(), oauth_port)
        self.oauth.host, self.oauth.tls_host = hosts
        for number, portal in enumerate(self.portals):
            await self._open_portal(portal, portal_port + number if portal_port else 0)
        for name, app, port in self._extra_sites:
            await self._start_extra_site(name, app, port)
        for function in self.on_start:
            await _await_result(function())

    async def _open_portal(self, portal: Portal, port: int) -> None:
        app = site.make_site(portal)
        for extend in self.extend:
            extend(portal, app)
        portal.host, portal.tls_host = await self._start_app(app, port)
        self._portal_runners[portal.number] = self._runners[-1]
        portal.mover = partial(self._change_domain, portal)

    async def _start_app(self, app: web.Application, port: int) -> tuple[str, str]:
        """Starts an app on a port of its own, and with TLS on a second one. Returns both hosts."""
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        self._runners.append(runner)
        plain = await self._start_site(runner, port, None)
        secure = await self._start_site(runner, 0, self._tls_context) if self._tls_context else ""
        return plain, secure

    async def _start_site(self, runner: web.AppRunner, port: int, context: ssl.SSLContext | None) -> str:
        listening = socket.create_server((self.host, port), backlog=1024)
        await web.SockSite(runner, listening, ssl_context=context, backlog=1024).start()
        return f"{self.host}:{listening.getsockname()[1]}"

    async def _close_sites(self) -> None:
        for function in self.on_stop:
            await _await_result(function())
        for portal in self.portals:
            await portal.event_sender.close()
        if self._tls_context:
            self._abort_connections()
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))
        self._runners.clear()
        self._loop = None
        if self._tls_folder:
            shutil.rmtree(self._tls_folder, ignore_errors=True)

    def _abort_connections(self) -> None:
        """Without this a connection over TLS waits for its client's farewell, for longer than the loop lives."""
        for runner in self._runners:
            for connection in runner.server.connections if runner.server else ():
                if connection.transport is not None:
                    connection.transport.abort()

    def stop(self) -> None:
        """Stops all sites and waits for the thread."""
        if self._loop is not None and self._stop_event is not None:
            self._loop.call_soon_threadsafe(self._stop_event.set)
        if self._thread is not None:
            self._thread.join(30)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- from outside the loop

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Runs a function or coroutine function in the loop from another thread and returns its result.

        Raises:
            RuntimeError: called inside the loop, or the sandbox does not run.
        """

        async def run_function() -> Any:
            return await _await_result(function(*args, **kwargs))

        if self._thread is threading.current_thread():
            raise RuntimeError("already inside the sandbox's loop")
        return asyncio.run_coroutine_threadsafe(run_function(), self.loop).result(60)

    def add_site(self, name: str, app: web.Application, port: int = 0) -> str:
        """Adds another site, such as the PBX. Added before the start, its address is in `sites[name]` once all sites
        listen.

        Returns:
            The address, or "" when the sandbox does not run yet.
        """
        if self._loop is None:
            self._extra_sites.append((name, app, port))
            return ""
        return str(self.call(self._start_extra_site, name, app, port))

    async def add_site_async(self, name: str, app: web.Application, port: int = 0) -> str:
        """`add_site` for code that runs in the loop."""
        return await self._start_extra_site(name, app, port)

    async def _start_extra_site(self, name: str, app: web.Application, port: int) -> str:
        host, _ = await self._start_app(app, port)
        self.sites[name] = f"http://{host}"
        return self.sites[name]

    def add_portal(self) -> Portal:
        """Adds a portal. In a running sandbox it listens at once."""
        portal = Portal(len(self.portals) + 1, self.oauth, self.clock)
        self.portals.append(portal)
        if self._loop is not None:
            self.call(self._open_portal, portal, 0)
        return portal

    def move_portal(self, portal: Portal, tls_name: str = "") -> str:
        """Gives a portal a new domain and returns its HOST. The old address answers 302 to the new one."""
        return str(self.call(self._change_domain, portal, tls_name))

    async def _change_domain(self, portal: Portal, tls_name: str = "") -> str:
        runner = self._portal_runners[portal.number]
        for host in (portal.host, portal.tls_host):
            if host:
                portal.retired_ports.add(int(host.rpartition(":")[2]))
        portal.host = await self._start_site(runner, 0, None)
        portal.tls_host = await self._start_site(runner, 0, self._tls_context) if self._tls_context else ""
        portal.tls_name = tls_name
        return portal.domain


async def _await_result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
