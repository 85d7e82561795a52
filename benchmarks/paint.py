"""First paint of whole pages in headless Chromium, by its Performance API. Nothing is cached: each page is the first of
its browser.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

from flask import Flask, g, render_template
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from bx24app.models import Portal, db
from bx24app.web.base import session
from bx24app.web.base.session import FrameSession
from scripts import needs

TIMES = 5
PAGES = {
    "overview": "/frame",
    "journal": "/frame/calls",
    "statistics": "/frame/statistics",
    "employees": "/frame/pbxs/moscow/employees",
    "lines": "/frame/pbxs/moscow/lines",
    "rules": "/frame/rules",
}
_FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--no-first-run",
]
_PAINTED = """async () => {
  for (;;) {
    const entry = performance.getEntriesByName('first-contentful-paint')[0];
    if (entry) return entry.startTime;
    await new Promise(done => setTimeout(done, 20));
  }
}"""


def measure(app: Flask, portal_id: int) -> tuple[dict[str, str], dict[str, float]]:
    """(whole pages by name, milliseconds from the request to the first paint by name). Without Chromium the second is
    empty.
    """
    shells = {name: _shell(app, portal_id, address) for name, address in PAGES.items()}
    return shells, _painted(app, portal_id) if needs.chromium() else {}


def _shell(app: Flask, portal_id: int, address: str) -> str:
    """A page as the portal's frame loads it, which is what the opening request returns once it has verified the portal.
    """
    with app.app_context():
        portal = db.session.get_one(Portal, portal_id)
        frame = FrameSession(portal_id, portal.member_id, 1, True, "en")
        claim = session.issue(frame)
        db.session.remove()
    content = app.test_client().get(address, headers={session.HEADER: claim}).text
    with app.app_context(), app.test_request_context():
        g.frame, g.lang = frame, "en"
        from markupsafe import Markup

        whole = {"claim": claim, "seconds": session.SESSION_SECONDS, "lang": "en"}
        return render_template("shell.html", content=Markup(content), **whole)  # noqa: S704 - the app's own page


def _painted(app: Flask, portal_id: int) -> dict[str, float]:
    from playwright.sync_api import sync_playwright

    server = make_server("127.0.0.1", 0, _outside(app, portal_id), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    paints: dict[str, float] = {}
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=needs.chromium(), args=_FLAGS)
            for name in PAGES:
                taken = []
                for _ in range(TIMES):
                    context = browser.new_context(viewport={"width": 1280, "height": 800})
                    page = context.new_page()
                    page.goto(f"http://127.0.0.1:{server.port}/paint/{name}")
                    taken.append(float(page.evaluate(_PAINTED)))
                    context.close()
                paints[name] = median(taken)
            browser.close()
    finally:
        server.shutdown()
        thread.join()
    return paints


def _outside(app: Flask, portal_id: int) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """The app, with its whole pages at addresses of their own."""

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        place, _, name = Request(environ).path.strip("/").partition("/")
        if place == "paint" and name in PAGES:
            return Response(_shell(app, portal_id, PAGES[name]), mimetype="text/html")(environ, start)
        return app(environ, start)

    return answer
