"""Which file of the spool belongs to which recording: the one whose name says the same portal, PBX, entry and recording
as the tables."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sqlalchemy import select

from bx24app.infra import spool
from bx24app.models import Call, Portal, Recording, db


def files_of(recording_ids: Collection[int], *, waiting_only: bool = False) -> dict[int, Path]:
    """The files of these recordings (row ids), whether they exist or not. A recording that does not exist is left out.

    `waiting_only`: only of recordings that still wait to be attached. The caller ends the transaction.
    """
    query = (
        select(Recording.id, Portal.member_id, Call.pbx_key, Call.entry_id, Recording.recording_id)
        .join(Call, Call.id == Recording.call_id)
        .join(Portal, Portal.id == Recording.portal_id)
        .where(Recording.id.in_(recording_ids))
    )
    if waiting_only:
        query = query.where(Recording.state == "waiting")
    return {row_id: spool.path_of(row_id, *identity) for row_id, *identity in db.session.execute(query)}


def stems_of(files: Collection[Path], *, waiting_only: bool = False) -> set[str]:
    """Names up to the first dot of those files that belong to recordings in the tables; arguments as of `files_of`."""
    row_ids = {row_id for file in files if (row_id := spool.row_id_of(file)) is not None and row_id < 2**63}
    return {file.stem for file in files_of(row_ids, waiting_only=waiting_only).values()}
