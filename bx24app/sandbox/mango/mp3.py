"""Makes small valid MP3 files without an encoder: MPEG-1 layer III, mono, 32 kHz, 32 kbit/s, 4000 bytes a second.

They stand for the recordings on Mango's file host. A frame of this kind has 144 bytes for 36 ms, so it needs no
padding. Its two granules are either empty (silence) or have one spectral line of value one (a beep). Beeps of changing
pitch with pauses sound enough like speech to hear that the right file plays.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

FRAME_BYTES = 144
FRAME_SECONDS = 0.036
BYTES_PER_SECOND = 4000
CONTENT_TYPE = "audio/mpeg"
_HEADER = bytes([0xFF, 0xFB, 0x18, 0xC0])  # MPEG-1 layer III without CRC; 32 kbit/s, 32 kHz; mono
_GAIN = 204  # 210 is full scale for a quantised value of one; every 4 less is half as loud


class _BitWriter:
    def __init__(self) -> None:
        self.digits = ""

    def write_bits(self, value: int, width: int) -> None:
        self.digits += format(value, f"0{width}b")

    def to_bytes(self, length: int) -> bytes:
        return int(self.digits.ljust(length * 8, "0"), 2).to_bytes(length, "big")


def _huffman_line(line: int) -> str:
    """Huffman table 1 for pairs of lines, with a single one at `line`. `1` = (0,0), `01s` = (1,0), `001s` = (0,1)."""
    return "1" * (line // 2) + ("010" if line % 2 == 0 else "0010")


@functools.lru_cache(maxsize=64)
def make_frame(line: int | None) -> bytes:
    """One frame of 36 ms: a beep of `line` times 27.8 Hz, or silence."""
    main = "" if line is None else _huffman_line(line)
    pairs = 0 if line is None else line // 2 + 1
    side = _BitWriter()
    side.write_bits(0, 9 + 5 + 4)  # main data begins here; private bits; no shared scale factors
    for _ in range(2):
        side.write_bits(len(main), 12)
        side.write_bits(pairs, 9)
        side.write_bits(_GAIN if main else 0, 8)
        side.write_bits(0, 4 + 1)  # no scale factors; a long block
        for _ in range(3):
            side.write_bits(1 if main else 0, 5)  # Huffman table of each region
        side.write_bits(15, 4)
        side.write_bits(7, 3)
        side.write_bits(0, 3)
    body = _BitWriter()
    body.digits = main * 2
    return _HEADER + side.to_bytes(17) + body.to_bytes(FRAME_BYTES - len(_HEADER) - 17)


@functools.lru_cache(maxsize=8)
def make_block(voice: int = 0) -> bytes:
    """About ten seconds of "speech", to be repeated. `voice` changes its pitch."""
    frames = []
    for number in range(278):
        syllable, place = divmod(number, 6)
        speaks = place < 4 and (syllable * 7 + voice) % 5 != 0
        frames.append(make_frame(8 + (syllable * 5 + voice * 3) % 14 if speaks else None))
    return b"".join(frames)


def size_of(seconds: float) -> int:
    """Size in bytes of a file of this length, at least one frame."""
    return max(1, math.ceil(seconds / FRAME_SECONDS)) * FRAME_BYTES


def read_piece(start: int, length: int, voice: int = 0) -> bytes:
    """`length` bytes of an endless file, from `start` on."""
    material = make_block(voice)
    offset = start % len(material)
    repeated = material * ((offset + length) // len(material) + 1)
    return repeated[offset : offset + length]


def stream_bytes(
    size: int, *, start: int = 0, stop: int | None = None, voice: int = 0, chunk: int = 262_144
) -> Iterator[bytes]:
    """The bytes `start` (inclusive) to `stop` (exclusive) of a file of `size` bytes, in pieces of at most `chunk`
    bytes.
    """
    end = size if stop is None else min(stop, size)
    while start < end:
        length = min(chunk, end - start)
        yield read_piece(start, length, voice)
        start += length
