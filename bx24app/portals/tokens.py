"""The tokens of a portal's grant: reading, refreshing and storing them, and following the portal to a new address.

Clients (`clients.py`) and the daily refresh of idle grants (`sync.py`) call this. A refresh token works once, so that
two simultaneous refreshes would destroy the grant: a refresh holds a lease in Redis, reads the grant again under it,
and commits the new pair before anybody uses it.
"""

from __future__ import annotations

import time
from datetime import timedelta
from urllib.parse import urlsplit

import redis
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from bx24app.bitrix24.errors import NeedsAdmin, NotSent
from bx24app.bitrix24.oauth import TokenPair
from bx24app.bitrix24.request_deadline import seconds_left
from bx24app.bitrix24.ssrf_guard import NotAdmitted
from bx24app.domain.host_names import to_ascii_url
from bx24app.infra.leases import hold_lease
from bx24app.infra.logs import get_logger
from bx24app.models import Grant, Portal, audit, db, utcnow
from bx24app.models.connections import open_reader
from bx24app.portals.connections import address_policy, client_secret, oauth_servers, secure_info

_log = get_logger(__name__)

REFRESH_LOCK_SECONDS = 60
"""How long a refresh may hold its lease: longer than its two requests can take."""
REFRESH_WAIT_SECONDS = 3.0
"""How long others wait for it in their thread; then they come back later, so that no thread is held."""
EXPIRY_MARGIN = timedelta(seconds=20)
"""An access token is refreshed this long before it expires."""


def access_token(portal_id: int) -> str:
    """The grant's access token, refreshed if it is about to expire.

    Takes no write lock, since every request of a client asks for it.

    Raises:
        NeedsAdmin: the portal has no grant, or its refresh token is dead. Later: the token cannot be refreshed now.
    """
    query = select(Grant.access_token, Grant.expires_at).where(Grant.portal_id == portal_id)
    with open_reader() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise NeedsAdmin("authorise", "the portal has no grant")
    token: str = row.access_token
    return refresh_access_token(portal_id, token) if row.expires_at <= utcnow() + EXPIRY_MARGIN else token


def refresh_access_token(portal_id: int, old: str) -> str:
    """A fresh access token in place of `old`; of all workers only one asks the authorisation server.

    Raises:
        Later: the server cannot be asked now. NeedsAdmin: the refresh token is dead.
    """
    patience = max(0.0, seconds_left(REFRESH_WAIT_SECONDS))
    try:
        lease = hold_lease(f"refresh:{portal_id}", wait_seconds=patience, at_most=REFRESH_LOCK_SECONDS)
        with lease as is_mine:
            if not is_mine:
                raise NotSent("another worker is refreshing this portal's token", 1.0)
            return _refresh_grant(portal_id, old)
    except redis.RedisError:
        raise NotSent("Redis does not answer, so the token cannot be refreshed safely", 5.0) from None


def _refresh_grant(portal_id: int, old: str) -> str:
    portal, grant = db.session.get(Portal, portal_id), db.session.get(Grant, portal_id)
    if portal is None or grant is None:
        db.session.rollback()
        raise NeedsAdmin("authorise", "the portal has no grant")
    if grant.access_token != old:
        fresh = grant.access_token  # another worker has refreshed it meanwhile
        db.session.rollback()
        return fresh
    server = oauth_servers().find_server(portal.server_endpoint) or oauth_servers().servers[0]
    client_id, generation, refresh_token = portal.client_id, grant.generation, grant.refresh_token
    secret, member_id = client_secret(client_id), portal.member_id
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
    if pair.member_id and pair.member_id != member_id:
        _log.error("refreshed grant not stored, it is another portal's", portal=portal_id)
        raise NeedsAdmin("authorise", "the auth server answered with the tokens of another portal", generation)
    store_token_pair(portal_id, pair, generation)
    _log.info("grant refreshed", portal=portal_id)
    return pair.access_token


def _await_other_refresh(portal_id: int, generation: int) -> str | None:
    """The token of a refresh that another worker has just made; None if there is none.

    Redis loses its locks when it is flushed: the refresh token that the server calls dead may have been used by another
    worker a moment ago.
    """
    for pause in (0.0, 0.2, 0.5, 1.0):
        time.sleep(pause)
        grant = db.session.get(Grant, portal_id)
        token = grant.access_token if grant is not None and grant.generation != generation else None
        db.session.rollback()
        if token is not None:
            return token
    return None


def store_token_pair(portal_id: int, pair: TokenPair, generation: int) -> None:
    """Commit a refreshed pair, unless the grant was replaced meanwhile.

    The old pair no longer works at this point, so the app waits a few seconds for a database that is restarting.
    """
    now = utcnow()
    values = {
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "expires_at": now + timedelta(seconds=pair.expires_in),
        "refreshed_at": now,
        "generation": generation + 1,
    }
    statement = update(Grant).where(Grant.portal_id == portal_id, Grant.generation == generation).values(**values)
    for pause in (0.5, 1.0, 2.0, 4.0, None):
        try:
            result = db.session.execute(statement)
            db.session.commit()
        except DBAPIError as error:
            db.session.rollback()
            _log.error("refreshed grant not stored yet", portal=portal_id, error=type(error.orig).__name__)
            if pause is None:
                raise
            time.sleep(pause)
        else:
            break
    if result.rowcount != 1:  # type: ignore[attr-defined]
        _log.warning("grant replaced during its refresh", portal=portal_id)


def adopt_new_address(portal_id: int, location: str) -> str:
    """Verify a portal's new address, to which it redirects, at the authorisation server, and store it.

    Returns the new REST base.

    Raises:
        NotSent: the address does not belong to this portal (yet), or the address policy refuses it.
        Later, NeedsAdmin: from the authorisation server.
    """
    portal = db.session.get_one(Portal, portal_id)
    server = oauth_servers().find_server(portal.server_endpoint) or oauth_servers().servers[0]
    member_id = portal.member_id
    db.session.rollback()
    try:
        address_policy().check_url(location)
    except NotAdmitted as error:
        raise NotSent(f"the portal redirects to an address that is not admitted: {error}") from None
    info = secure_info(oauth_servers().fetch_app_info(access_token(portal_id), server))
    if info.member_id != member_id or urlsplit(info.client_endpoint).netloc != urlsplit(to_ascii_url(location)).netloc:
        raise NotSent("the portal redirects to an address that the auth server does not know as its own")
    portal = db.session.get_one(Portal, portal_id)
    portal.domain, portal.client_endpoint = info.domain, info.client_endpoint
    audit.record(portal_id, None, "system", "moved", domain=info.domain)
    db.session.commit()
    _log.info("portal moved", portal=portal_id, domain=info.domain)
    return info.client_endpoint
