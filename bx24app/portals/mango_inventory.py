"""The lines and employees that a PBX itself lists, asked at Mango and cached for ten minutes. The pages of a PBX ask
for them.

The list is cached in Redis as text, for all processes, and in the process as objects. No database transaction is open
while Mango is asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import redis

from bx24app.infra import gates, mango_clients
from bx24app.infra.encryption import is_undecryptable
from bx24app.infra.gate_kinds import PBX
from bx24app.infra.runtime import runtime
from bx24app.mango.api_types import MangoLine, MangoUser
from bx24app.mango.client import MangoClient
from bx24app.mango.codes import describe_code
from bx24app.mango.errors import MangoError
from bx24app.models import Pbx, db
from bx24app.portals import pbx_members

CACHE_SECONDS = 600
BUSY_CODE = 4290
"""Mango's code for too many requests; also the problem of a page for which there is no place to wait."""
CACHE_SIZE = 16
"""How many lists a process keeps as objects."""
T = TypeVar("T", MangoLine, MangoUser)


@dataclass(frozen=True, slots=True)
class MangoListing(Generic[T]):
    """`rows` as Mango lists them. `problem`: why there are none, in words. `has_keys` False: the PBX has no key, so
    Mango was not asked."""

    rows: tuple[T, ...] = ()
    problem: str = ""
    has_keys: bool = True


def load_lines(pbx: Pbx, lang: str, *, fresh: bool = False) -> MangoListing[MangoLine]:
    """The lines of the PBX. `fresh`: ask Mango even if the list is cached; `lang`: language of `problem`."""
    return _load_listing("lines", pbx, lang, fresh, lambda mango: mango.fetch_lines(), lambda row: MangoLine(**row))


def load_users(pbx: Pbx, lang: str, *, fresh: bool = False) -> MangoListing[MangoUser]:
    """The employees of the PBX who have an extension. Arguments as in `load_lines`."""

    def fetch_users(mango: MangoClient) -> list[MangoUser]:
        return [user for user in mango.fetch_users() if user.extension]

    return _load_listing("users", pbx, lang, fresh, fetch_users, _parse_user)


def cached_users(pbx: Pbx) -> MangoListing[MangoUser] | None:
    """The employees from the cache; None: Mango would have to be asked."""
    rows = _read_cache(f"mango:users:{pbx.id}", _parse_user)
    return MangoListing(rows) if rows is not None else None


def _parse_user(row: dict[str, Any]) -> MangoUser:
    return MangoUser(**row | {"numbers": tuple(row["numbers"])})


def _load_listing(
    kind: str, pbx: Pbx, lang: str, fresh: bool, fetch: Callable[[MangoClient], list[T]], parse: Callable[[Any], T]
) -> MangoListing[T]:
    if is_undecryptable(pbx.api_key) or is_undecryptable(pbx.api_salt) or not pbx.api_key or not pbx.api_salt:
        return MangoListing(has_keys=False)  # of keys that cannot be read the overview tells
    cache_key, client = f"mango:{kind}:{pbx.id}", mango_clients.build_client(pbx.api_key, pbx.api_salt)
    pbx_id, cached = pbx.id, None if fresh else _read_cache(cache_key, parse)
    if cached is not None:
        return MangoListing(cached)
    db.session.rollback()  # no transaction is held while Mango is asked
    try:
        with gates.pass_gate(PBX):
            rows = fetch(client)
    except gates.GateClosed:
        return MangoListing(problem=describe_code(BUSY_CODE, lang))
    except MangoError as error:
        return MangoListing(problem=error.describe(lang))
    _write_cache(cache_key, [asdict(row) for row in rows])
    pbx_members.store_members(pbx_id, "user", _list_ids(rows))
    return MangoListing(tuple(rows))


def _list_ids(rows: Sequence[MangoLine | MangoUser]) -> list[tuple[str | None, str | None]]:
    """(Mango's id, extension) of the employees among the rows."""
    return [(row.user_id, row.extension) for row in rows if isinstance(row, MangoUser)]


class _ListingCache(dict[str, tuple[bytes, tuple[Any, ...]]]):
    """Redis key of a listing -> its stored text and the rows read from it."""


def _read_cache(cache_key: str, parse: Callable[[Any], T]) -> tuple[T, ...] | None:
    """The cached rows. A text that has not changed since the last time is not parsed again, since it may list 10,000
    employees."""
    try:
        text = runtime().redis.get(cache_key)
    except redis.RedisError:
        return None
    if not isinstance(text, bytes):
        return None
    cache = runtime().get(_ListingCache)
    entry = cache.get(cache_key)
    if entry is None or entry[0] != text:
        while len(cache) >= CACHE_SIZE:
            cache.pop(next(iter(cache)), None)
        entry = cache[cache_key] = (text, tuple(parse(row) for row in json.loads(text)))
    return entry[1]


def _write_cache(cache_key: str, rows: list[dict[str, Any]]) -> None:
    try:
        runtime().redis.set(cache_key, json.dumps(rows), ex=CACHE_SECONDS)
    except redis.RedisError:
        return  # the next page asks Mango again
