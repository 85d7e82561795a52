"""A long recording in Chromium's own player: it asks on piece by piece, and jumps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask, Response, request
from playwright.sync_api import Browser, Page
from werkzeug.serving import make_server

from bx24app.calls.recordings import download
from bx24app.calls.recordings.playback import PIECE_BYTES
from bx24app.models import Call, Recording, db, utcnow
from bx24app.sandbox.mango import mp3
from bx24app.web.base import session
from bx24app.web.base.session import Ticket
from tests.browser.conftest import browser
from tests.web.conftest import portal, site

__all__ = ["browser", "portal", "site"]

SECONDS = 1200
SIZE = mp3.size_of(SECONDS)


class Stream:
    """A part of the recording as Mango's store sends it."""

    content_type = "audio/mpeg"

    def __init__(self, byte_range: str | None) -> None:
        first, _, last = (byte_range or "bytes=0-").removeprefix("bytes=").partition("-")
        self.start = int(first) if first else SIZE - int(last)
        self.stop = min(SIZE, int(last) + 1) if first and last else SIZE
        self.status, self.size = 206, self.stop - self.start
        self.content_range = f"bytes {self.start}-{self.stop - 1}/{SIZE}"

    def iter_chunks(self, size: int, _: float) -> Iterator[bytes]:
        yield from mp3.stream_bytes(SIZE, start=self.start, stop=self.stop, chunk=size)


class Player:
    """The app on a port, and what its player asked for."""

    def __init__(self, site: Flask, portal: int, page: Page) -> None:
        self.pieces: list[tuple[int, str]] = []
        site.after_request(self._note)
        with site.app_context():
            names = {"portal_id": portal, "pbx_id": 1, "pbx_key": "moscow", "entry_id": "E"}
            call = Call(**names, state="finished", started_at=utcnow())
            db.session.add(call)
            db.session.flush()
            db.session.add(Recording(portal_id=portal, call_id=call.id, recording_id="r", part=1, state="attached"))
            db.session.commit()
            self.ticket = session.issue_ticket(Ticket(portal, 7, "recording", 1))
        self.page = page

    def _note(self, response: Response) -> Response:
        if request.endpoint == "downloads.stream_recording":
            self.pieces.append((response.status_code, response.headers.get("Content-Range", "")))
            assert (response.content_length or 0) <= PIECE_BYTES
        return response

    def run(self, script: str) -> Any:
        return self.page.evaluate(f"async () => {{ const audio = document.querySelector('audio'); {script} }}")


@pytest.fixture
def player(site: Flask, portal: int, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Player]:
    @contextmanager
    def open_stream(_: object, byte_range: str | None = None, play: bool = False) -> Iterator[Stream]:
        yield Stream(byte_range)

    monkeypatch.setattr(download, "open_stream", open_stream)
    page = browser.new_page()
    made = Player(site, portal, page)
    server = make_server("127.0.0.1", 0, site, threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    page.goto(f"http://127.0.0.1:{server.server_port}/")
    page.evaluate(
        """url => new Promise((resolve, reject) => {
            const audio = document.createElement("audio");
            audio.muted = true;
            audio.onloadedmetadata = resolve;
            audio.onerror = () => reject(new Error(audio.error.message));
            audio.src = url;
            document.body.append(audio);
        })""",
        f"/media/recording/1?ticket={made.ticket}",
    )
    yield made
    page.close()
    server.shutdown()
    server.server_close()


PAUSE = "await new Promise(resolve => setTimeout(resolve, 50));"
WAIT_FOR_SOUND = (
    f"const from = audio.currentTime; await audio.play(); while (audio.currentTime < from + 0.3) {{ {PAUSE} }}"
)


def test_the_player_asks_on_and_jumps(player: Player) -> None:
    assert player.run("return audio.duration") == pytest.approx(SECONDS, rel=0.02)
    player.run(WAIT_FOR_SOUND)
    # Sixteen times the speed soon passes the end of the first piece, 262 seconds.
    player.run("audio.playbackRate = 16; audio.currentTime = 230; await audio.play();")
    player.run(f"while (audio.currentTime < 300) {{ {PAUSE} }}")
    player.run("audio.playbackRate = 1; audio.currentTime = 1150;" + WAIT_FOR_SOUND)
    assert player.run("return audio.error") is None
    assert {status for status, _ in player.pieces} == {206}
    assert len(player.pieces) >= 3


def test_a_paused_player_holds_nothing_and_goes_on(player: Player) -> None:
    player.run(WAIT_FOR_SOUND + "audio.pause();")
    before = len(player.pieces)
    player.page.wait_for_timeout(500)
    assert len(player.pieces) <= before + 1
    player.run(WAIT_FOR_SOUND)
    assert player.run("return audio.error") is None
