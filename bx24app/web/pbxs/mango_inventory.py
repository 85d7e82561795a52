"""What a PBX itself says of its lines and employees: asked at Mango, kept ten minutes, since a page is opened more often than they change."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import redis
from flask import g
from sqlalchemy import select

from bx24app.infra import mango_clients
from bx24app.infra.runtime import runtime
from bx24app.mango.api_types import MangoLine, MangoUser
from bx24app.mango.client import MangoClient
from bx24app.mango.errors import MangoError
from bx24app.models import Pbx, db

CACHE_SECONDS = 600
CACHE_SIZE = 16
"""Lists that a process keeps as objects."""
T = TypeVar("T", MangoLine, MangoUser)


@dataclass(frozen=True, slots=True)
class MangoListing(Generic[T]):
    """`rows` as Mango gave them; `trouble`: why there are none, in words; `asked` False: this PBX has no key to ask with."""

    rows: tuple[T, ...] = ()
    problem: str = ""
    has_keys: bool = True


def load_lines(pbx: Pbx, lang: str, *, fresh: bool = False) -> MangoListing[MangoLine]:
    """The lines of the PBX."""
    return _load_listing("lines", pbx, lang, fresh, lambda mango: mango.fetch_lines(), lambda row: MangoLine(**row))


def load_users(pbx: Pbx, lang: str, *, fresh: bool = False) -> MangoListing[MangoUser]:
    """The employees of the PBX who have an extension."""

    def fetch_users(mango: MangoClient) -> list[MangoUser]:
        return [user for user in mango.fetch_users() if user.extension]

    return _load_listing("users", pbx, lang, fresh, fetch_users, _parse_user)


def cached_users(pbx: Pbx) -> MangoListing[MangoUser] | None:
    """The employees as they were told within the last minutes; None: they would have to be asked for."""
    held = _read_cache(f"mango:users:{pbx.id}", _parse_user)
    return MangoListing(held) if held is not None else None


def _parse_user(row: dict[str, Any]) -> MangoUser:
    return MangoUser(**row | {"numbers": tuple(row["numbers"])})


def find_pbx(key: str) -> Pbx | None:
    """The PBX of the viewer's portal with this key."""
    query = select(Pbx).where(Pbx.portal_id == g.portal.id, Pbx.key == key, Pbx.removed_at.is_(None))
    return db.session.scalars(query).first()


def _load_listing(
    what: str, pbx: Pbx, lang: str, fresh: bool, ask: Callable[[MangoClient], list[T]], made: Callable[[Any], T]
) -> MangoListing[T]:
    if not pbx.api_key or not pbx.api_salt:
        return MangoListing(has_keys=False)
    name, api_key, api_salt = f"mango:{what}:{pbx.id}", pbx.api_key, pbx.api_salt
    held = None if fresh else _read_cache(name, made)
    if held is not None:
        return MangoListing(held)
    db.session.rollback()  # no transaction is held while Mango is asked
    try:
        found = ask(mango_clients.build_client(api_key, api_salt))
    except MangoError as error:
        return MangoListing(problem=error.describe(lang))
    _write_cache(name, [asdict(one) for one in found])
    return MangoListing(tuple(found))


class _ListingCache(dict[str, tuple[bytes, tuple[Any, ...]]]):
    """Redis key of a listing -> its stored text and the rows read from it."""


def _read_cache(name: str, made: Callable[[Any], T]) -> tuple[T, ...] | None:
    """What was told within the last minutes. Text that has not changed since the last time is not read again: it may name 10,000 people."""
    try:
        text = runtime().redis.get(name)
    except redis.RedisError:
        return None
    if not isinstance(text, bytes):
        return None
    cache = runtime().get(_ListingCache)
    known = cache.get(name)
    if known is None or known[0] != text:
        while len(cache) >= CACHE_SIZE:
            cache.pop(next(iter(cache)), None)
        known = cache[name] = (text, tuple(made(one) for one in json.loads(text)))
    return known[1]


def _write_cache(name: str, rows: list[dict[str, Any]]) -> None:
    try:
        runtime().redis.set(name, json.dumps(rows), ex=CACHE_SECONDS)
    except redis.RedisError:
        return  # asked again next time
