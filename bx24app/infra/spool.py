"""The spool: the folder in which a recording lies between its download from Mango and its attachment in the portal.

Row ids come again after a restore, so a name also holds a digest of what the recording is: a file can only be found
by the recording that it was written for, whatever database runs over this folder. `17-<digest>.mp3` is complete: its
bytes were on the disk before it got this name. `17-<digest>.<random>.part` is being downloaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bx24app.infra.runtime import runtime

SUFFIXES = (".mp3", ".part")
_PROOF_BYTES = 4096
"""A block, written to see whether the disk has space."""
_ROW_ID = re.compile(r"(\d{1,19})[-.]")


def folder() -> Path:
    """Where the files are, whether or not the folder exists."""
    return runtime().config.data_dir / "spool"


def path_of(row_id: int, *identity: str) -> Path:
    """The complete file of a recording, whether it exists or not.

    `identity` says in words that never change whose recording it is: member id, PBX, entry, Mango's recording id.
    """
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
    return folder() / f"{row_id}-{digest}.mp3"


def is_complete(file: Path) -> bool:
    """Is the file there with all its bytes? An empty one never is."""
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


@contextmanager
def write_complete(file: Path) -> Iterator[BinaryIO]:
    """A file to write into, which becomes `file` when the block ends and is removed when the block raises.

    The bytes and the name are on the disk when it returns: a power cut leaves the whole file or none.

    A full disk is noticed before the block, so nothing is fetched in vain.

    Raises:
        OSError: the folder cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A name of its own: of two workers that fetch the same recording neither writes into the other's file.
    descriptor, name = tempfile.mkstemp(".part", f"{file.stem}.", file.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.write(descriptor, bytes(_PROOF_BYTES))
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, file)
        _sync_folder(file.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def size_of(file: Path) -> int | None:
    """Bytes of a complete file; None: it is on another machine, or was attached and removed a moment ago."""
    try:
        return file.stat().st_size or None
    except FileNotFoundError:
        return None


def row_id_of(file: Path) -> int | None:
    """The row id in a file's name; None: no name of ours."""
    match = _ROW_ID.match(file.name)
    return int(match[1]) if match else None


def remove_files(row_ids: Iterable[int]) -> int:
    """Remove the files with these row ids, whatever else their names say. Returns how many ids had files."""
    wanted, removed = set(row_ids), set()
    for file in list_files() if wanted else ():
        row_id = row_id_of(file)
        if row_id in wanted:
            file.unlink(missing_ok=True)
            removed.add(row_id)
    return len(removed)


def list_files() -> list[Path]:
    """All files of recordings."""
    return [path for path in folder().iterdir() if path.suffix in SUFFIXES] if folder().is_dir() else []


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
