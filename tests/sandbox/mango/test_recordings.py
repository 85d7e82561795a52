"""Recordings can be fetched once they are stored, by a link that works once."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest
import requests

from bx24app.sandbox.mango import mp3
from bx24app.sandbox.mango.signing import sign_link

from .conftest import KEY, SALT, Mango


@pytest.fixture
def recorded(mango: Mango) -> str:
    """The id of a stored recording of 84 s."""
    mango.run(mango.cloud.play_sequence("S1", "Moscow"))
    return str(mango.bodies[-1][1]["recording_id"])


def ask(mango: Mango, recording: str) -> requests.Response:
    return mango.post("queries/recording/post", {"recording_id": recording, "action": "download"})


def test_one_shot(mango: Mango, recorded: str) -> None:
    link = ask(mango, recorded).headers["Location"]
    assert link.startswith(mango.cloud.files_url)
    answer = requests.get(link, timeout=20)
    assert answer.headers["Content-Type"] == "audio/mpeg"
    assert answer.content[:2] == b"\xff\xfb"
    assert len(answer.content) == mp3.size_of(84)
    assert requests.get(link, timeout=20).status_code == 404
    again = ask(mango, recorded).headers["Location"]
    assert again != link
    requests.head(again, timeout=20)  # HEAD uses the link up too
    assert requests.get(again, timeout=20).status_code == 404


def test_not_there(mango: Mango, recorded: str) -> None:
    assert ask(mango, "unknown").json()["result"] == 3320
    mango.cloud.missing_recording_status = 404
    assert ask(mango, "unknown").status_code == 404
    recording = mango.board.call_log.recordings[recorded]
    recording.is_stored = False
    assert ask(mango, recorded).status_code == 404
    recording.is_stored = True
    link = ask(mango, recorded).headers["Location"]
    recording.is_deleted = True
    assert requests.get(link, timeout=20).status_code == 404
    assert mango.post("queries/recording/post", {"recording_id": recorded, "action": "x"}).json()["result"] == 3104


def test_a_stored_file_is_not_found_at_once(mango: Mango, recorded: str) -> None:
    """D26, 3.1.8 and 3.5: sometimes for about a minute."""
    mango.cloud.recording_delay = 60
    assert ask(mango, recorded).json()["result"] == 3320
    mango.board.call_log.recordings[recorded].stored_at -= 61
    assert ask(mango, recorded).status_code == 302


def test_links_expire(mango: Mango, recorded: str) -> None:
    mango.cloud.link_seconds = -1
    assert requests.get(ask(mango, recorded).headers["Location"], timeout=20).status_code == 404


def test_ranges(mango: Mango, recorded: str) -> None:
    whole = requests.get(ask(mango, recorded).headers["Location"], timeout=20).content
    for wanted, start, stop in (
        ("bytes=100-199", 100, 200),
        ("bytes=1000-", 1000, len(whole)),
        ("bytes=-50", len(whole) - 50, len(whole)),
    ):
        answer = requests.get(ask(mango, recorded).headers["Location"], headers={"Range": wanted}, timeout=20)
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(whole)}"
        assert answer.content == whole[start:stop]
    beyond = requests.get(ask(mango, recorded).headers["Location"], headers={"Range": "bytes=9999999-"}, timeout=20)
    assert beyond.status_code == 416


def test_size_can_be_chosen(mango: Mango, recorded: str) -> None:
    mango.board.call_log.recordings[recorded].size = 5_000_001
    with requests.get(ask(mango, recorded).headers["Location"], stream=True, timeout=20) as answer:
        assert answer.headers["Content-Length"] == "5000001"
        assert sum(len(piece) for piece in answer.iter_content(65536)) == 5_000_001


def test_cut_connection(mango: Mango, recorded: str) -> None:
    mango.board.call_log.recordings[recorded].size = 3_000_000
    mango.cloud.cut_files_after = 1000
    with pytest.raises(requests.exceptions.RequestException):
        requests.get(ask(mango, recorded).headers["Location"], timeout=20)


def test_signed_links(mango: Mango, recorded: str) -> None:
    def get(stamp: int, salt: str = SALT) -> requests.Response:
        sign = sign_link(KEY, str(stamp), recorded, salt)
        path = f"queries/recording/link/{quote(recorded, safe='')}/play/{KEY}/{stamp}/{sign}"
        return requests.get(mango.cloud.api_url + path, allow_redirects=False, timeout=20)

    soon = int(time.time()) + 300
    assert get(soon).status_code == 403  # direct links are off by default
    mango.board.pbx.links_allowed = True
    answer = get(soon)
    assert answer.status_code == 302
    assert requests.get(answer.headers["Location"], timeout=20).status_code == 200
    assert get(soon, "wrong").status_code == 403
    assert get(soon - 400).status_code == 403
    assert get(soon * 1000).status_code == 302


def test_tapes_are_whole_frames() -> None:
    data = b"".join(mp3.stream_bytes(mp3.size_of(3), chunk=1000))
    assert len(data) == 84 * mp3.FRAME_BYTES
    assert all(data[at : at + 2] == b"\xff\xfb" for at in range(0, len(data), mp3.FRAME_BYTES))
    assert b"".join(mp3.stream_bytes(len(data), start=500, stop=700)) == data[500:700]
