"""A file of the spool belongs to one recording, is whole or not there, and is read by nobody else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from flask import Flask

from bx24app.calls.recordings import download
from bx24app.infra import spool
from tests.security.test_recordings import Download

ALICE = ("a" * 32, "moscow", "entry", "recording")
SOURCE = download.RecordingSource("r", None, "key", "salt")


@pytest.mark.parametrize("place", range(len(ALICE)))
def test_a_name_is_bound_to_portal_pbx_entry_and_recording(app: Flask, place: int) -> None:
    other = [*ALICE]
    other[place] = "another"
    assert spool.path_of(1, *ALICE) == spool.path_of(1, *ALICE)
    assert spool.path_of(1, *ALICE) != spool.path_of(1, *other)


def test_no_two_identities_share_a_name(app: Flask) -> None:
    assert spool.path_of(1, "a", "bc") != spool.path_of(1, "ab", "c")


def test_an_empty_file_is_never_complete(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut could leave behind a rename, in versions before."""
    file = spool.path_of(1, *ALICE)
    file.parent.mkdir(parents=True)
    file.touch()
    assert (spool.is_complete(file), spool.size_of(file)) == (False, None)
    monkeypatch.setattr(download, "open_stream", lambda *_: Download(b"ID3", b"sound"))
    assert download.fetch_to_spool(SOURCE, file) is None
    assert file.read_bytes() == b"ID3sound"


def test_bytes_and_name_are_on_the_disk(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        steps.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "bytes")
        real_sync(descriptor)

    def rename(source: str, target: Path) -> None:
        steps.append(f"rename of {os.path.getsize(source)}")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    with spool.write_complete(spool.path_of(1, *ALICE)) as stream:
        stream.write(b"ID3")
    assert steps == ["bytes", "rename of 3", "folder"]


def test_a_cut_download_leaves_nothing(app: Flask) -> None:
    file = spool.path_of(1, *ALICE)

    def cut() -> None:
        with spool.write_complete(file) as stream:
            stream.write(b"ID3 half of it")
            raise ConnectionError("cut")

    with pytest.raises(ConnectionError):
        cut()
    assert list(file.parent.iterdir()) == []


def test_two_workers_do_not_write_into_one_file(app: Flask) -> None:
    file = spool.path_of(1, *ALICE)
    with spool.write_complete(file) as first, spool.write_complete(file) as second:
        first.write(b"ID3 first")
        second.write(b"ID3 second")
    assert file.read_bytes() == b"ID3 first"
    assert list(file.parent.iterdir()) == [file]


def test_nobody_else_reads_it(app: Flask) -> None:
    before = os.umask(0o022)
    try:
        with spool.write_complete(spool.path_of(1, *ALICE)) as stream:
            stream.write(b"ID3")
    finally:
        os.umask(before)
    assert (spool.folder().stat().st_mode & 0o777, spool.path_of(1, *ALICE).stat().st_mode & 0o777) == (0o700, 0o600)


def test_files_go_with_their_row_whatever_else_they_are_named(app: Flask) -> None:
    spool.folder().mkdir(parents=True)
    for name in ("1.mp3", "1-a.mp3", "1-a.random.part", "11-a.mp3", "21.mp3", "note.mp3"):
        (spool.folder() / name).write_bytes(b"ID3")
    assert spool.remove_files([1, 2]) == 1
    assert {path.name for path in spool.list_files()} == {"11-a.mp3", "21.mp3", "note.mp3"}
