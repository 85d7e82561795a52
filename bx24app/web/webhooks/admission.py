"""Decides about a request from its head (`bx24app.infra.http_front.admission`): group, bounds, and for `/mango` whether
the sender may send a body at all.

The same decisions are made by the views, for servers that know nothing of this (`app.py`).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.http import parse_list_header

from bx24app.calls.inbox import receiver
from bx24app.infra import rate_limit
from bx24app.infra.encryption import UndecryptableSecret
from bx24app.infra.http_front.admission import HEALTH, HOOKS, PAGES, RequestHead, Terms
from bx24app.infra.runtime import Runtime
from bx24app.models import hash_hook_key
from bx24app.web.base.request import byte_limit, is_plain_encoding
from bx24app.web.webhooks import hook_addresses

KNOWN_SECONDS = 60.0
"""How long a hook key that was found counts as known. It only says that a body may be read: `receiver` looks again."""
_MAX_KNOWN = 10_000
_HEALTH_PATHS = ("/healthz", "/readyz", "/metrics")


class KnownHooks:
    """Digests of hook keys that were found in the last minute, of one application in one process."""

    def __init__(self) -> None:
        self._lock, self._until = Lock(), OrderedDict[str, float]()

    def has(self, hook_key: str) -> bool:
        return self._until.get(hash_hook_key(hook_key), 0.0) > time.monotonic()

    def remember(self, hook_key: str) -> None:
        digest = hash_hook_key(hook_key)
        with self._lock:
            self._until[digest] = time.monotonic() + KNOWN_SECONDS
            self._until.move_to_end(digest)
            while len(self._until) > _MAX_KNOWN:
                self._until.popitem(last=False)


def is_known_hook(runtime: Runtime, hook_key: str) -> bool:
    """Does a PBX have this hook key? True also if the database does not answer: then the view decides. Needs an
    application context.
    """
    if not hook_key:
        return False
    known = runtime.get(KnownHooks)
    if known.has(hook_key):
        return True
    try:
        if receiver.find_hook(hook_key) is None:
            return False
    except (SQLAlchemyError, UndecryptableSecret):
        return True
    known.remember(hook_key)
    return True


class WebAdmission:
    """The admission of one application."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._runtime: Runtime = app.extensions["bx24app"]

    def choose_terms(self, head: RequestHead) -> Terms | int:
        if not is_plain_encoding(head.header("content-encoding")):
            return 415
        path = head.path
        if path.startswith("/mango") and path[6:7] in ("", "/"):
            limit = receiver.LIMIT_BYTES
            return Terms(HOOKS, self._address(head), limit, must_judge=head.method == "POST")
        if path in _HEALTH_PATHS:
            return Terms(HEALTH, head.peer, 0)
        return Terms(PAGES, self._address(head), byte_limit(self._runtime.config.secret_key, path, head.header))

    def judge_at_once(self, head: RequestHead, terms: Terms) -> bool:
        """The key was found in the last minute, and its reserve of the flood limit is not used up."""
        key = hook_addresses.key_of(head.path.removeprefix("/mango"), head.query)
        if not self._runtime.get(KnownHooks).has(key) or not self._is_admitted_network(terms.address):
            return False
        return rate_limit.spend_reserve(self._runtime, key, str(hook_addresses.parse_address(terms.address)))

    def judge(self, head: RequestHead, terms: Terms) -> int | None:
        key = hook_addresses.key_of(head.path.removeprefix("/mango"), head.query)
        with self._app.app_context():
            refusal = hook_addresses.refusal_status(key, terms.address)
            if refusal is None and not is_known_hook(self._runtime, key):
                refusal = 404
        return refusal

    def _is_admitted_network(self, address: str) -> bool:
        networks = self._runtime.config.mango_addresses
        sender = hook_addresses.parse_address(address)
        return not networks or any(sender in network for network in networks)

    def _address(self, head: RequestHead) -> str:
        """The client's address behind as many proxies as the configuration says, as werkzeug's ProxyFix takes it."""
        count = self._runtime.config.trusted_proxies
        values = parse_list_header(head.header("x-forwarded-for")) if count else []
        return values[-count] if count and len(values) >= count else head.peer
