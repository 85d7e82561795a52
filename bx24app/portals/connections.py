"""Connections to portals and authorisation servers: which addresses are admitted, pooled transports, client secrets.

Use cases that speak with a portal or an authorisation server take their connections from here. No connection leaves
past the address policy, except to the authorisation servers, which the operator names in the configuration.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import requests

from bx24app.bitrix24.oauth import AppInfo, OAuthServers
from bx24app.bitrix24.ssrf_guard import AddressPolicy, AnyAddress, GuardedAdapter
from bx24app.bitrix24.transport import Transport
from bx24app.domain.host_names import DEFAULT_PORTS
from bx24app.infra import gates, page_threads
from bx24app.infra.gate_kinds import TOKEN
from bx24app.infra.runtime import runtime
from bx24app.models import Registration, db


class PortalConnections:
    """What a process needs to reach portals and authorisation servers, made at the first request."""

    def __init__(self) -> None:
        config = runtime().config
        self.address_policy = AddressPolicy(config.allow_loopback, config.private_portals)
        before_send = page_threads.require_gate
        adapter = GuardedAdapter(self.address_policy, before_send, pool_connections=256, pool_maxsize=64)
        self.transport = Transport(adapter, config.ca_bundle, plain_http=config.allow_loopback)
        session = requests.Session()
        session.trust_env = False
        if config.ca_bundle is not None:
            session.verify = str(config.ca_bundle)
        for scheme in ("https://", "http://"):
            session.mount(scheme, GuardedAdapter(AnyAddress(), before_send))
        self.oauth_servers = OAuthServers(
            config.oauth_servers, session, lambda server: gates.pass_gate(TOKEN, peer=server)
        )


def address_policy() -> AddressPolicy:
    """The policy that decides to which addresses the app connects."""
    return runtime().get(PortalConnections).address_policy


def portal_transport() -> Transport:
    """The process's connections to portals."""
    return runtime().get(PortalConnections).transport


def oauth_servers() -> OAuthServers:
    """The authorisation servers that the configuration names."""
    return runtime().get(PortalConnections).oauth_servers


def secure_info(info: AppInfo) -> AppInfo:
    """The answer of an authorisation server with https where it has http, unless the policy admits http.

    The host stays the one that the server names, and the certificate must prove it.
    """
    parts = urlsplit(info.client_endpoint)
    if parts.scheme != "http" or address_policy().may_use_loopback or parts.port not in DEFAULT_PORTS:
        return info
    secure = parts._replace(scheme="https", netloc=str(parts.hostname)).geturl()
    return replace(info, client_endpoint=secure, registered_endpoint=info.client_endpoint)


def client_secret(client_id: str) -> str | None:
    """The client secret of a registration, from the table (`apps add`) or the configuration; None: unknown."""
    row = db.session.get(Registration, client_id)
    if row is not None:
        return row.client_secret
    config = runtime().config
    return config.client_secret if client_id and client_id == config.client_id else None
