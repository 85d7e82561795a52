"""Server-sent events that say nothing but "look again": pages then ask for what they show."""

from __future__ import annotations

import asyncio

from aiohttp import web

_QUIET = 0.08
"""Changes within so many seconds make one event."""
_BEAT = 15.0


class Live:
    """The open streams of one site."""

    def __init__(self) -> None:
        self._open: set[asyncio.Event] = set()
        self._closed = False

    def changed(self, *_what: object) -> None:
        """Something that a page might show has changed. Call it in the site's loop."""
        for news in self._open:
            news.set()

    async def close(self, _app: web.Application | None = None) -> None:
        """Ends all streams; an `on_shutdown` handler."""
        self._closed = True
        self.changed()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """A handler: an event at once, then one after every change."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        news = asyncio.Event()
        news.set()
        self._open.add(news)
        try:
            while not self._closed:
                await self._next(response, news)
        except ConnectionResetError:
            pass  # the page was closed: nobody is left to be told
        finally:
            self._open.discard(news)
        return response

    async def _next(self, response: web.StreamResponse, news: asyncio.Event) -> None:
        try:
            await asyncio.wait_for(news.wait(), _BEAT)
        except TimeoutError:
            await response.write(b": still here\n\n")
            return
        await asyncio.sleep(_QUIET)
        news.clear()
        await response.write(b"event: changed\ndata: {}\n\n")
