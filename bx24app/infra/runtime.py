"""What one process holds besides Flask: configuration, Redis, pooled HTTP sessions. Made in `create_app`, reached by `runtime()`."""

from __future__ import annotations

import threading
from typing import Any, cast

import redis
import requests
from flask import current_app

from bx24app.bitrix24.errors import PortalError
from bx24app.bitrix24.ssrf_guard import AddressPolicy, GuardedAdapter
from bx24app.config import Config
from bx24app.infra import redis_client
from bx24app.mango.transport import new_session


class _PinnedAdapter(GuardedAdapter):
    """Mango's files may redirect: here too a connection goes to the address that was checked, whatever the name says a moment later."""

    def send(self, *args: Any, **options: Any) -> requests.Response:
        try:
            return super().send(*args, **options)
        except PortalError as error:  # the wall's words, in the language of those who ask Mango
            raise requests.exceptions.InvalidURL(str(error)) from None


class Runtime:
    """Shared things of a process. Connections are opened at first use, so that a fork starts with none."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.cache: dict[str, Any] = {}
        """Per-process caches of the use cases, each under its own name."""
        self._lock = threading.Lock()
        self._redis: redis.Redis | None = None
        self._http: requests.Session | None = None

    @property
    def redis(self) -> redis.Redis:
        """The Redis or Valkey client: one pool a process, thread-safe."""
        with self._lock:
            if self._redis is None:
                if not self.config.redis_url:
                    raise RuntimeError(
                        "no Redis: set BX24APP_REDIS_URL, or start with `bx24app up`, which brings its own"
                    )
                patience = {"socket_timeout": 5, "socket_connect_timeout": 5, "health_check_interval": 30}
                self._redis = redis_client.connect(self.config.redis_url, self.config.ca_bundle, **patience)
            return self._redis

    @property
    def http_session(self) -> requests.Session:
        """One pooled session for Mango; cookies are never kept."""
        with self._lock:
            if self._http is None:
                session = new_session(64)
                wall = AddressPolicy(self.config.allow_loopback, self.config.private_portals)
                for scheme in ("https://", "http://"):
                    session.mount(scheme, _PinnedAdapter(wall, pool_connections=64, pool_maxsize=64))
                if self.config.ca_bundle is not None:
                    session.verify = str(self.config.ca_bundle)
                self._http = session
            return self._http


def runtime() -> Runtime:
    """The runtime of the current app."""
    return cast(Runtime, current_app.extensions["bx24app"])
