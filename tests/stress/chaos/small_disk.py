"""The disk of the database is full, with calls in flight.

PostgreSQL's tables are moved to a tablespace on a small tmpfs of its own (mount(2) needs root, but no loop device and
no full disk of the machine), and a file takes all that is left of it. The write-ahead log stays where it was, so the
server lives and answers `could not extend file` (SQLSTATE 53100) to whatever needs a new page.
"""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.stress.chaos.processes import ChaosStack
from tests.support.servers import POSTGRES_MISSING, _unprivileged

MEGABYTES = 192
FOLDER = Path(f"/tmp/chaos-small-disk-{os.getpid()}")
"""PostgreSQL's user must reach it, so not below a directory of ours."""
_WORDS = {"r": "TABLE", "i": "INDEX"}
_RELATIONS = (
    "SELECT relkind, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')"
)
_REFUSAL = "No space left on device"


def prepare(stack: ChaosStack) -> None:
    """Move the tables while nothing is in flight; back when the row has been judged."""
    if stack.postgres is None:
        raise RuntimeError(POSTGRES_MISSING)
    stack.cleanup.enter_context(_on_small_disk(stack))


def database_full(stack: ChaosStack, seconds: float) -> None:
    """Nothing can be added to a table until there is space again."""
    assert stack.postgres is not None
    before, filler = stack.postgres.log().count(_REFUSAL), FOLDER / "filler"
    _fill(filler)
    time.sleep(seconds)
    filler.unlink()
    if stack.postgres.log().count(_REFUSAL) == before:
        raise RuntimeError("no statement met the full disk: nothing was tried")
    if dead := [pid for pid in stack.parts if not stack.lives(pid)]:
        raise RuntimeError(f"processes ended while the disk was full: {dead}")


def _fill(path: Path) -> None:
    """Write until not even a page is left."""
    piece = 1 << 20
    with path.open("wb", buffering=0) as file:
        while piece >= 4096:
            try:
                file.write(bytes(piece))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                piece //= 2


@contextmanager
def _on_small_disk(stack: ChaosStack) -> Iterator[None]:
    """Tables and indexes are on a tmpfs during the block, and back where they were afterwards."""
    FOLDER.mkdir(mode=0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "chaos", str(FOLDER)], check=True)
    try:
        space, owner = FOLDER / "space", _unprivileged()
        space.mkdir(mode=0o700)
        if owner is not None:
            os.chown(space, owner.pw_uid, owner.pw_gid)
        url = stack.world.config.database_url.replace("postgresql+psycopg", "postgresql")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
            _move(connection, f"{_RELATIONS} AND reltablespace = 0", "small")
        yield
        with psycopg.connect(url, autocommit=True) as connection:
            _move(connection, f"{_RELATIONS} AND reltablespace <> 0", "pg_default")
            connection.execute("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "--lazy", str(FOLDER)], check=True)
        FOLDER.rmdir()


def _move(connection: psycopg.Connection, relations: str, target: str) -> None:
    """One by one, since the workers go on: locks on several at once could meet theirs in another order."""
    for kind, name in connection.execute(relations).fetchall():
        connection.execute(f'ALTER {_WORDS[kind]} "{name}" SET TABLESPACE {target}')
