"""Entries of `stats/calls` whose people are named by Mango's ids alone get the extensions that the mapping knows.

The ids are stored with the mapping (`portals.pbx_members`). Mango is asked only for ids that are not stored, at most
once in ten minutes by each process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bx24app import settings
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.mango import errors, statistics_users
from bx24app.mango.client import MangoClient
from bx24app.models import Pbx, Portal, db
from bx24app.portals import pbx_members
from bx24app.portals.pbx_members import Listed, MemberKind

_log = get_logger(__name__)

ASK_SECONDS = 600
"""How long Mango is not asked again for ids that it did not list."""


class _ListingTimes(dict[tuple[int, str], float]):
    """(PBX id, kind) -> when this process asked Mango last."""


def name_people(mango: MangoClient, pbx_id: int, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries with the extensions of those whom they name by id. An unknown id changes nothing. Of a PBX that does
    not list its people, calls are restored without.

    Raises:
        bx24app.mango.errors.KeyPaused: an id is unknown, and the key must not be used for questions now.
    """
    users, groups = statistics_users.list_user_ids(entries), statistics_users.list_group_ids(entries)
    if not users and not groups:
        return entries
    mapped = _mapped_extensions(pbx_id)
    user_extensions = pbx_members.load_extensions(pbx_id, "user", mapped) if users else {}
    if users - user_extensions.keys() and _may_ask(pbx_id, "user"):
        _read_members(pbx_id, "user", lambda: [(user.user_id, user.extension) for user in mango.fetch_users()])
        user_extensions = pbx_members.load_extensions(pbx_id, "user", mapped)
    group_extensions = pbx_members.load_extensions(pbx_id, "group") if groups else {}
    if groups - group_extensions.keys() and _may_ask(pbx_id, "group"):
        _read_members(pbx_id, "group", lambda: [(group.group_id, group.extension) for group in mango.fetch_groups()])
        group_extensions = pbx_members.load_extensions(pbx_id, "group")
    return [statistics_users.add_extensions(entry, user_extensions, group_extensions) for entry in entries]


def _mapped_extensions(pbx_id: int) -> frozenset[str]:
    try:
        pbx = db.session.get(Pbx, pbx_id)
        portal = db.session.get(Portal, pbx.portal_id) if pbx is not None else None
        if pbx is None or portal is None:
            return frozenset()
        own = settings.current(portal).by_key.get(pbx.key)
        return frozenset(own.by_extension) if own is not None else frozenset()
    finally:
        db.session.rollback()


def _may_ask(pbx_id: int, kind: str) -> bool:
    times, now = runtime().get(_ListingTimes), time.monotonic()
    return now - times.get((pbx_id, kind), float("-inf")) > ASK_SECONDS


def _read_members(pbx_id: int, kind: MemberKind, fetch: Callable[[], Listed]) -> None:
    """Store the ids that Mango lists, and note that it was asked, also if it does not list them."""
    try:
        listed = fetch()
    except errors.KeyPaused:
        raise
    except errors.MangoError as error:
        _log.warning("people of the PBX not listed", pbx=pbx_id, kind=kind, error=str(error))
    else:
        pbx_members.store_members(pbx_id, kind, listed)
    runtime().get(_ListingTimes)[pbx_id, kind] = time.monotonic()
