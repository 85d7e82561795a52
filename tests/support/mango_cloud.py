"""The sandbox's Mango over real HTTP for one test: REST, files and a receiver of notifications, each on its own port.

A test calls `served()`, plays calls in `cloud`, and reads the received notifications from `posts`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from bx24app.sandbox.mango import MangoCloud


@dataclass(frozen=True)
class Post:
    """One received notification. `path`: the part of the address after the hook address."""

    path: str
    content_type: str
    body: bytes


@dataclass
class Served:
    """A running cloud. `posts`: the notifications received so far."""

    cloud: MangoCloud
    hook_url: str
    posts: list[Post]


@contextmanager
def served() -> Iterator[Served]:
    """A cloud that answers requests, and a receiver of its PBXs' notifications."""
    cloud, posts = MangoCloud(), []
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def within(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    runners = [within(_up(app)) for app in (cloud.api_app(), cloud.files_app(), _receiver(posts))]
    cloud.url, cloud.files_url, hook = (f"http://127.0.0.1:{runner.addresses[0][1]}" for runner in runners)
    try:
        yield Served(cloud, f"{hook}/mango/key", posts)
    finally:
        for runner in runners:
            within(runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _receiver(posts: list[Post]) -> web.Application:
    async def take(request: web.Request) -> web.Response:
        path = request.path.removeprefix("/mango/key").strip("/")
        posts.append(Post(path, request.content_type, await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/{path:.*}", take)
    return app


async def _up(app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner
