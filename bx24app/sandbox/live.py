"""Server-sent events that say nothing but "look again": pages then ask for what they show."""

from __future__ import annotations

import asyncio

from aiohttp import web

_QUIET_SECONDS = 0.08
"""Changes within so many seconds make one event."""
_HEARTBEAT_SECONDS = 15.0


class ChangeStream:
    """The open streams of one site."""

    def __init__(self) -> None:
        self._open_streams: set[asyncio.Event] = set()
        self._is_closed = False

    def notify_change(self, *_what: object) -> None:
        """Something that a page might show has changed. Call it in the site's loop."""
        for news in self._open_streams:
            news.set()

    async def close_streams(self, _app: web.Application | None = None) -> None:
        """Ends all streams; an `on_shutdown` handler."""
        self._is_closed = True
        self.notify_change()

    async def stream_changes(self, request: web.Request) -> web.StreamResponse:
        """A handler: an event at once, then one after every change."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        news = asyncio.Event()
        news.set()
        self._open_streams.add(news)
        try:
            while not self._is_closed:
                await self._send_next(response, news)
        except ConnectionResetError:
            pass  # the page was closed: nobody is left to be told
        finally:
            self._open_streams.discard(news)
        return response

    async def _send_next(self, response: web.StreamResponse, news: asyncio.Event) -> None:
        try:
            await asyncio.wait_for(news.wait(), _HEARTBEAT_SECONDS)
        except TimeoutError:
            await response.write(b": still here\n\n")
            return
        await asyncio.sleep(_QUIET_SECONDS)
        news.clear()
        await response.write(b"event: changed\ndata: {}\n\n")
