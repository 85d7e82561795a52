"""The world of the demo with a small application in the frame, which sends messages in the forms of both JS libraries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.sync_api import Browser, Page, sync_playwright

from bx24app.sandbox import demo
from bx24app.sandbox.bitrix.state import Application, EventBinding, Placement
from bx24app.sandbox.mango import MangoCloud
from bx24app.sandbox.server import Sandbox
from scripts import needs
from tests.support.servers import CHROMIUM_MISSING

VENDOR = Path(__file__).resolve().parents[3] / "static" / "vendor" / "b24jssdk.min.js"
PAGE = """<!doctype html><meta charset="utf-8"><title>app</title><p id="where">{where}</p>
<script src="/sdk.js"></script><script src="/raw.js"></script>"""
# Messages by hand: `ask` in BX24's form (with empty parts), `askShort` in b24jssdk's (without them),
# `askObject` with a colon.
RAW = """
const [host, proto, sid] = window.name.split('|');
const origin = `${proto === '1' ? 'https' : 'http'}://${host}`;
const messages = [];
addEventListener('message', (event) => { if (event.origin === origin) messages.push(event.data); });
function answer(id, patience = 4000) {
  return new Promise((resolve) => {
    const end = Date.now() + patience;
    (function look() {
      const reply = messages.find((text) => typeof text === 'string' && text.startsWith(id + ':'));
      if (reply) resolve(reply.slice(id.length + 1));
      else if (Date.now() > end) resolve(null);
      else setTimeout(look, 15);
    })();
  });
}
const newId = () => Math.random().toString(36).slice(2);
window.ask = (command, params, patience) => {
  const id = newId();
  top.postMessage(`${command}:${params === undefined ? '' : JSON.stringify(params)}:${id}:${sid}`, origin);
  return answer(id, patience);
};
window.askShort = (command) => {
  const id = newId();
  parent.postMessage(`${command}:${id}:${sid}`, origin);
  return answer(id);
};
window.askObject = (method, params, patience) => {
  const id = newId();
  parent.postMessage({ method, params, callback: id, appSid: sid }, origin);
  return answer(id, patience);
};
window.askWrong = () => {
  const id = newId();
  parent.postMessage(`getInitData::${id}:${'0'.repeat(32)}`, origin);
  return answer(id, 700);
};
window.tell = (command, params) => parent.postMessage(`${command}:${JSON.stringify(params)}::${sid}`, origin);
"""


@dataclass
class World:
    """The sandbox, its application, and what was posted to the application."""

    sandbox: Sandbox
    cloud: MangoCloud
    app: Application
    posts: list[tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=list)
    events: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.sandbox.portal.url

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return self.sandbox.call(function, *args, **kwargs)

    def installed(self) -> None:
        """Installs the application without its page, subscribed to clicks, with three placements."""
        portal = self.sandbox.portal
        base = self.app.handler_url.rstrip("/")

        def work() -> None:
            made = portal.install(self.app, 1)
            portal.event_bindings[1] = EventBinding(1, made.id, "ONEXTERNALCALLSTART", f"{base}/event")
            for code, title in (
                ("CALL_CARD", "Mango"),
                ("CRM_CONTACT_DETAIL_TAB", "Calls of Mango"),
                ("TELEPHONY_ANALYTICS_MENU", "Mango statistics"),
            ):
                portal.placements.append(Placement(made.id, code, f"{base}/placed", title))
            portal.finish_install(self.app)

        self.call(work)


def _application(world: World) -> web.Application:
    async def page(request: web.Request) -> web.Response:
        fields = {name: str(value) for name, value in (await request.post()).items()}
        world.posts.append((request.path, dict(request.query), fields))
        text = PAGE.format(where=f"{request.path} {fields.get('PLACEMENT')}")
        return web.Response(text=text, content_type="text/html")

    async def event(request: web.Request) -> web.Response:
        world.events.append({name: str(value) for name, value in (await request.post()).items()})
        return web.Response(text="")

    def script(text: str) -> Any:
        async def serve(_request: web.Request) -> web.Response:
            return web.Response(text=text, content_type="text/javascript")

        return serve

    app = web.Application()
    for path in ("/", "/install", "/placed"):
        app.router.add_post(path, page)
    app.router.add_post("/event", event)
    app.router.add_get("/raw.js", script(RAW))
    app.router.add_get("/sdk.js", script(VENDOR.read_text(encoding="utf-8") if VENDOR.exists() else ""))
    return app


@pytest.fixture
def world() -> Iterator[World]:
    """A running world of its own for each test."""
    sandbox, cloud = demo.build_world()
    made = World(sandbox, cloud, sandbox.oauth.applications[demo.CLIENT_ID])
    sandbox.add_site("app", _application(made))

    def addresses() -> None:
        made.app.handler_url, made.app.install_url = f"{sandbox.sites['app']}/", f"{sandbox.sites['app']}/install"

    sandbox.on_start.append(addresses)
    with sandbox:
        yield made
        assert not sandbox.portal.violations


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium of the system."""
    program = needs.chromium()
    if program is None:
        pytest.skip(CHROMIUM_MISSING)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-background-networking", "--mute-audio"]
        )
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a context of its own. Console errors, warnings and failed requests fail the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    made = context.new_page()
    made.set_default_timeout(20_000)
    faults: list[str] = []
    made.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.on("response", lambda answer: faults.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
    yield made
    context.close()
    assert not faults, json.dumps(faults, indent=1)
