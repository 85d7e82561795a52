"""Server-sent events that only say "something changed". The pages of the sandbox then reload what they show."""

from __future__ import annotations

import asyncio

from aiohttp import web

_QUIET_SECONDS = 0.08
"""Changes within this time make one event."""
_HEARTBEAT_SECONDS = 15.0


class ChangeStream:
    """The open streams of one site."""

    def __init__(self) -> None:
        self._open_streams: set[asyncio.Event] = set()
        self._is_closed = False

    def notify_change(self, *_what: object) -> None:
        """Announces a change. Must be called in the site's loop."""
        for change in self._open_streams:
            change.set()

    async def close_streams(self, _app: web.Application | None = None) -> None:
        """Ends all streams; an `on_shutdown` handler."""
        self._is_closed = True
        self.notify_change()

    async def stream_changes(self, request: web.Request) -> web.StreamResponse:
        """The request handler: sends an event at once, then one after every change."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        change = asyncio.Event()
        change.set()
        self._open_streams.add(change)
        try:
            while not self._is_closed:
                await self._send_next(response, change)
        except ConnectionResetError:
            pass  # the page was closed
        finally:
            self._open_streams.discard(change)
        return response

    async def _send_next(self, response: web.StreamResponse, change: asyncio.Event) -> None:
        try:
            await asyncio.wait_for(change.wait(), _HEARTBEAT_SECONDS)
        except TimeoutError:
            await response.write(b": still here\n\n")
            return
        await asyncio.sleep(_QUIET_SECONDS)
        change.clear()
        await response.write(b"event: changed\ndata: {}\n\n")
