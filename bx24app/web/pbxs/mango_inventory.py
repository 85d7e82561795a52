"""What a PBX itself says of its lines and employees: asked at Mango, kept ten minutes, since a page is opened more often than they change."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import redis
from flask import g
from sqlalchemy import select

from bx24app.infra.runtime import runtime
from bx24app.mango.api_types import MangoLine, MangoUser
from bx24app.mango.client import Mango
from bx24app.mango.errors import MangoError
from bx24app.models import Pbx, db

KEEP_SECONDS = 600
REMEMBERED = 16
"""Lists that a process keeps as objects."""
T = TypeVar("T", MangoLine, MangoUser)


@dataclass(frozen=True, slots=True)
class Heard(Generic[T]):
    """`rows` as Mango gave them; `trouble`: why there are none, in words; `asked` False: this PBX has no key to ask with."""

    rows: tuple[T, ...] = ()
    trouble: str = ""
    asked: bool = True


def client(api_key: str, api_salt: str) -> Mango:
    """A client of one PBX on the process's pooled connections."""
    config = runtime().config
    bundle = str(config.ca_bundle) if config.ca_bundle else None
    return Mango(config.mango_api_url, api_key, api_salt, session=runtime().http, ca_bundle=bundle)


def lines(pbx: Pbx, lang: str, *, fresh: bool = False) -> Heard[MangoLine]:
    """The lines of the PBX."""
    return _heard("lines", pbx, lang, fresh, lambda mango: mango.lines(), lambda row: MangoLine(**row))


def users(pbx: Pbx, lang: str, *, fresh: bool = False) -> Heard[MangoUser]:
    """The employees of the PBX who have an extension."""

    def ask(mango: Mango) -> list[MangoUser]:
        return [user for user in mango.users() if user.extension]

    return _heard("users", pbx, lang, fresh, ask, _user)


def users_held(pbx: Pbx) -> Heard[MangoUser] | None:
    """The employees as they were told within the last minutes; None: they would have to be asked for."""
    held = _held(f"mango:users:{pbx.id}", _user)
    return Heard(held) if held is not None else None


def _user(row: dict[str, Any]) -> MangoUser:
    return MangoUser(**row | {"numbers": tuple(row["numbers"])})


def row(key: str) -> Pbx | None:
    """The PBX of the viewer's portal with this key."""
    query = select(Pbx).where(Pbx.portal_id == g.portal.id, Pbx.key == key, Pbx.removed_at.is_(None))
    return db.session.scalars(query).first()


def _heard(
    what: str, pbx: Pbx, lang: str, fresh: bool, ask: Callable[[Mango], list[T]], made: Callable[[Any], T]
) -> Heard[T]:
    if not pbx.api_key or not pbx.api_salt:
        return Heard(asked=False)
    name, api_key, api_salt = f"mango:{what}:{pbx.id}", pbx.api_key, pbx.api_salt
    held = None if fresh else _held(name, made)
    if held is not None:
        return Heard(held)
    db.session.rollback()  # no transaction is held while Mango is asked
    try:
        found = ask(client(api_key, api_salt))
    except MangoError as error:
        return Heard(trouble=error.words(lang))
    _keep(name, [asdict(one) for one in found])
    return Heard(tuple(found))


def _held(name: str, made: Callable[[Any], T]) -> tuple[T, ...] | None:
    """What was told within the last minutes. Text that has not changed since the last time is not read again: it may name 10,000 people."""
    try:
        text = runtime().redis.get(name)
    except redis.RedisError:
        return None
    if not isinstance(text, bytes):
        return None
    cache: dict[str, tuple[bytes, tuple[T, ...]]] = runtime().cache.setdefault("mango_side", {})
    known = cache.get(name)
    if known is None or known[0] != text:
        while len(cache) >= REMEMBERED:
            cache.pop(next(iter(cache)), None)
        known = cache[name] = (text, tuple(made(one) for one in json.loads(text)))
    return known[1]


def _keep(name: str, rows: list[dict[str, Any]]) -> None:
    try:
        runtime().redis.set(name, json.dumps(rows), ex=KEEP_SECONDS)
    except redis.RedisError:
        return  # asked again next time
