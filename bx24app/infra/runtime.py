"""What one application holds in a process besides Flask: configuration, Redis, pooled HTTP sessions, caches.

`create_app` makes it; use cases reach it by `runtime()`. Two applications in one process share nothing that is kept
here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

import redis
import requests
from cryptography.fernet import Fernet, MultiFernet
from flask import current_app

from bx24app.bitrix24.errors import PortalError
from bx24app.bitrix24.ssrf_guard import AddressPolicy, GuardedAdapter
from bx24app.config import Config
from bx24app.infra import page_threads, redis_client
from bx24app.infra.keyed_redis import KeyedRedis
from bx24app.infra.own_keys import DatabaseId, KeyNames
from bx24app.mango.transport import new_session

T = TypeVar("T")


class _PinnedAdapter(GuardedAdapter):
    """The SSRF guard for Mango: a connection goes to the address that was checked, redirects included."""

    def send(self, *args: Any, **options: Any) -> requests.Response:
        try:
            return super().send(*args, **options)
        except PortalError as error:  # the guard speaks Bitrix24's errors; Mango's client expects those of requests
            raise requests.exceptions.InvalidURL(str(error)) from None


class Runtime:
    """The shared objects of one application in one process. Connections are opened at first use, so a fork starts with
    none.
    """

    def __init__(self, config: Config, read_database_id: Callable[[], DatabaseId | None] = lambda: None) -> None:
        self.config = config
        self.key_names = KeyNames(read_database_id)
        """The names of our own keys in Redis, which hold the database's id."""
        self.cipher = MultiFernet([Fernet(key) for key in config.encryption_keys])
        """Encrypts secrets at rest with the first key, decrypts with any (`infra.encryption`)."""
        self.stop_event = threading.Event()
        """Set when the process ends: no new request leaves."""
        self._lock = threading.RLock()
        self._instances: dict[type[Any], Any] = {}
        self._redis: redis.Redis | None = None
        self._queue_redis: redis.Redis | None = None
        self._redis_options: dict[str, Any] = redis_client.PATIENT
        self._http: requests.Session | None = None

    def get(self, kind: type[T]) -> T:
        """The one instance of `kind` that this application keeps in this process, made without arguments at the first
        request.

        A module that keeps something between calls (a cache, a pool, a counter) declares a class for it and asks for it
        here.
        """
        try:
            return cast(T, self._instances[kind])
        except KeyError:
            with self._lock:
                if kind not in self._instances:
                    self._instances[kind] = kind()
                return cast(T, self._instances[kind])

    def wait_briefly(self) -> None:
        """This is the web process, in which somebody waits for every answer: Redis gets a second and no second try.

        Call it before the first connection is opened.
        """
        self._redis_options, self._redis = redis_client.impatient(), None

    @property
    def queue_redis(self) -> redis.Redis:
        """A client on the same connections for RQ, whose keys have names of their own."""
        with self._lock:
            pool = self.redis.connection_pool
            if self._queue_redis is None or self._queue_redis.connection_pool is not pool:
                self._queue_redis = redis.Redis(connection_pool=pool)
            return self._queue_redis

    @property
    def redis(self) -> redis.Redis:
        """The Redis or Valkey client for our own keys: one pool a process, thread-safe."""
        with self._lock:
            if self._redis is None:
                if not self.config.redis_url:
                    raise RuntimeError(
                        "no Redis: set BX24APP_REDIS_URL, or start with `bx24app up`, which brings its own"
                    )
                plain = redis_client.connect(self.config.redis_url, self.config.ca_bundle, **self._redis_options)
                self._redis = KeyedRedis(plain, self.key_names)
            return self._redis

    @property
    def http_session(self) -> requests.Session:
        """One pooled session for Mango; cookies are never kept."""
        with self._lock:
            if self._http is None:
                session = new_session(64)
                policy = AddressPolicy(self.config.allow_loopback, self.config.private_portals)
                for scheme in ("https://", "http://"):
                    adapter = _PinnedAdapter(policy, page_threads.require_gate, pool_connections=64, pool_maxsize=64)
                    session.mount(scheme, adapter)
                if self.config.ca_bundle is not None:
                    session.verify = str(self.config.ca_bundle)
                self._http = session
            return self._http


def runtime() -> Runtime:
    """The runtime of the current application; needs an application context."""
    return cast(Runtime, current_app.extensions["bx24app"])
