"""A piece of a recording for a player. A browser asks for the next piece by itself, so no thread waits for a listener,
and a paused player holds at most one piece.

`web.calls.downloads` asks for each piece while the player's request waits; Mango's store is asked for just those bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bx24app.calls.recordings import download
from bx24app.calls.recordings.download import RecordingSource
from bx24app.infra import gates
from bx24app.infra.gate_kinds import PAGE_SECONDS, PLAYER
from bx24app.mango.errors import RequestRefused
from bx24app.mango.recording import RecordingDownload

PIECE_BYTES: Final = 1024 * 1024
"""Bytes of a piece at most: two to four minutes of Mango's MP3."""
_CHUNK_BYTES: Final = 64 * 1024
_WANTED_RANGE: Final = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")
_LAST_BYTES: Final = re.compile(r"bytes=-(\d{1,15})")
_SENT_RANGE: Final = re.compile(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15})")


class RangeNeeded(Exception):
    """The recording is larger than a piece, and the client did not ask for a range."""

    def __init__(self, total: int) -> None:
        super().__init__(f"the recording has {total} bytes")
        self.total = total


@dataclass(frozen=True, slots=True)
class RecordingPiece:
    """`content` begins at the byte `first` of a file of `total` bytes."""

    content: bytes
    content_type: str
    first: int
    total: int

    @property
    def is_whole(self) -> bool:
        return len(self.content) == self.total

    @property
    def content_range(self) -> str:
        """The value of a Content-Range header."""
        return f"bytes {self.first}-{self.first + len(self.content) - 1}/{self.total}"


def fetch_piece(source: RecordingSource, byte_range: str | None) -> RecordingPiece:
    """The piece that a player asks for with its Range header; None: the client wants the whole file.

    Raises:
        RangeNeeded: the whole file is larger than a piece.
        bx24app.infra.gates.GateClosed: too many players ask at once.
        bx24app.mango.errors.MangoError
    """
    first, count, wanted = _piece_range(byte_range)
    with gates.pass_gate(PLAYER), download.open_stream(source, wanted, play=True) as stream:
        piece = _read_piece(stream, first, count)
    if byte_range is None and not piece.is_whole:
        raise RangeNeeded(piece.total)
    return piece


def _piece_range(byte_range: str | None) -> tuple[int, int, str]:
    """The first byte (negative: counted from the end), how many bytes at most, the range to ask of Mango. A range of
    no known form asks for the beginning.
    """
    text = (byte_range or "").strip()
    if last := _LAST_BYTES.fullmatch(text):
        count = max(1, min(int(last.group(1)), PIECE_BYTES))
        return -count, count, f"bytes=-{count}"
    match = _WANTED_RANGE.fullmatch(text)
    first = int(match.group(1)) if match else 0
    end = first + PIECE_BYTES - 1
    if match and match.group(2):
        end = max(first, min(end, int(match.group(2))))
    return first, end - first + 1, f"bytes={first}-{end}"


def _read_piece(stream: RecordingDownload, first: int, count: int) -> RecordingPiece:
    begins, total = _sent_range(stream)
    first = max(0, total + first) if first < 0 else max(first, begins)
    skipped, content = first - begins, bytearray()
    for chunk in _read_chunks(stream):
        content += chunk[skipped:] if skipped > 0 else chunk
        skipped = max(0, skipped - len(chunk))
        if len(content) >= count:
            break
    if not content:
        raise RequestRefused("The recording has no such range.", 416)
    return RecordingPiece(bytes(content[:count]), stream.content_type, first, total)


def _sent_range(stream: RecordingDownload) -> tuple[int, int]:
    """Where the stream begins, and the size of the file. A store that knows no ranges sends it from its beginning.
    """
    if stream.status != 206 and stream.size is not None:
        return 0, stream.size
    sent = _SENT_RANGE.fullmatch((stream.content_range or "").strip())
    if sent is None:
        raise RequestRefused("The store of recordings does not say how large the file is.")
    return int(sent.group(1)), int(sent.group(2))


def _read_chunks(stream: RecordingDownload) -> Iterator[bytes]:
    return stream.iter_chunks(_CHUNK_BYTES, PAGE_SECONDS)
