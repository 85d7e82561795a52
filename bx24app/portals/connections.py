"""Connections to portals and authorisation servers: which addresses are admitted, pooled transports, client secrets.

Use cases that speak with a portal or an authorisation server take their connections from here. No connection leaves past the address policy,
except to the authorisation servers, which the operator names in the configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import requests
from requests.adapters import HTTPAdapter

from bx24app.bitrix24.client import Transport
from bx24app.bitrix24.oauth import OAuthServers
from bx24app.bitrix24.ssrf_guard import AddressPolicy, GuardedAdapter
from bx24app.infra.runtime import runtime
from bx24app.models import Registration, db

_T = TypeVar("_T")


def _cached(name: str, make: Callable[[], _T]) -> _T:
    cache = runtime().cache
    if name not in cache:
        cache[name] = make()
    return cast(_T, cache[name])


def address_policy() -> AddressPolicy:
    """The policy that decides to which addresses the app connects."""
    config = runtime().config
    return _cached("addresses", lambda: AddressPolicy(config.allow_loopback, config.private_portals))


def guarded_adapter() -> HTTPAdapter:
    """A pooled adapter that connects only where the address policy allows it."""
    return GuardedAdapter(address_policy(), pool_connections=256, pool_maxsize=64)


def portal_transport() -> Transport:
    """The process's connections to portals."""
    config = runtime().config
    return _cached("transport", lambda: Transport(guarded_adapter(), config.ca_bundle, plain_http=config.allow_loopback))


def oauth_servers() -> OAuthServers:
    """The authorisation servers that the configuration names."""

    def make_servers() -> OAuthServers:
        session = requests.Session()
        session.trust_env = False
        if runtime().config.ca_bundle is not None:
            session.verify = str(runtime().config.ca_bundle)
        return OAuthServers(runtime().config.oauth_servers, session)

    return _cached("oauth", make_servers)


def client_secret(client_id: str) -> str | None:
    """The client secret of a registration, from the table (`apps add`) or the configuration; None if the registration is unknown."""
    row = db.session.get(Registration, client_id)
    if row is not None:
        return row.client_secret
    config = runtime().config
    return config.client_secret if client_id and client_id == config.client_id else None
