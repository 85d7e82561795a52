"""A Redis client for the app's own keys: it puts the database's id into the name of every key of every command.

`Runtime.redis` is one. RQ has names of its own (`rq:…`), which this client leaves alone.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.client import Pipeline

from bx24app.infra.own_keys import KeyNames

FIRST_ARGUMENT = frozenset((
    "GET", "SET", "SETNX", "SETEX", "PSETEX", "GETSET", "GETDEL", "GETEX", "STRLEN", "APPEND", "INCR", "INCRBY",
    "INCRBYFLOAT", "DECR", "DECRBY", "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT", "TTL", "PTTL", "PERSIST",
    "TYPE", "HGET", "HSET", "HSETNX", "HMGET", "HGETALL", "HINCRBY", "HINCRBYFLOAT", "HDEL", "HLEN", "HEXISTS",
    "HKEYS", "HVALS", "HSCAN", "ZADD", "ZREM", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGE", "ZREMRANGEBYSCORE",
    "ZREMRANGEBYRANK", "ZSCORE", "ZCARD", "ZCOUNT", "ZRANK", "ZINCRBY", "ZPOPMIN", "BZPOPMIN", "SADD", "SREM",
    "SMEMBERS", "SCARD", "SISMEMBER", "SPOP", "LLEN", "LPUSH", "RPUSH", "LRANGE", "LPOP", "RPOP",
    "LTRIM", "LREM", "LINDEX",
))  # fmt: skip
ALL_ARGUMENTS = frozenset(("DEL", "UNLINK", "EXISTS", "MGET", "TOUCH", "WATCH"))
COUNTED = frozenset(("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"))
"""The second argument says how many keys follow."""
WITHOUT_KEYS = frozenset(
    ("PING", "TIME", "INFO", "DBSIZE", "KEYS", "SCAN", "FLUSHALL", "FLUSHDB", "SCRIPT LOAD", "SCRIPT EXISTS", "MULTI",
     "EXEC", "UNWATCH", "CLIENT ID", "CLIENT LIST", "CLIENT SETNAME", "CONFIG GET", "CONFIG SET", "SHUTDOWN")
)  # fmt: skip
QUEUE_PREFIX = "rq:"


def name_keys(names: KeyNames, command: tuple[Any, ...]) -> tuple[Any, ...]:
    """The command with the keys' full names.

    Raises:
        ValueError: nobody has said yet where this command has its keys.
        redis.ConnectionError: the database's id is not known.
    """
    verb = str(command[0]).upper()
    if verb in FIRST_ARGUMENT:
        first, last = 1, 2
    elif verb in ALL_ARGUMENTS:
        first, last = 1, len(command)
    elif verb in COUNTED:
        first, last = 3, 3 + int(command[2])
    elif verb in WITHOUT_KEYS:
        return command
    else:
        raise ValueError(f"say in infra.keyed_redis where {verb} has its keys")
    return (*command[:first], *(_full_name(names, key) for key in command[first:last]), *command[last:])


def _full_name(names: KeyNames, key: Any) -> str:
    text = key.decode() if isinstance(key, bytes) else str(key)
    return text if text.startswith(QUEUE_PREFIX) else names(text)


class KeyedRedis(redis.Redis):
    """Shares the connections of a plain client, which must live as long as this one."""

    def __init__(self, plain: redis.Redis, names: KeyNames) -> None:
        super().__init__(connection_pool=plain.connection_pool)
        self._plain, self.names = plain, names

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*name_keys(self.names, args), **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        pipeline = _KeyedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.names = self.names
        return pipeline


class _KeyedPipeline(Pipeline):
    names: KeyNames

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*name_keys(self.names, args), **options)  # type: ignore[no-untyped-call]
