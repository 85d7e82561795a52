"""The sandbox's Mango, served over real HTTP for one test: REST and files on ports of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from bx24app.sandbox.mango import MangoCloud


@contextmanager
def served() -> Iterator[MangoCloud]:
    """A cloud that answers; `cloud.run` is the door to its loop."""
    cloud = MangoCloud()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def within(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    runners = [within(_up(app)) for app in (cloud.api_app(), cloud.files_app())]
    cloud.url, cloud.files_url = (f"http://127.0.0.1:{runner.addresses[0][1]}" for runner in runners)
    try:
        yield cloud
    finally:
        for runner in runners:
            within(runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _up(app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner
