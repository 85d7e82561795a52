"""The names of a portal at its opening: the one that the authorisation server has, and the one in the browser.

A box registers itself at the authorisation server under the address of whichever request came first (server source,
rest/lib/oauthservice.php): by http, or under an internal name, while people open it by https under another one.
`frame_auth` asks here. REST and with it every right of a user comes from the registered address only; a second name may
show the page, once it has shown that it accepts the viewer's token, and nothing else.
"""

from __future__ import annotations

import hashlib
from typing import Final
from urllib.parse import urlsplit

import redis

from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.inbound import FramePost
from bx24app.bitrix24.oauth import AppInfo
from bx24app.bitrix24.ssrf_guard import NotAdmitted
from bx24app.domain.host_names import normalise_host
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.portals.clients import client_with_token, member_budget
from bx24app.portals.connections import address_policy

_log = get_logger(__name__)

ACCEPTED_SECONDS: Final = 300
"""For how long an accepted second name is not asked again."""
_PATIENCE: Final = 5.0


class ForgedRequest(Exception):
    """The opening cannot prove what it claims."""


class PortalRenamed(ForgedRequest):
    """The opening comes from a page under an address that the portal no longer has. `domain`: the present one."""

    def __init__(self, domain: str) -> None:
        super().__init__("the portal has another domain")
        self.domain = domain


class AddressProblem(ForgedRequest):
    """The portal's own address is in the way. `kind` chooses the page's words; both addresses are `scheme://host`."""

    def __init__(self, kind: str, registered: str, opened: str) -> None:
        super().__init__(f"{kind}: registered as {registered}, opened as {opened}")
        self.kind, self.registered, self.opened = kind, registered, opened


def opened_address(post: FramePost, info: AppInfo) -> str:
    """`scheme://host` of the page that shows the app; that of the registration if the post names none."""
    if not post.domain:
        return registered_address(info)
    try:
        return f"{'https' if post.is_secure else 'http'}://{normalise_host(post.domain)}"
    except ValueError:
        raise ForgedRequest("the posted domain cannot be read") from None


def registered_address(info: AppInfo) -> str:
    """`scheme://host` that the authorisation server has."""
    parts = urlsplit(info.registered_endpoint or info.client_endpoint)
    return f"{parts.scheme}://{normalise_host(parts.netloc)}"


def is_second_name(post: FramePost, info: AppInfo) -> bool:
    """Was the portal opened under another name than it is registered? A default port is no part of a name."""
    return _host(opened_address(post, info)) != _host(registered_address(info))


def check_protocol(post: FramePost, info: AppInfo) -> None:
    """Raises AddressProblem: the page was opened by http, or the registered address cannot be asked by https."""
    opened, registered = opened_address(post, info), registered_address(info)
    may_be_plain = address_policy().may_use_loopback
    if not may_be_plain and (opened.startswith("http:") or info.client_endpoint.startswith("http:")):
        raise AddressProblem("plain_http", registered, opened)


def explain_failure(post: FramePost, info: AppInfo, error: errors.Later | NotAdmitted) -> Exception:
    """What stands in the way where the registered address cannot be asked: its name, its protocol, or neither."""
    opened, registered = opened_address(post, info), registered_address(info)
    if getattr(error, "cause", "") == errors.CUT_OFF or getattr(error, "is_rate_limited", False):
        return error
    if is_second_name(post, info):
        return AddressProblem("two_names", registered, opened)
    return AddressProblem("plain_http", registered, opened) if info.registered_endpoint else error


def check_second_name(post: FramePost, info: AppInfo) -> None:
    """Ask the opened name whether it accepts the viewer's token as the registered one does.

    Raises:
        PortalRenamed: it redirects to the registered name. AddressProblem: it does not, or it cannot be asked.
    """
    opened = opened_address(post, info)

    def judge_redirect(location: str) -> str:
        if normalise_host(urlsplit(location).netloc) == _host(registered_address(info)):
            raise PortalRenamed(info.domain)
        raise errors.NotSent("the second name redirects elsewhere")

    key = f"name:{info.member_id}:{hashlib.sha256(opened.encode()).hexdigest()[:32]}"
    if _is_accepted(key):
        return
    try:
        address_policy().check_url_form(f"{opened}/rest/")
        budget = member_budget(info.member_id)
        client = client_with_token(f"{opened}/rest/", post.access_token, budget, follow_redirect=judge_redirect)
        user = client.call("profile", priority=Priority.VIEW, patience=_PATIENCE).result
    except errors.PortalError as error:
        _log.warning("second name not proven", member=info.member_id, name=opened, error=str(error))
        user = None
    if not isinstance(user, dict) or str(user.get("ID")) != str(info.user_id):
        raise AddressProblem("two_names", registered_address(info), opened)
    _remember_accepted(key)


def _host(address: str) -> str:
    return address.partition("://")[2]


def _is_accepted(key: str) -> bool:
    try:
        return bool(runtime().redis.exists(key))
    except redis.RedisError:  # nothing is known: the name is asked again
        return False


def _remember_accepted(key: str) -> None:
    try:
        runtime().redis.set(key, b"1", ex=ACCEPTED_SECONDS)
    except redis.RedisError as error:
        _log.warning("second name not remembered", error=type(error).__name__)
