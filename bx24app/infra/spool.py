"""The spool: the folder in which a recording lies between its download from Mango and its attachment in the portal.

A file has the row id of its recording as name: `17.mp3` is complete, `17.part` is being downloaded.
"""

from __future__ import annotations

from pathlib import Path

from bx24app.infra.runtime import runtime

SUFFIXES = (".mp3", ".part")


def _folder() -> Path:
    return runtime().config.data_dir / "spool"


def path_of(recording_id: int) -> Path:
    """The complete file of this recording, whether it exists or not."""
    return _folder() / f"{recording_id}.mp3"


def partial_path(complete: Path) -> Path:
    """Where a file is written before it gets the name of a complete one."""
    return complete.with_suffix(".part")


def size_of(recording_id: int) -> int | None:
    """Bytes of the complete file; None: it is on another machine, or was attached and removed a moment ago."""
    try:
        return path_of(recording_id).stat().st_size
    except FileNotFoundError:
        return None


def remove(recording_id: int) -> bool:
    """Remove the files of this recording; False if there are none."""
    files = [path_of(recording_id).with_suffix(suffix) for suffix in SUFFIXES]
    existing = [file for file in files if file.exists()]
    for file in existing:
        file.unlink(missing_ok=True)
    return bool(existing)


def list_files() -> list[Path]:
    """All files of recordings."""
    return [path for path in _folder().iterdir() if path.suffix in SUFFIXES] if _folder().is_dir() else []
