"""The OAuth server: authorisation codes, token pairs that rotate on refresh, and `app.info`.

It stands for oauth.bitrix.info and oauth.bitrix24.tech. All portals of a sandbox share it, and it holds the
registrations of applications.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bx24app.sandbox.bitrix import faults, php
from bx24app.sandbox.bitrix.registry import RestError
from bx24app.sandbox.bitrix.state import Application
from bx24app.sandbox.bitrix.switches import AFTER_KINDS, BEFORE_KINDS, REFUSE_KINDS, Switches
from bx24app.sandbox.clock import Clock, format_iso

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal

ACCESS_SECONDS, REFRESH_SECONDS, CODE_SECONDS = 3600, 180 * 86400, 30


@dataclass
class Token:
    """A token pair of one user in one portal for one application."""

    access: str
    refresh: str
    client_id: str
    portal: Portal
    user_id: int
    expires: float
    refresh_until: float
    is_dead: bool = False
    """Whether the refresh token is refused."""


class OAuthServer:
    """The server. `log` has one entry per request: kind, parameters without secrets, error code of the answer."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.host = ""
        self.tls_host = ""
        self.tls_name = ""
        """The public name used in addresses in place of the https host."""
        self.applications: dict[str, Application] = {}
        self.portals: list[Portal] = []
        self.access_tokens: dict[str, Token] = {}
        self.refresh_tokens: dict[str, Token] = {}
        self.removed_tokens: set[str] = set()
        """The access tokens of removed applications and revoked grants."""
        self.codes: dict[str, tuple[Token, float]] = {}
        self.switches = Switches()
        self.latency = 0.0
        self.log: list[tuple[str, dict[str, str], str | None]] = []

    def base_url(self, secure: bool = False) -> str:
        return f"https://{self.tls_name or self.tls_host}" if secure else f"http://{self.host}"

    @property
    def url(self) -> str:
        """Scheme and host, over http."""
        return self.base_url()

    def register_application(
        self, client_id: str, client_secret: str, handler_url: str, install_url: str = "", **fields: Any
    ) -> Application:
        """Registers an application. `fields` are those of `Application` (scopes, kind, name, ui …)."""
        app = Application(client_id, client_secret, handler_url, install_url or handler_url, **fields)
        self.applications[client_id] = app
        return app

    def issue_token(self, portal: Portal, client_id: str, user_id: int, *, refresh: bool = True) -> Token:
        """Issues a new pair, or without `refresh` only an access token, as in most events."""
        now = self.clock.now()
        value = secrets.token_hex(35)
        token = Token(
            value, secrets.token_hex(35) if refresh else "", client_id, portal, user_id, now + ACCESS_SECONDS,
            now + REFRESH_SECONDS,
        )  # fmt: skip
        self.access_tokens[value] = token
        if token.refresh:
            self.refresh_tokens[token.refresh] = token
        return token

    def issue_code(self, portal: Portal, client_id: str, user_id: int) -> str:
        """Issues an authorisation code. It works once, within 30 s."""
        value = secrets.token_hex(35)
        self.codes[value] = (self.issue_token(portal, client_id, user_id), self.clock.now() + CODE_SECONDS)
        return value

    def revoke_tokens(
        self, portal: Portal, *, client_id: str | None = None, user_id: int | None = None, access: bool = True
    ) -> None:
        """Revokes pairs of a portal for good: all of them, or those of one application or one user.

        Args:
            access: False keeps the access tokens valid until they expire or the portal checks their user.
        """
        for token in [*self.access_tokens.values(), *self.refresh_tokens.values()]:
            if token.portal is portal and client_id in (None, token.client_id) and user_id in (None, token.user_id):
                token.is_dead = True
                if access:
                    self.access_tokens.pop(token.access, None)
                    self.removed_tokens.add(token.access)

    def expire_tokens(self, portal: Portal | None = None) -> None:
        """Makes all access tokens expire now. Refresh tokens stay valid."""
        for token in self.access_tokens.values():
            if portal is None or token.portal is portal:
                token.expires = 0.0

    def token_answer(self, token: Token, secure: bool) -> dict[str, Any]:
        """The body of a token answer. `domain` names this server; the portal is in `client_endpoint`."""
        app = token.portal.apps[token.client_id]
        return {
            "access_token": token.access,
            "expires": int(token.expires),
            "expires_in": ACCESS_SECONDS,
            "scope": ",".join(app.scopes),
            "domain": self.base_url(secure).partition("://")[2],
            "server_endpoint": f"{self.base_url(secure)}/rest/",
            "status": app.status,
            "client_endpoint": f"{token.portal.registered_base(secure)}/rest/",
            "member_id": token.portal.member_id,
            "user_id": token.user_id,
            "refresh_token": token.refresh,
        }

    def web_app(self) -> web.Application:
        app = web.Application()
        for path in ("/oauth/token/", "/oauth/token", "/rest/app.info", "/rest/app.info/", "/rest/app.info.json"):
            app.router.add_route("*", path, self._handle_request)
        return app

    async def _handle_request(self, request: web.Request) -> web.StreamResponse:
        params = php.parse_query(request.query_string)
        if request.can_read_body:
            params |= php.parse_query(await request.text())
        kind = "token" if "/oauth/token" in request.path else "app.info"
        if self.latency:
            await asyncio.sleep(self.latency)
        fault = self.switches.take_fault(BEFORE_KINDS, [kind])
        if fault:
            return await faults.spoil_answer(request, fault)
        error = None
        try:
            handler = self._grant_token if kind == "token" else self._app_info
            response = web.json_response(handler(params, request.secure))
        except RestError as refusal:
            error = refusal.code
            response = web.json_response(refusal.error_body(), status=refusal.status)
        self.log.append((kind, {key: str(params[key]) for key in ("grant_type", "client_id") if key in params}, error))
        fault = self.switches.take_fault(AFTER_KINDS, [kind])
        return await faults.spoil_answer(request, fault) if fault else response

    def _require_client(self, params: dict[str, Any]) -> Application:
        app = self.applications.get(str(params.get("client_id", "")))
        if app is None:
            raise RestError("wrong_client", "Wrong client", 200)
        if not secrets.compare_digest(app.client_secret, str(params.get("client_secret", ""))):
            raise RestError("invalid_client", "Invalid client", 401)
        return app

    def _grant_token(self, params: dict[str, Any], secure: bool) -> dict[str, Any]:
        app = self._require_client(params)
        grant = str(params.get("grant_type", ""))
        fault = self.switches.take_fault(REFUSE_KINDS, ["token"])
        if fault:
            raise faults.refusal_error(fault)
        if grant == "authorization_code":
            token, until = self.codes.pop(str(params.get("code", "")), (None, 0.0))
            if token is None or until < self.clock.now() or token.client_id != app.client_id:
                raise RestError("invalid_grant", "Invalid grant", 400)
        elif grant == "refresh_token":
            token = self._rotate_token(app, str(params.get("refresh_token", "")))
        else:
            raise RestError("invalid_request", "Invalid request", 400)
        if app.client_id not in token.portal.apps or token.portal.deleted:
            raise RestError("NOT_INSTALLED", "Application not installed", 401)
        return self.token_answer(token, secure)

    def _rotate_token(self, app: Application, old: str) -> Token:
        """Issues the next pair. A refresh token works once; the old access token stays valid until it expires."""
        token = self.refresh_tokens.pop(old, None)
        if token and token.client_id == app.client_id and app.client_id not in token.portal.apps:
            raise RestError("NOT_INSTALLED", "Application not installed", 401)
        if token is None or token.is_dead or token.client_id != app.client_id or token.refresh_until < self.clock.now():
            raise RestError("invalid_grant", "Invalid grant", 400)
        return self.issue_token(token.portal, token.client_id, token.user_id)

    def _app_info(self, params: dict[str, Any], secure: bool) -> dict[str, Any]:
        """`app.info` of the OAuth server: the application, user and portal that a token belongs to."""
        value = params.get("auth") or params.get("access_token")
        token = self.access_tokens.get(str(value or ""))
        fault = self.switches.take_fault(REFUSE_KINDS, ["app.info"])
        if fault:
            raise faults.refusal_error(fault)
        if token is None:
            raise RestError("NO_AUTH_FOUND" if not value else "invalid_token", "Wrong authorization data", 401)
        if token.expires < self.clock.now():
            raise RestError("expired_token", "The access token provided has expired.", 401)
        app, portal = token.portal.apps[token.client_id], token.portal
        scope, base = ",".join(app.scopes), portal.registered_base(secure)
        now = self.clock.now()
        return {
            "result": {
                "client_id": token.client_id,
                "scope": scope,
                "expires": format_iso(token.expires),
                "user_id": token.user_id,
                "install": {
                    "installed": app.installed,
                    "version": str(app.version),
                    "status": app.status,
                    "scope": scope,
                    "domain": base.partition("://")[2],
                    "uri": f"{base}/",
                    "client_endpoint": f"{base}/rest/",
                    "member_id": portal.member_id,
                    "member_type": "free",
                },
            },
            "time": {
                "start": now, "finish": now, "duration": 0.0, "processing": 0.0, "date_start": format_iso(now),
                "date_finish": format_iso(now),
            },
        }  # fmt: skip
