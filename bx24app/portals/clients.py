"""USE CASE: the background grant of a portal: clients that speak with it, and its refresh under a lock.

A refresh token rotates, so two refreshes at once would kill the pair: a lock in Redis, a look again after it, and the new pair is
committed before anybody uses it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import redis
import requests
from flask import Flask, current_app
from requests.adapters import HTTPAdapter
from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import DBAPIError

from bx24app.bitrix24.budget import RequestBudget
from bx24app.bitrix24.client import Bitrix24Client, TokenSource, Transport
from bx24app.bitrix24.errors import NeedsAdmin, NotSent
from bx24app.bitrix24.method_load import PortalMethodLoad
from bx24app.bitrix24.oauth import OAuthServers, TokenPair
from bx24app.bitrix24.ssrf_guard import AddressPolicy, GuardedAdapter, NotAdmitted
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Grant, Portal, Registration, audit, db, utcnow

_log = get_logger(__name__)

_ENDPOINT_QUERY = select(Portal.client_endpoint).where(Portal.id == bindparam("portal"))
REFRESH_LOCK_SECONDS = 60
"""How long a refresh may hold its lock: longer than its two requests can take."""
BUDGET_CAPACITY_SECONDS = 25.0
"""A portal's store holds so many seconds' worth of its requests: the cloud's ordinary tariff has 2 a second and 50."""
TOKEN_CACHE_SECONDS = 5.0
"""How long a client goes on with an access token before it reads it again; a refresh begins 20 s before the token's end."""
LICENCE_CACHE_SECONDS = 600
"""How long a process remembers a portal's licence."""


def _cached_value(name: str, make: Any) -> Any:
    cache = runtime().cache
    if name not in cache:
        cache[name] = make()
    return cache[name]


def address_policy() -> AddressPolicy:
    """The wall before every outgoing connection."""
    config = runtime().config
    found: AddressPolicy = _cached_value("addresses", lambda: AddressPolicy(config.allow_loopback, config.private_portals))
    return found


def guarded_adapter() -> HTTPAdapter:
    """A pooled adapter behind the wall."""
    return GuardedAdapter(address_policy(), pool_connections=256, pool_maxsize=64)


def portal_transport() -> Transport:
    """The process's connections to portals."""
    config = runtime().config

    def make_transport() -> Transport:
        return Transport(guarded_adapter(), config.ca_bundle, plain_http=config.allow_loopback)

    found: Transport = _cached_value("transport", make_transport)
    return found


def oauth_servers() -> OAuthServers:
    """The authorisation servers that the configuration names; their hosts are the operator's own choice."""

    def make_servers() -> OAuthServers:
        session = requests.Session()
        session.trust_env = False
        if runtime().config.ca_bundle is not None:
            session.verify = str(runtime().config.ca_bundle)
        return OAuthServers(runtime().config.oauth_servers, session)

    found: OAuthServers = _cached_value("oauth", make_servers)
    return found


def client_secret(client_id: str) -> str | None:
    """The client secret of a registration: from the table (`apps add`) or the configuration; None: unknown."""
    row = db.session.get(Registration, client_id)
    if row is not None:
        return row.client_secret
    config = runtime().config
    return config.client_secret if client_id and client_id == config.client_id else None


def portal_budget(portal_id: int) -> RequestBudget:
    """The portal's request budget; its size follows the licence, which is read again every ten minutes."""
    key, cache, now = f"budget:{portal_id}", runtime().cache, time.monotonic()
    held: tuple[RequestBudget, float] | None = cache.get(key)
    if held is not None and held[1] > now:
        return held[0]
    row = db.session.query(Portal.member_id, Portal.license).filter_by(id=portal_id).one()
    db.session.rollback()
    budget = member_budget(row.member_id, row.license)
    cache[key] = (budget, now + LICENCE_CACHE_SECONDS)
    return budget


def member_budget(member_id: str, licence: str = "") -> RequestBudget:
    """The budget of a portal that may not be installed yet: Bitrix24 counts by portal, whoever asks from here."""
    if licence == "selfhosted":
        rate = runtime().config.onpremise_rate
        return RequestBudget(runtime().redis, member_id, rate, rate * BUDGET_CAPACITY_SECONDS)
    large = "ent" in licence.lower()
    return RequestBudget(runtime().redis, member_id, 5.0 if large else 2.0, 250.0 if large else 50.0)


@dataclass(slots=True)
class _CachedToken:
    """A token that was read lately. Should it be renewed or taken away meanwhile, the portal says so, and it is read anew."""

    token: str
    valid_until: float
    """Of the monotonic clock."""


def client_by_id(portal_id: int) -> Bitrix24Client:
    """REST on the portal's background grant. Usable in any thread; holds no database connection during HTTP.

    A portal without a grant shows at the first call, as `NeedsAdmin`.
    """
    endpoint = db.session.execute(_ENDPOINT_QUERY, {"portal": portal_id}).scalar_one()
    db.session.rollback()
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    budget = portal_budget(portal_id)

    held = _CachedToken("", 0.0)

    def current_token() -> str:
        if time.monotonic() > held.valid_until:
            with app.app_context():
                held.token, held.valid_until = _access_token(portal_id), time.monotonic() + TOKEN_CACHE_SECONDS
        return held.token

    def renew_token(old: str) -> str:
        held.valid_until = 0.0
        with app.app_context():
            return refresh_access_token(portal_id, old)

    def follow_redirect(location: str) -> str:
        with app.app_context():
            return adopt_new_address(portal_id, location)

    operating: PortalMethodLoad = runtime().cache.setdefault(f"operating:{portal_id}", PortalMethodLoad())
    return Bitrix24Client(endpoint, TokenSource(current_token, renew_token, follow_redirect), budget, portal_transport(), operating)


