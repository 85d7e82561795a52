"""The life of an application in a portal: installation, opening in the iframe, new versions, removal.

`Portal` offers these functions to tests, the demo and the control API. They send ONAPPINSTALL, ONAPPUPDATE and
ONAPPUNINSTALL and issue the tokens that a frame receives.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from bx24app.sandbox.bitrix.oauth import ACCESS_SECONDS
from bx24app.sandbox.bitrix.state import Application, InstalledApp

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal


@dataclass(frozen=True)
class FrameForm:
    """The form that a portal posts into the iframe. `name` is window.name inside the frame: HOST|PROTO|APP_SID."""

    url: str
    fields: dict[str, str]
    name: str
    sid: str


def install_app(portal: Portal, app: Application, user_id: int) -> InstalledApp:
    """Installs an application, or returns its existing installation.

    An application that "uses API only" receives ONAPPINSTALL at once.
    """
    installation = portal.apps.get(app.client_id)
    if installation:
        return installation
    installation = InstalledApp(
        portal.next_id("app", 3), app, secrets.token_hex(16), version=app.version,
        status="L" if app.kind == "local" else "F", scopes=list(app.scopes), installed_by=user_id,
    )  # fmt: skip
    portal.apps[app.client_id] = installation
    if not app.ui:
        installation.installed = True
        data = _install_data(portal, installation)
        auth = portal.event_sender.auth_block(installation, "ONAPPINSTALL", user_id)
        portal.event_sender.post_event("ONAPPINSTALL", app.install_url, data, auth)
    portal.notify_watchers("app", client_id=app.client_id, installed=installation.installed)
    return installation


def open_form(portal: Portal, user_id: int, app: Application, placement: str, options: dict[str, Any]) -> FrameForm:
    """The POST that opens the application: at its install address until it is INSTALLED, then at its handler.

    Raises:
        PermissionError: the application is not INSTALLED yet, and the user is not an administrator.
    """
    installation = install_app(portal, app, user_id)
    if not installation.installed and not portal.users[user_id].admin:
        raise PermissionError("The application is not fully installed. Ask the administrator of the portal.")
    token = portal.oauth.issue_token(portal, app.client_id, user_id)
    sid = secrets.token_hex(16)
    protocol = "1" if portal.secure else "0"
    target = app.handler_url if installation.installed else app.install_url
    if placement != "DEFAULT":
        handlers = [
            binding.handler
            for binding in portal.placements
            if binding.app_id == installation.id and binding.placement == placement
        ]
        target = handlers[0] if handlers else target
    query = urlencode({"DOMAIN": portal.domain, "PROTOCOL": protocol, "LANG": portal.lang, "APP_SID": sid})
    fields = {
        "AUTH_ID": token.access,
        "AUTH_EXPIRES": str(ACCESS_SECONDS),
        "REFRESH_ID": token.refresh,
        "SERVER_ENDPOINT": f"{portal.oauth.base_url(portal.secure)}/rest/",
        "APPLICATION_TOKEN": installation.application_token,
        "APPLICATION_SCOPE": ",".join(installation.scopes),
        "member_id": portal.member_id,
        "status": installation.status,
        "PLACEMENT": placement,
        "PLACEMENT_OPTIONS": json.dumps(options, ensure_ascii=False) if options else "[]",
    }
    url = f"{target}{'&' if '?' in target else '?'}{query}"
    return FrameForm(url, fields, f"{portal.domain}|{protocol}|{sid}", sid)


def _install_data(portal: Portal, installation: InstalledApp) -> dict[str, Any]:
    installed = "Y" if installation.installed else "N"
    return {"VERSION": installation.version, "ACTIVE": "Y", "INSTALLED": installed, "LANGUAGE_ID": portal.lang}


def finish_install(portal: Portal, app: Application) -> None:
    """Sets INSTALLED=Y: from now on the portal sends events and shows placements."""
    installation = portal.apps[app.client_id]
    if installation.installed:
        return
    installation.installed = True
    data = _install_data(portal, installation)
    portal.event_sender.send_event("ONAPPINSTALL", data, installation.installed_by, installation)
    portal.notify_watchers("app", client_id=app.client_id, installed=True)


def uninstall_app(portal: Portal, app: Application, clean: bool) -> None:
    """Removes an application and sends ONAPPUNINSTALL.

    All tokens are revoked first, so the event carries none: the application token is the only proof of its origin.
    """
    installation = portal.apps[app.client_id]
    portal.oauth.revoke_tokens(portal, client_id=app.client_id)
    data = {"LANGUAGE_ID": portal.lang, "CLEAN": 1 if clean else 0}
    portal.event_sender.send_event("ONAPPUNINSTALL", data, None, installation)
    _drop_bindings(portal, installation)
    for number in [line.id for line in portal.lines.values() if line.app_id == installation.id]:
        del portal.lines[number]
    del portal.apps[app.client_id]
    portal.notify_watchers("app", client_id=app.client_id, installed=False)


def _drop_bindings(portal: Portal, installation: InstalledApp) -> None:
    portal.event_bindings = {
        key: binding for key, binding in portal.event_bindings.items() if binding.app_id != installation.id
    }
    portal.placements = [placement for placement in portal.placements if placement.app_id != installation.id]


def update_version(portal: Portal, app: Application, version: int | None) -> None:
    """Sends ONAPPUPDATE with the new application_token to the handlers of the old version, then drops these."""
    installation = portal.apps[app.client_id]
    before, installation.version = installation.version, version or installation.version + 1
    installation.application_token = secrets.token_hex(16)
    installation.scopes = list(app.scopes)
    data = {"VERSION": installation.version, "PREVIOUS_VERSION": before, "LANGUAGE_ID": portal.lang}
    portal.event_sender.send_event("ONAPPUPDATE", data, installation.installed_by, installation)
    _drop_bindings(portal, installation)
    portal.notify_watchers("app", client_id=app.client_id, version=installation.version)
