"""Events to applications: form-encoded POSTs with PHP bracket keys.

A portal sends an event once, after the request that caused it, and never retries. Tests can make events get lost or
arrive without tokens.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import aiohttp

from bx24app.sandbox.bitrix import php
from bx24app.sandbox.bitrix.oauth import ACCESS_SECONDS, Token
from bx24app.sandbox.bitrix.state import EventBinding, EventPost, InstalledApp

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal

EVENTS = (
    "ONAPPINSTALL", "ONAPPUNINSTALL", "ONAPPUPDATE", "ONAPPPAYMENT", "ONAPPMETHODCONFIRM", "ONEXTERNALCALLSTART",
    "ONEXTERNALCALLBACKSTART", "ONVOXIMPLANTCALLINIT", "ONVOXIMPLANTCALLSTART", "ONVOXIMPLANTCALLEND", "ONCRMLEADADD",
    "ONCRMLEADUPDATE", "ONCRMDEALADD", "ONCRMDEALUPDATE", "ONCRMCONTACTADD", "ONCRMCONTACTUPDATE", "ONCRMCOMPANYADD",
    "ONCRMACTIVITYADD", "ONCRMACTIVITYUPDATE", "ONUSERADD", "ONOFFLINEEVENT",
)  # fmt: skip
EVENTS_WITH_REFRESH = frozenset({"ONAPPINSTALL", "ONAPPUPDATE"})
"""Events that carry a refresh token (S: the portal strips it from all others)."""
_TIMEOUT = aiohttp.ClientTimeout(total=15)


class EventSender:
    """Sends the events of one portal and records each of them, with its outcome, in `posts`."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.posts: deque[EventPost] = deque(maxlen=5000)
        self.events_to_lose = 0
        """The number of next events that get lost on their way."""
        self.without_tokens = False
        """Whether events carry no tokens, like the events of a portal's background jobs."""
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def find_bindings(self, event: str, app: InstalledApp | None = None) -> list[EventBinding]:
        """The bindings to an event: those of one application, or of all INSTALLED applications."""
        ready = {installation.id for installation in self.portal.apps.values() if installation.installed}
        return [
            binding
            for binding in self.portal.event_bindings.values()
            if binding.event == event and (binding.app_id == app.id if app else binding.app_id in ready)
        ]

    def send_event(self, event: str, data: dict[str, Any], user_id: int | None, app: InstalledApp | None = None) -> int:
        """Sends an event to every bound handler. Returns the number of handlers.

        Args:
            user_id: the user whose tokens the event carries, unless the binding has an auth_type. None: no tokens.
            app: send only to this application, whether INSTALLED or not.
        """
        bindings = self.find_bindings(event, app)
        for binding in bindings:
            owner = next(candidate for candidate in self.portal.apps.values() if candidate.id == binding.app_id)
            user = binding.auth_type or user_id if user_id is not None and not self.without_tokens else None
            self.post_event(event, binding.handler, data, self.auth_block(owner, event, user), binding.id)
        return len(bindings)

    def auth_block(self, app: InstalledApp, event: str, user_id: int | None) -> dict[str, Any]:
        """The `auth` block of an event. Without a user it has no tokens."""
        portal = self.portal
        token: Token | None = None
        if user_id is not None:
            token = portal.oauth.issue_token(portal, app.app.client_id, user_id, refresh=event in EVENTS_WITH_REFRESH)
        block: dict[str, Any] = {}
        if token:
            block = {"access_token": token.access, "expires": int(token.expires), "expires_in": ACCESS_SECONDS}
            block["scope"] = ",".join(app.scopes)
        block |= {
            "domain": portal.domain,
            "server_endpoint": f"{portal.oauth.base_url(portal.secure)}/rest/",
            "status": app.status,
            "client_endpoint": portal.client_endpoint,
            "member_id": portal.member_id,
        }
        if token:
            block["user_id"] = token.user_id
            if token.refresh:
                block["refresh_token"] = token.refresh
        block["application_token"] = app.application_token
        return block

    def post_event(
        self, event: str, url: str, data: dict[str, Any], auth: dict[str, Any], binding: int | None = None
    ) -> EventPost:
        """Sends one event to one address. There is no retry: an event that is answered with an error is lost."""
        post = EventPost(self.portal.now(), event, url, data)
        self.posts.append(post)
        if self.events_to_lose:
            self.events_to_lose -= 1
            post.error = "lost"
            return post
        fields: dict[str, Any] = {"event": event}
        if binding is not None:
            fields["event_handler_id"] = binding
        fields |= {"data": data, "ts": int(self.portal.now()), "auth": auth}
        task = asyncio.get_running_loop().create_task(self._deliver_post(post, php.encode_form(fields)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return post

    async def _deliver_post(self, post: EventPost, body: str) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Bitrix24 Webhook Engine"}
        try:
            async with self._session.post(post.url, data=body, headers=headers, ssl=False) as answer:
                await answer.read()
                post.status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            post.error = str(error) or type(error).__name__
        self.portal.notify_watchers("event", event=post.event, status=post.status, error=post.error)

    async def wait_until_idle(self) -> None:
        """Waits until no event is on its way."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None
