"""Mango Office in memory: any number of PBX products behind one REST host and one file host.

`MangoCloud` is the entry point for tests, benchmarks and the demo. It holds what the products share: identifiers,
request limits, logs, file links and statistics jobs.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from bx24app.sandbox.live import ChangeStream
from bx24app.sandbox.mango import recordings, rest
from bx24app.sandbox.mango.board import Board, PlayedSequence
from bx24app.sandbox.mango.control import add_control_api
from bx24app.sandbox.mango.handlers import HANDLERS
from bx24app.sandbox.mango.hooks import DeliveryAttempt
from bx24app.sandbox.mango.ids import IdFactory
from bx24app.sandbox.mango.limits import Limits
from bx24app.sandbox.mango.model import Pbx
from bx24app.sandbox.mango.rest import RestFault

if TYPE_CHECKING:
    from bx24app.sandbox.mango.recordings import LinkTicket
    from bx24app.sandbox.mango.statistics import StatisticsJob
    from bx24app.sandbox.server import Sandbox

_T = TypeVar("_T")
LOG_LENGTH = 3000


class MangoCloud:
    """All products of one simulated Mango.

    It lives in one asyncio loop, and its methods are called there. Other threads use `run_coroutine`.

    Attributes:
        errors: form of refusals: `result200` (HTTP 200, `{"result": code}`) or `code420` (HTTP 420, `{"code": code}`).
        missing_recording_status: HTTP status of result 3320, the recording that does not exist.
        recording_delay: for how many seconds after `record/added` a recording is answered 3320.
        link_seconds: lifetime of an unused file link.
        stats_polls: how often a statistics job answers "not ready" before its data.
        stats_keep: how many seconds its data can be fetched.
        commands: the accepted commands, as (path, body).
        rest_faults: path (or `*`) -> the fault to answer with.
        audio_type: content type of recordings.
        cut_files_after: closes the connection of a file after this many bytes; 0: never.
    """

    def __init__(self, *, first_entry: int | None = None) -> None:
        self.ids = IdFactory(first_entry)
        self.boards: dict[str, Board] = {}
        self.limits = Limits()
        self.log: deque[DeliveryAttempt] = deque(maxlen=LOG_LENGTH)
        self.requests: deque[str] = deque(maxlen=LOG_LENGTH)
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.errors = "result200"
        self.missing_recording_status = 200
        self.recording_delay = 0.0
        self.link_seconds = 60.0
        self.stats_polls = 1
        self.stats_keep = 60.0
        self.stats_calls_204 = False
        self.rest_faults: dict[str, RestFault] = {}
        self.audio_type = "audio/mpeg"
        self.cut_files_after = 0
        self.tickets: dict[str, LinkTicket] = {}
        self.jobs: dict[str, StatisticsJob] = {}
        self.change_stream = ChangeStream()
        self.url = ""
        self.files_url = ""
        self.loop: asyncio.AbstractEventLoop | None = None

    @property
    def api_url(self) -> str:
        """The base address of the REST API, as an app is configured with it."""
        return f"{self.url}/vpbx/"

    def add_pbx(self, pbx: Pbx | None = None, **fields: Any) -> Board:
        """Adds a product and returns its board. `fields` are those of `Pbx`.

        Raises:
            ValueError: a product with this key exists.
        """
        product = pbx or Pbx(**{"product_id": 400000001 + len(self.boards), **fields})
        if product.api_key in self.boards:
            raise ValueError(f"two products with the key {product.api_key}")
        board = Board(product, self.ids, self.log, self.notify_change, self._shared_link, self.boards)
        self.boards[product.api_key] = board
        return board

    def by_key(self, api_key: str) -> Board | None:
        """The board of a product's API key."""
        return next((board for board in self.boards.values() if board.pbx.api_key == api_key), None)

    def board(self, which: str | Pbx | Board) -> Board:
        """The board for itself, for its product, or for the product's key or name.

        Raises:
            KeyError: there is none.
        """
        if isinstance(which, Board):
            return which
        for board in self.boards.values():
            if which is board.pbx or which in (board.pbx.api_key, board.pbx.name):
                return board
        raise KeyError(f"no PBX {which!r}")

    def notify_change(self) -> None:
        """Lets open pages reload their state."""
        self.change_stream.notify_change()

    async def play_sequence(self, name: str, pbx: str | Pbx | Board, **how: Any) -> PlayedSequence:
        """Plays a ready sequence; see `Board.play_sequence`."""
        return await self.board(pbx).play_sequence(name, **how)

    async def wait_until_idle(self) -> None:
        """Waits until no notification is on its way."""
        for board in self.boards.values():
            await board.sender.wait_until_idle()

    def attach_to(
        self,
        sandbox: Sandbox,
        *,
        port: int = 0,
        files_port: int = 0,
        extend: Callable[[web.Application], None] | None = None,
    ) -> None:
        """Adds the cloud's two sites, `mango` and `mango-files`, to a sandbox, whether it runs or not.

        Args:
            extend: adds more routes to the REST site (the pages); by default the control API.
        """
        app = self.api_app()
        (extend or functools.partial(add_control_api, self))(app)
        self.files_url = sandbox.add_site("mango-files", self.files_app(), files_port)
        self.url = sandbox.add_site("mango", app, port)

        def read_addresses() -> None:
            self.url, self.files_url = sandbox.sites["mango"], sandbox.sites["mango-files"]

        if not self.url:
            sandbox.on_start.insert(0, read_addresses)

    def api_app(self) -> web.Application:
        """The REST host as an aiohttp app, without the pages and the control API."""
        app = web.Application(client_max_size=1 << 20)
        recordings.add_link_routes(self, app)
        rest.add_rest_api(self, HANDLERS, app)
        app.on_startup.append(self._on_startup)
        app.on_cleanup.append(self._on_cleanup)
        return app

    def files_app(self) -> web.Application:
        """The file host as an aiohttp app."""
        return recordings.make_files_app(self)

    def run_coroutine(self, work: Coroutine[Any, Any, _T], timeout: float = 60) -> _T:
        """Runs a coroutine in the cloud's loop from another thread and returns its result.

        Raises:
            RuntimeError: the cloud is not started.
        """
        if self.loop is None:
            work.close()
            raise RuntimeError("the cloud is not started")
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    async def _on_startup(self, _app: web.Application) -> None:
        self.loop = asyncio.get_running_loop()

    async def _on_cleanup(self, _app: web.Application) -> None:
        for board in self.boards.values():
            await board.close()

    def _shared_link(self, board: Board, recording_id: str) -> str:
        return recordings.file_link(self, board, recording_id, once=False)
