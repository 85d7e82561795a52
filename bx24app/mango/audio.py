"""What a recording's file is, by its first bytes: they decide, not the label that a store gives it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HEAD_BYTES: Final = 16
"""Bytes that `detect_format` needs."""
_NOT_AUDIO_PREFIXES: Final = (
    b"<", b"{", b"[", b"%PDF", b"PK\x03\x04", b"\x7fELF", b"MZ", b"#!", b"\x89PNG", b"GIF8", b"\x1f\x8b",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """The ending of a file's name, and its type for a browser."""

    ending: str
    content_type: str


MP3, WAV, OGG = AudioFormat("mp3", "audio/mpeg"), AudioFormat("wav", "audio/wav"), AudioFormat("ogg", "audio/ogg")
_OTHERS: Final = ((b"fLaC", AudioFormat("flac", "audio/flac")), (b"#!AMR", AudioFormat("amr", "audio/amr")))


def detect_format(first: bytes) -> AudioFormat | None:
    """The format of a file that begins like this; None: it is none that we know.

    >>> detect_format(b"ID3" + bytes(13)).ending
    'mp3'
    """
    if first.startswith(b"ID3") or (len(first) > 1 and first[0] == 0xFF and first[1] & 0xE6 == 0xE2):
        return MP3  # a tag, or the sync word of a frame of layer III
    if first[:4] == b"RIFF" and first[8:12] == b"WAVE":
        return WAV
    if first.startswith(b"OggS"):
        return OGG
    return next((audio for prefix, audio in _OTHERS if first.startswith(prefix)), None)


def is_audio(first: bytes) -> bool:
    """Whether a file that begins like this may be sound. False for pages, documents, archives, pictures and programs,
    whatever its type.

    >>> is_audio(b"ID3..."), is_audio(b" <!doctype html>")
    (True, False)
    """
    plain = first.lstrip(b"\xef\xbb\xbf \t\r\n")
    return detect_format(first) is not None or not plain.startswith(_NOT_AUDIO_PREFIXES)
