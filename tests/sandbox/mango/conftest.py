"""A simulated cloud on a loop in its own thread, and a receiver that stores what the cloud sends."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from aiohttp import web

from bx24app.sandbox.mango import Board, MangoCloud, Pbx
from bx24app.sandbox.mango.control import add_control_api
from bx24app.sandbox.mango.signing import build_form

KEY, SALT = "0123456789abcdefghijklmnopqrstuv", "vutsrqponmlkjihgfedcba9876543210"


@dataclass
class Got:
    """One POST that the receiver got."""

    path: str
    fields: dict[str, str]
    raw: str

    @property
    def body(self) -> Any:
        return json.loads(self.fields["json"])


@dataclass
class Mango:
    """The cloud, its first PBX, and what the receiver got."""

    cloud: MangoCloud
    board: Board
    hook: str
    got: list[Got] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.cloud.run_coroutine(work)

    def post(
        self, path: str, body: Any, *, key: str = KEY, salt: str = SALT, text: str | None = None
    ) -> requests.Response:
        fields = build_form(key, salt, json.dumps(body) if text is None else text)
        return requests.post(self.cloud.api_url + path, data=fields, allow_redirects=False, timeout=20)

    @property
    def bodies(self) -> list[tuple[str, Any]]:
        return [(one.path, one.body) for one in self.got]


def _receiver(mango: Mango) -> web.Application:
    async def take(request: web.Request) -> web.Response:
        raw = await request.text()
        fields = dict(await request.post()) if request.content_type.startswith("application/x-www") else {}
        path = request.raw_path.split("/mango", 1)[1].lstrip("/")
        mango.got.append(Got(path, {str(name): str(value) for name, value in fields.items()}, raw))
        return web.Response(status=mango.statuses.pop(0) if mango.statuses else 200, text="ok")

    app = web.Application()
    app.router.add_route("*", "/mango{rest:.*}", take)
    return app


async def _serve(app: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def _live(mango: Mango, ready: Future[None], over: asyncio.Event) -> None:
    cloud = mango.cloud
    runners = []
    files, cloud.files_url = await _serve(cloud.files_app())
    app = cloud.api_app()
    add_control_api(cloud, app)
    api, cloud.url = await _serve(app)
    receiver, url = await _serve(_receiver(mango))
    runners += [files, api, receiver]
    mango.board.pbx.hook_url = mango.hook = f"{url}/mango/hook"
    ready.set_result(None)
    await over.wait()
    for runner in (api, receiver, files):
        await runner.cleanup()


@pytest.fixture
def mango() -> Iterator[Mango]:
    cloud = MangoCloud()
    board = cloud.add_pbx(Pbx(name="Moscow", api_key=KEY, api_salt=SALT))
    board.pbx.add_line("74950000001", "Москва", leads_to="300")
    for extension, name in (("101", "Анна Орлова"), ("102", "Борис Котов"), ("103", "Вера Линь")):
        board.pbx.add_employee(extension, name, email=f"{extension}@example.ru", mobile=f"79160000{extension}")
    board.pbx.add_group("300", "Продажи", ["101", "102", "103"])
    made = Mango(cloud, board, "")
    ready: Future[None] = Future()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(_live(made, ready, over),))
    thread.start()
    ready.result(20)
    yield made
    loop.call_soon_threadsafe(over.set)
    thread.join(20)
    loop.close()
