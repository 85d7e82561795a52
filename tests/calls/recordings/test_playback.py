"""A player gets a recording in pieces, from stores that know ranges and from those that do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask

from bx24app.calls.recordings import download, playback
from bx24app.calls.recordings.download import RecordingSource
from bx24app.calls.recordings.playback import PIECE_BYTES, RangeNeeded, RecordingPiece
from bx24app.mango.errors import RequestRefused

SOURCE = RecordingSource("rec", None, "key", "salt")
FILE = bytes(number % 251 for number in range(2_500_000))


class Store:
    """Mango's store with one file. `wanted`: the ranges that it was asked for; `sent`: bytes that were read."""

    content_type = "audio/mpeg"

    def __init__(self, knows_ranges: bool) -> None:
        self.knows_ranges = knows_ranges
        self.wanted: list[str | None] = []
        self.sent = 0

    @contextmanager
    def open_stream(self, _: RecordingSource, byte_range: str | None = None, play: bool = False) -> Iterator[Store]:
        assert play
        self.wanted.append(byte_range)
        self.status, self.content_range, self.part = 200, None, FILE
        if self.knows_ranges and byte_range:
            first, _, last = byte_range.removeprefix("bytes=").partition("-")
            begin = int(first) if first else len(FILE) - int(last)
            self.part = FILE[begin : int(last) + 1] if first and last else FILE[begin:]
            self.status, end = 206, begin + len(self.part) - 1
            self.content_range = f"bytes {begin}-{end}/{len(FILE)}"  # type: ignore[assignment]
        self.size: int | None = len(self.part)
        yield self

    def iter_chunks(self, size: int, _: float) -> Iterator[bytes]:
        for begin in range(0, len(self.part), size):
            self.sent += len(self.part[begin : begin + size])
            yield self.part[begin : begin + size]


@pytest.fixture(params=[True, False], ids=["ranges", "no ranges"])
def store(request: pytest.FixtureRequest, app: Flask, monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store(request.param)
    monkeypatch.setattr(download, "open_stream", made.open_stream)
    return made


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ("bytes=0-", 0, PIECE_BYTES),
        ("bytes=0-1", 0, 2),
        ("bytes=1048576-", PIECE_BYTES, 2 * PIECE_BYTES),
        ("bytes=1000000-9999999", 1_000_000, 1_000_000 + PIECE_BYTES),
        ("bytes=2400000-", 2_400_000, 2_500_000),
        ("bytes=-1000", 2_499_000, 2_500_000),
        ("bytes=0-1,5-9", 0, PIECE_BYTES),
        ("lines=1-2", 0, PIECE_BYTES),
    ],
)
def test_a_piece_is_what_was_asked_for_and_at_most_a_megabyte(store: Store, asked: str, first: int, end: int) -> None:
    piece = playback.fetch_piece(SOURCE, asked)
    assert piece == RecordingPiece(FILE[first:end], "audio/mpeg", first, len(FILE))
    assert piece.content_range == f"bytes {first}-{end - 1}/2500000"
    if store.knows_ranges:
        assert store.sent <= PIECE_BYTES


def test_a_player_that_asks_on_gets_the_whole_file(store: Store) -> None:
    parts = bytearray()
    while len(parts) < len(FILE):
        parts += playback.fetch_piece(SOURCE, f"bytes={len(parts)}-").content
    assert parts == FILE
    assert len(store.wanted) == 3


def test_a_large_file_is_not_sent_to_whoever_asks_for_no_range(store: Store) -> None:
    with pytest.raises(RangeNeeded) as error:
        playback.fetch_piece(SOURCE, None)
    assert error.value.total == len(FILE)


def test_a_store_that_does_not_say_how_large_the_file_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def hide_size(*args: Any, **options: Any) -> Any:
        opened = Store.open_stream(store, *args, **options)

        @contextmanager
        def without_size() -> Iterator[Store]:
            with opened as stream:
                stream.size, stream.content_range = None, None
                yield stream

        return without_size()

    monkeypatch.setattr(download, "open_stream", hide_size)
    with pytest.raises(RequestRefused):
        playback.fetch_piece(SOURCE, "bytes=0-")


def test_a_range_behind_the_end(store: Store) -> None:
    if not store.knows_ranges:
        with pytest.raises(RequestRefused):
            playback.fetch_piece(SOURCE, "bytes=2500000-")
