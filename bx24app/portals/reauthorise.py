"""USE CASE: an administrator gives an installed portal a fresh grant outside the frame, by the authorisation-code flow (official page "full OAuth").

The address to return to is fixed in the application's card, so `state` is all that joins the answer to the question: it is signed, names
the portal, and is good for ten minutes. The grant changes only when the code's portal is that one and its user an administrator there.
"""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from itsdangerous import BadData, URLSafeTimedSerializer
from sqlalchemy import select

from bx24app.bitrix24.errors import NeedsAdmin
from bx24app.infra import queue
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Portal, audit, db
from bx24app.portals import frame_auth, install
from bx24app.portals.connections import address_policy, client_secret, oauth_servers

STATE_SECONDS = 600
_log = get_logger(__name__)


class NotInstalled(Exception):
    """There is no such installation."""


class NotProven(Exception):
    """The answer does not belong to a question of ours, or not to that portal, or not to one of its administrators."""


def start_authorisation(domain: str) -> str:
    """Where to send the administrator's browser.

    Raises:
        NotInstalled
    """
    query = select(Portal).where(Portal.domain == domain.strip().lower(), Portal.state != "removed")
    portal = db.session.scalars(query).first()
    if portal is None:
        raise NotInstalled
    parts = urlsplit(portal.client_endpoint)
    state = _state_signer().dumps([portal.id, portal.client_id])
    return f"{parts.scheme}://{parts.netloc}/oauth/authorize/?" + urlencode(
        {"client_id": portal.client_id, "state": state}
    )


def finish_authorisation(code: str, state: str, server_domain: str) -> str:
    """Exchange the code and store the grant; gives the portal's origin.

    Raises:
        NotProven, bx24app.portals.Forged, bx24app.bitrix24.errors.PortalError (the code is spent, the servers do not answer)
    """
    try:
        portal_id, client_id = _state_signer().loads(state, max_age=STATE_SECONDS)
    except BadData:
        raise NotProven("the state is not ours, or too old") from None
    portal = db.session.get(Portal, portal_id)
    if portal is None or portal.state == "removed" or portal.client_id != client_id:
        raise NotProven("the installation is gone")
    member_id, known = portal.member_id, portal.server_endpoint
    secret = client_secret(client_id)
    db.session.rollback()
    if secret is None:
        raise NeedsAdmin("registration", f"no client secret for {client_id}")
    server = oauth_servers().find_server(f"https://{server_domain}") or oauth_servers().find_server(known) or oauth_servers().servers[0]
    pair = oauth_servers().exchange_code(server, client_id, secret, code)
    info = oauth_servers().fetch_app_info(pair.access_token, server)
    if info.member_id != member_id or info.client_id != client_id:
        raise NotProven("the code belongs to another portal or application")
    address_policy().check_url_form(info.client_endpoint)
    if not frame_auth.is_administrator(info, pair.access_token):
        raise NotProven("only an administrator of the portal may authorise the app")
    portal = db.session.get_one(Portal, portal_id)
    install.store_grant(portal, info.user_id, pair.access_token, pair.refresh_token, pair.expires_in)
    audit.record(portal_id, info.user_id, "oauth", "authorised again")
    db.session.commit()
    queue.wake_portal(portal_id, force=True)
    _log.info("authorised again", portal=portal_id)
    parts = urlsplit(info.client_endpoint)
    return f"{parts.scheme}://{parts.netloc}"


def _state_signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(runtime().config.secret_key, salt="bx24app.oauth")
