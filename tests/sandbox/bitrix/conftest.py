"""Raw HTTP to a sandbox portal: an installed application, its token, and a handler that collects its events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
from aiohttp import web

from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.state import Application, Statistic
from bx24app.sandbox.server import Sandbox

PHONE = "+79061234567"
LINE = "74950000001"


@dataclass
class Raw:
    """A portal as an application sees it, over HTTP, with the sandbox beside it to act on the portal from inside."""

    sandbox: Sandbox
    app: Application
    token: str
    handler: str
    session: requests.Session = field(default_factory=requests.Session)
    events: list[dict[str, str]] = field(default_factory=list)

    @property
    def portal(self) -> Portal:
        return self.sandbox.portal

    def post(self, method: str, /, token: str | None = None, **params: Any) -> requests.Response:
        """Sends a request with a JSON body."""
        body = {**params, "auth": self.token if token is None else token}
        url = f"{self.portal.url}/rest/{method}"
        return self.session.post(url, json=body, timeout=20, allow_redirects=False)

    def form(self, method: str, pairs: list[tuple[str, str]], token: str | None = None) -> requests.Response:
        """Sends a request as a form with bracket keys."""
        data = [*pairs, ("auth", self.token if token is None else token)]
        return self.session.post(f"{self.portal.url}/rest/{method}", data=data, timeout=20, allow_redirects=False)

    def ok(self, method: str, /, token: str | None = None, **params: Any) -> Any:
        """The `result` of a request that must succeed."""
        answer = self.post(method, token, **params)
        assert answer.status_code == 200, answer.text
        assert "error" not in answer.json(), answer.text
        return answer.json()["result"]

    def fails(self, method: str, /, token: str | None = None, **params: Any) -> tuple[int, str, str]:
        """HTTP status, error code and description of a request that must fail."""
        answer = self.post(method, token, **params)
        body = answer.json()
        assert "error" in body, body
        return answer.status_code, body["error"], body["error_description"]

    def batch(self, halt: int = 0, **cmd: str) -> dict[str, Any]:
        """The `result` of a batch."""
        return self.ok("batch", cmd=cmd, halt=halt)

    def register(self, **params: Any) -> dict[str, Any]:
        """Registers an incoming call from an unknown number for user 12. Returns `result`."""
        base = {"USER_ID": 12, "PHONE_NUMBER": PHONE, "TYPE": 2, "LINE_NUMBER": LINE}
        return self.ok("telephony.externalCall.register", **{**base, **params})

    def finish(self, call_id: str, **params: Any) -> dict[str, Any]:
        base = {"CALL_ID": call_id, "USER_ID": 12, "DURATION": 60, "STATUS_CODE": "200", "ADD_TO_CHAT": 1}
        return self.ok("telephony.externalCall.finish", **{**base, **params})

    def finished(self, **params: Any) -> str:
        """Registers and finishes a call. Returns its CALL_ID."""
        call_id = self.register(EXTERNAL_CALL_ID="finished", **params)["CALL_ID"]
        self.finish(call_id)
        return str(call_id)

    def row(self, call_id: str) -> Statistic:
        return self.portal.by_call[call_id]

    def open(self, user_id: int = 1, **how: Any) -> Any:
        return self.sandbox.call(self.portal.open_form, user_id, self.app, **how)

    def hand(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a method of the portal in the event loop of the sandbox and waits until its events have arrived."""
        result = self.sandbox.call(getattr(self.portal, name), *args, **kwargs)
        self.settled()
        return result

    def settled(self) -> list[dict[str, str]]:
        self.sandbox.call(self.portal.wait_until_idle)
        return self.events

    def bind(self, *events: str) -> None:
        for event in events:
            self.ok("event.bind", EVENT=event, HANDLER=self.handler)


@pytest.fixture
def raw(sandbox: Sandbox) -> Iterator[Raw]:
    """An INSTALLED application in the portal, with the token of an administrator."""
    events: list[dict[str, str]] = []

    async def take(request: web.Request) -> web.Response:
        events.append(dict(parse_qsl(await request.text(), keep_blank_values=True)))
        return web.Response(text="ok")

    site = web.Application()
    site.router.add_post("/{path:.*}", take)
    url = sandbox.add_site("application", site)
    app = sandbox.register_application("app.5f0c.1234", "secret-of-the-application", f"{url}/", f"{url}/install")
    form = sandbox.call(sandbox.portal.open_form, 1, app)
    sandbox.call(sandbox.portal.finish_install, app)
    made = Raw(sandbox, app, form.fields["AUTH_ID"], f"{url}/bitrix24/events", events=events)
    with made.session:
        yield made
