"""A full disk of our own: refused by the kernel itself, and no try of the plan is spent."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask

from bx24app import spool
from tests.security.test_recordings import Download


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow: write(2) fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_spends_no_try(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, file = spool.Source("r", None, "key", "salt"), tmp_path / "1.mp3"
    monkeypatch.setattr(spool, "open_stream", lambda *_: Download(b"ID3", b"sound"))
    with full_disk(), pytest.raises(spool.NotNow, match="spool cannot be written") as refused:
        spool.fetch(source, file)
    assert (refused.value.counts, refused.value.after) == (False, spool.UNWRITTEN_SECONDS)
    assert list(tmp_path.glob("1.*")) == []
    spool.fetch(source, file)
    assert file.read_bytes() == b"ID3sound"