def client_with_token(endpoint: str, token: str, budget: RequestBudget) -> Bitrix24Client:
    """REST on somebody's own short-lived token, such as the viewer's of a frame; never refreshed."""

    def refuse_refresh(_: str) -> str:
        raise NeedsAdmin("authorise", "the token of this opening is no longer good")

    return Bitrix24Client(endpoint, TokenSource(lambda: token, refuse_refresh, refuse_refresh), budget, portal_transport())


def _access_token(portal_id: int) -> str:
    """The grant's access token, read without a writer's lock, since every request asks for it."""
    held = select(Grant.access_token, Grant.expires_at).where(Grant.portal_id == portal_id)
    with db.engine.connect().execution_options(read_only=True) as connection:
        row = connection.execute(held).first()
    if row is None:
        raise NeedsAdmin("authorise", "the portal has no grant")
    token: str = row.access_token
    return refresh_access_token(portal_id, token) if row.expires_at <= utcnow() + timedelta(seconds=20) else token


def refresh_access_token(portal_id: int, old: str) -> str:
    """A fresh access token in place of `old`; only one of all workers asks the auth server.

    Raises:
        Later: the server cannot be asked now. NeedsAdmin: the refresh token is dead.
    """
    try:
        with runtime().redis.lock(f"refresh:{portal_id}", timeout=REFRESH_LOCK_SECONDS, blocking_timeout=REFRESH_LOCK_SECONDS):
            return _refresh_grant(portal_id, old)
    except redis.exceptions.LockError:
        raise NotSent("another worker is refreshing this portal's token", 1.0) from None
    except redis.RedisError:
        raise NotSent("Redis does not answer, so the token cannot be refreshed safely", 5.0) from None


def _refresh_grant(portal_id: int, old: str) -> str:
    portal, grant = db.session.get(Portal, portal_id), db.session.get(Grant, portal_id)
    if portal is None or grant is None:
        db.session.rollback()
        raise NeedsAdmin("authorise", "the portal has no grant")
    if grant.access_token != old:
        fresh = grant.access_token  # somebody was quicker
        db.session.rollback()
        return fresh
    server = oauth_servers().find_server(portal.server_endpoint) or oauth_servers().servers[0]
    client_id, generation, refresh_token = portal.client_id, grant.generation, grant.refresh_token
    secret = client_secret(client_id)
    db.session.rollback()
    if secret is None:
        raise NeedsAdmin("registration", f"no client secret for {client_id}")
    try:
        pair = oauth_servers().refresh_pair(server, client_id, secret, refresh_token)
    except NeedsAdmin as error:
        token = _await_other_refresh(portal_id, generation)
        if token is None:
            raise NeedsAdmin(error.code, str(error), generation) from None
        return token
    store_token_pair(portal_id, pair, generation)
    _log.info("grant refreshed", portal=portal_id)
    return pair.access_token


def _await_other_refresh(portal_id: int, generation: int) -> str | None:
    """A flushed Redis has no locks: the refresh token that is said to be dead may have been spent by somebody else just now."""
    for pause in (0.0, 0.2, 0.5, 1.0):
        time.sleep(pause)
        grant = db.session.get(Grant, portal_id)
        token = grant.access_token if grant is not None and grant.generation != generation else None
        db.session.rollback()
        if token is not None:
            return token
    return None


def store_token_pair(portal_id: int, pair: TokenPair, generation: int) -> None:
    """Commit a refreshed pair, unless the grant was replaced meanwhile. The old pair is dead by now, so a database that is
    restarting is waited for."""
    now = utcnow()
    values = {
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "expires_at": now + timedelta(seconds=pair.expires_in),
        "refreshed_at": now,
        "generation": generation + 1,
    }
    held = update(Grant).where(Grant.portal_id == portal_id, Grant.generation == generation).values(**values)
    for pause in (0.5, 1.0, 2.0, 4.0, None):
        try:
            done = db.session.execute(held)
            db.session.commit()
        except DBAPIError as error:
            db.session.rollback()
            _log.error("refreshed grant not stored yet", portal=portal_id, error=type(error.orig).__name__)
            if pause is None:
                raise
            time.sleep(pause)
        else:
            break
    if done.rowcount != 1:  # type: ignore[attr-defined]
        _log.warning("grant replaced during its refresh", portal=portal_id)


def adopt_new_address(portal_id: int, location: str) -> str:
    """The portal's domain changed: verify the new address at the auth server and store it. Returns the new REST base.

    Raises:
        NotSent: it does not belong to this portal (yet), or we may not connect there. Later, NeedsAdmin: of the auth server.
    """
    portal = db.session.get_one(Portal, portal_id)
    server = oauth_servers().find_server(portal.server_endpoint) or oauth_servers().servers[0]
    member_id = portal.member_id
    db.session.rollback()
    try:
        address_policy().check_url(location)
    except NotAdmitted as error:
        raise NotSent(f"the portal redirects to an address that is not admitted: {error}") from None
    info = oauth_servers().fetch_app_info(_access_token(portal_id), server)
    if info.member_id != member_id or urlsplit(info.client_endpoint).netloc != urlsplit(location).netloc:
        raise NotSent("the portal redirects to an address that the auth server does not know as its own")
    portal = db.session.get_one(Portal, portal_id)
    portal.domain, portal.client_endpoint = info.domain, info.client_endpoint
    audit.record(portal_id, None, "system", "moved", domain=info.domain)
    db.session.commit()
    _log.info("portal moved", portal=portal_id, domain=info.domain)
    return info.client_endpoint
