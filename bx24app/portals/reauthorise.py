"""Gives an installed portal a fresh grant outside the frame (official page "full OAuth", authorisation-code flow).

It begins in an administrator's frame session. The return address is fixed in the application's card, so only `state`
connects the callback with that session: it is signed, names portal and user, and is valid for ten minutes. The grant
changes only if the code belongs to that portal and that user, and the portal still calls them an administrator: a link
that somebody else made changes nothing.
"""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from itsdangerous import BadData, URLSafeTimedSerializer

from bx24app.bitrix24.errors import NeedsAdmin
from bx24app.domain.host_names import to_ascii_url
from bx24app.infra import queue
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Portal, audit, db
from bx24app.portals import frame_auth, install, lookup
from bx24app.portals.connections import address_policy, client_secret, oauth_servers, secure_info

STATE_SECONDS = 600
_log = get_logger(__name__)


class NotInstalled(Exception):
    """The app is not installed in this portal."""


class NotProven(Exception):
    """The callback does not belong to a request of ours, to that portal, or to one of its administrators."""


def start_authorisation(portal_id: int, user_id: int) -> str:
    """The address to which the browser of this user is sent.

    Raises:
        NotInstalled
    """
    portal = lookup.find_installed(portal_id)
    if portal is None:
        raise NotInstalled
    parts = urlsplit(to_ascii_url(portal.client_endpoint))
    state = _state_signer().dumps([portal.id, portal.client_id, user_id])
    return f"{parts.scheme}://{parts.netloc}/oauth/authorize/?" + urlencode(
        {"client_id": portal.client_id, "state": state}
    )


def finish_authorisation(code: str, state: str, server_domain: str) -> str:
    """Exchange the code and store the grant. Returns the portal's origin.

    Raises:
        NotProven, bx24app.portals.frame_auth.ForgedRequest.
        bx24app.bitrix24.errors.PortalError: the code was used already, or a server does not answer.
    """
    try:
        portal_id, client_id, user_id = _state_signer().loads(state, max_age=STATE_SECONDS)
    except BadData:
        raise NotProven("the state is not ours, or too old") from None
    portal = db.session.get(Portal, portal_id)
    if portal is None or portal.state == "removed" or portal.client_id != client_id:
        raise NotProven("the installation is gone")
    member_id, stored_server = portal.member_id, portal.server_endpoint
    secret = client_secret(client_id)
    db.session.rollback()
    if secret is None:
        raise NeedsAdmin("registration", f"no client secret for {client_id}")
    servers = oauth_servers()
    server = servers.find_server(f"https://{server_domain}") or servers.find_server(stored_server) or servers.servers[0]
    pair = servers.exchange_code(server, client_id, secret, code)
    info = secure_info(servers.fetch_app_info(pair.access_token, server))
    if info.member_id != member_id or info.client_id != client_id:
        raise NotProven("the code belongs to another portal or application")
    if info.user_id != user_id:
        raise NotProven("the code belongs to another user than the one who began")
    address_policy().check_url_form(info.client_endpoint)
    if not frame_auth.is_administrator(info, pair.access_token):
        raise NotProven("only an administrator of the portal may authorise the app")
    portal = db.session.get_one(Portal, portal_id)
    install.store_grant(portal, info.user_id, pair.access_token, pair.refresh_token, pair.expires_in)
    audit.record(portal_id, info.user_id, "oauth", "authorised again")
    db.session.commit()
    queue.wake_portal(portal_id)
    _log.info("portal authorised again", portal=portal_id)
    parts = urlsplit(info.client_endpoint)
    return f"{parts.scheme}://{parts.netloc}"


def _state_signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(runtime().config.secret_key, salt="bx24app.authorise")
