"""Small recordings leave inside a request, together where they wait for the portal's budget; what was refused or lost
goes as an upload.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from bx24app.bitrix24 import batch_encoding
from bx24app.bitrix24.budget import BUDGET_USED_UP
from bx24app.bitrix24.client import RestResult
from bx24app.bitrix24.errors import AnswerLost, NeedsAdmin, NotSent, PortalError, Refused
from bx24app.calls.recordings import attachment, spool_files, transfer
from bx24app.calls.recordings.attempts import BATCH_BYTES, BATCH_FILES, SMALL_BYTES
from bx24app.infra import queue
from bx24app.models import Call, Portal, Recording, db, utcnow
from bx24app.portals import clients

Make = Callable[..., int]


class Client:
    """Answers with a file's id, or with what it is told to; `seen`: what every recording was on disk when a request
    left.
    """

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.uploads = 0
        self.short = 0.0
        self.met: PortalError | None = None
        self.each: dict[str, PortalError] = {}
        self.seen: list[set[bool]] = []

    @property
    def budget(self) -> Client:
        return self

    def seconds_until_free(self, _: object) -> float:
        return self.short

    def _leaves(self, files: list[str]) -> None:
        with db.session.no_autoflush:
            self.seen.append(
                {row.attempted for row in db.session.query(Recording).filter(Recording.file_name.in_(files))}
            )
        self.asked.append(files)
        if self.met is not None:
            raise self.met

    def call(self, method: str, params: dict[str, Any], *_: object) -> RestResult:
        if method == attachment.ATTACH_METHOD and "FILE_CONTENT" not in params:
            return RestResult({"uploadUrl": "https://portal.example/upload"})
        if method != attachment.ATTACH_METHOD:
            return RestResult([])
        self._leaves([params["FILENAME"]])
        return RestResult({"FILE_ID": 7})

    def batch(
        self, commands: list[tuple[str, str, dict[str, Any]]], **_: object
    ) -> dict[str, RestResult | PortalError]:
        self._leaves([params["FILENAME"] for _, _, params in commands])
        return {key: self.each.get(params["CALL_ID"], RestResult({"FILE_ID": 7})) for key, _, params in commands}

    def upload_file(self, *_: object, **__: object) -> dict[str, int]:
        self.uploads += 1
        return {"FILE_ID": 8}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    monkeypatch.setattr(clients, "client_by_id", lambda _: made)
    return made


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    numbers: list[int] = []
    monkeypatch.setattr(queue, "wake_recordings", lambda number, when=None: numbers.append(number))
    return numbers


@pytest.fixture
def make(portal: Portal) -> Make:
    """A recording whose file is here; `waits`: for the portal's budget."""
    portal.state = "active"
    call = Call(portal_id=portal.id, pbx_id=1, pbx_key="moscow", entry_id="e", started_at=utcnow())
    db.session.add(call)
    db.session.commit()
    portal_id, call_id = portal.id, call.id

    def recording(name: str, size: int = 1000, waits: bool = True, **more: Any) -> int:
        row = Recording(
            portal_id=portal_id, call_id=call_id, recording_id=name, bitrix_call_id=name, due_at=utcnow(), **more
        )
        row.problem = BUDGET_USED_UP if waits else None
        db.session.add(row)
        db.session.commit()
        file = spool_files.files_of([row.id])[row.id]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"ID3" + bytes(size - 3))
        return row.id

    return recording


def states(*numbers: int) -> list[tuple[str, bool, int]]:
    rows = [db.session.get_one(Recording, number) for number in numbers]
    return [(row.state, row.attempted, row.tries) for row in rows]


def test_those_that_wait_leave_with_the_one_that_has_its_turn(make: Make, client: Client) -> None:
    waiting, elsewhere, first = make("a"), make("b", claimed_at=utcnow()), make("c", waits=False)
    transfer.transfer_recording(first)
    assert len(client.asked) == 1
    assert len(client.asked[0]) == 2
    assert client.seen == [{True}], "the intent is on disk before the request leaves"
    assert states(waiting, first, elsewhere) == [("attached", False, 0), ("attached", False, 0), ("waiting", False, 0)]
    assert not spool_files.files_of([waiting])[waiting].exists()


def test_a_request_takes_so_many_and_so_much(make: Make, client: Client, rung: list[int]) -> None:
    numbers = [make(str(index)) for index in range(BATCH_FILES + 1)]
    transfer.transfer_recording(numbers[0])
    assert [len(files) for files in client.asked] == [BATCH_FILES]
    assert len(rung) == 1, "whoever found no room comes next"
    large = [make(f"large{index}", SMALL_BYTES) for index in range(BATCH_BYTES // SMALL_BYTES + 1)]
    transfer.transfer_recording(large[0])
    assert len(client.asked[-1]) <= BATCH_BYTES // SMALL_BYTES + 1


def test_a_short_budget_is_waited_for_without_a_try(make: Make, client: Client, rung: list[int]) -> None:
    number = make("a", waits=False)
    client.short = 2.0
    transfer.transfer_recording(number)
    assert (client.asked, len(rung)) == ([], 1)
    assert states(number) == [("waiting", False, 0)]
    assert db.session.get_one(Recording, number).problem == BUDGET_USED_UP


@pytest.mark.parametrize(
    ("met", "attempted", "tries"),
    [
        (AnswerLost("timed out"), True, 1),
        (NotSent("no connection"), False, 1),
        (NotSent(BUDGET_USED_UP, 1.0, is_rate_limited=True), False, 0),
        (Refused("413", "too large"), True, 1),
        (NeedsAdmin("disk", "no space"), True, 0),
    ],
)
def test_what_a_whole_request_met(
    make: Make, client: Client, rung: list[int], met: PortalError, attempted: bool, tries: int
) -> None:
    one, other = make("a"), make("b")
    client.met = met
    transfer.transfer_recording(one)
    assert states(one, other) == [("waiting", attempted, tries)] * 2


def test_what_one_of_them_met_is_its_own(make: Make, client: Client, rung: list[int]) -> None:
    one, other = make("a"), make("b")
    client.each = {"b": Refused("", "only audio files are accepted")}
    transfer.transfer_recording(one)
    assert states(one, other) == [("attached", False, 0), ("waiting", True, 1)]


@pytest.mark.parametrize("why", ["large", "tried", "lost"])
def test_an_upload(make: Make, client: Client, why: str) -> None:
    more: dict[str, Any] = {"tried": {"tries": 1}, "lost": {"attempted": True, "file_name": "a.mp3"}}.get(why, {})
    number, small = make("a", SMALL_BYTES + 1 if why == "large" else 1000, **more), make("b")
    transfer.transfer_recording(number)
    assert (client.uploads, client.asked) == (1, [])
    assert states(number, small) == [("attached", False, more.get("tries", 0)), ("waiting", False, 0)]


def test_a_file_in_a_query_is_the_same_file() -> None:
    content = bytes(range(256)) * 3
    text = batch_encoding.encode_command(
        "k", "m", {"FILENAME": "a+b", "FILE_CONTENT": batch_encoding.quote_base64(content)}
    )
    found = parse_qs(text.partition("?")[2])
    assert base64.b64decode(found["FILE_CONTENT"][0]) == content
    assert found["FILENAME"] == ["a+b"]
