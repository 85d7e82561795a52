"""Whose token is it? Asks the authorisation servers about a token that a browser or an event brings.

`frame_auth` and `portal_events` ask here before they believe anything. Anybody may send tokens, so what cannot be one
is not asked about, and a token that was refused is refused for `REFUSED_SECONDS` without a question.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

import redis

from bx24app.bitrix24 import errors
from bx24app.bitrix24.oauth import AppInfo
from bx24app.infra.runtime import runtime
from bx24app.portals.connections import oauth_servers, secure_info

REFUSED_SECONDS: Final = 300
_TOKEN: Final = re.compile(r"[A-Za-z0-9._-]{16,512}")


class TokenRefused(Exception):
    """No authorisation server knows the token."""


def find_owner(token: str, server_endpoint: str) -> tuple[AppInfo, str]:
    """What an authorisation server says about the token, and which one.

    Args:
        server_endpoint: names the server if it is one of those that the configuration allows; otherwise all are asked.

    Raises:
        TokenRefused
        bx24app.bitrix24.errors.PortalError: a server cannot be asked now, or says something else about the application.
    """
    if not _TOKEN.fullmatch(token):
        raise TokenRefused("this is no token")
    if _is_refused(token):
        raise TokenRefused("the token was refused a moment ago")
    named = oauth_servers().find_server(server_endpoint)
    failure: errors.PortalError | None = None
    for server in [named] if named else list(oauth_servers().servers):
        try:
            return secure_info(oauth_servers().fetch_app_info(token, server)), server
        except errors.Later as error:
            failure = error
        except errors.NeedsAdmin as error:  # unpaid, overloaded …: says nothing about whose token it is
            failure = error if error.code != "authorise" else failure
        except (errors.Refused, errors.Gone):
            continue
    if failure is not None:
        raise failure
    _remember_refusal(token)
    raise TokenRefused("no auth server accepts the token")


def _refusal_key(token: str) -> str:
    return f"refused:{hashlib.sha256(token.encode()).hexdigest()[:32]}"


def _is_refused(token: str) -> bool:
    try:
        return bool(runtime().redis.exists(_refusal_key(token)))
    except redis.RedisError:
        return False


def _remember_refusal(token: str) -> None:
    try:
        runtime().redis.set(_refusal_key(token), b"1", ex=REFUSED_SECONDS)
    except redis.RedisError:
        return  # the next opening asks again
