"""An application's life in a portal: opening, installation, new versions, removal."""

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
    """What a portal posts into the iframe. `name` is the iframe's name (= window.name inside): HOST|PROTO|APP_SID."""

    url: str
    fields: dict[str, str]
    name: str
    sid: str


def install_app(portal: Portal, app: Application, user_id: int) -> InstalledApp:
    """Adds an application that is not there yet. One that "uses API only" is told at once, by ONAPPINSTALL."""
    found = portal.apps.get(app.client_id)
    if found:
        return found
    made = InstalledApp(
        portal.next_id("app", 3), app, secrets.token_hex(16), version=app.version,
        status="L" if app.kind == "local" else "F", scopes=list(app.scopes), installed_by=user_id,
    )  # fmt: skip
    portal.apps[app.client_id] = made
    if not app.ui:
        made.installed = True
        data = _install_data(portal, made)
        portal.event_sender.post_event("ONAPPINSTALL", app.install_url, data, portal.event_sender.auth_block(made, "ONAPPINSTALL", user_id))
    portal.notify_watchers("app", client_id=app.client_id, installed=made.installed)
    return made


def open_form(portal: Portal, user_id: int, app: Application, placement: str, options: dict[str, Any]) -> FrameForm:
    """The POST that opens the application (3.2): its install path until it is INSTALLED, then its handler.

    Raises:
        PermissionError: not INSTALLED yet, and the user is no administrator.
    """
    made = install_app(portal, app, user_id)
    if not made.installed and not portal.users[user_id].admin:
        raise PermissionError("The application is not fully installed. Ask the administrator of the portal.")
    token = portal.oauth.issue_token(portal, app.client_id, user_id)
    sid = secrets.token_hex(16)
    protocol = "1" if portal.secure else "0"
    target = app.handler_url if made.installed else app.install_url
    if placement != "DEFAULT":
        handlers = [one.handler for one in portal.placements if one.app_id == made.id and one.placement == placement]
        target = handlers[0] if handlers else target
    query = urlencode({"DOMAIN": portal.domain, "PROTOCOL": protocol, "LANG": portal.lang, "APP_SID": sid})
    fields = {
        "AUTH_ID": token.access,
        "AUTH_EXPIRES": str(ACCESS_SECONDS),
        "REFRESH_ID": token.refresh,
        "SERVER_ENDPOINT": f"{portal.oauth.base_url(portal.secure)}/rest/",
        "APPLICATION_TOKEN": made.application_token,
        "APPLICATION_SCOPE": ",".join(made.scopes),
        "member_id": portal.member_id,
        "status": made.status,
        "PLACEMENT": placement,
        "PLACEMENT_OPTIONS": json.dumps(options, ensure_ascii=False) if options else "[]",
    }
    return FrameForm(f"{target}{'&' if '?' in target else '?'}{query}", fields, f"{portal.domain}|{protocol}|{sid}", sid)


def _install_data(portal: Portal, made: InstalledApp) -> dict[str, Any]:
    installed = "Y" if made.installed else "N"
    return {"VERSION": made.version, "ACTIVE": "Y", "INSTALLED": installed, "LANGUAGE_ID": portal.lang}


def finish_install(portal: Portal, app: Application) -> None:
    """INSTALLED=Y; from now on events flow and placements show."""
    made = portal.apps[app.client_id]
    if made.installed:
        return
    made.installed = True
    portal.event_sender.send_event("ONAPPINSTALL", _install_data(portal, made), made.installed_by, made)
    portal.notify_watchers("app", client_id=app.client_id, installed=True)


def uninstall_app(portal: Portal, app: Application, clean: bool) -> None:
    """ONAPPUNINSTALL: no tokens in it, those given out are dead already; the application token is the only proof."""
    made = portal.apps[app.client_id]
    portal.oauth.revoke_tokens(portal, client_id=app.client_id)
    data = {"LANGUAGE_ID": portal.lang, "CLEAN": 1 if clean else 0}
    portal.event_sender.send_event("ONAPPUNINSTALL", data, None, made)
    _drop_bindings(portal, made)
    for number in [line.id for line in portal.lines.values() if line.app_id == made.id]:
        del portal.lines[number]
    del portal.apps[app.client_id]
    portal.notify_watchers("app", client_id=app.client_id, installed=False)


def _drop_bindings(portal: Portal, made: InstalledApp) -> None:
    portal.event_bindings = {key: one for key, one in portal.event_bindings.items() if one.app_id != made.id}
    portal.placements = [one for one in portal.placements if one.app_id != made.id]


def update_version(portal: Portal, app: Application, version: int | None) -> None:
    """ONAPPUPDATE goes to the handlers of the old version, with the new application_token; then they are dropped."""
    made = portal.apps[app.client_id]
    before, made.version = made.version, version or made.version + 1
    made.application_token = secrets.token_hex(16)
    made.scopes = list(app.scopes)
    data = {"VERSION": made.version, "PREVIOUS_VERSION": before, "LANGUAGE_ID": portal.lang}
    portal.event_sender.send_event("ONAPPUPDATE", data, made.installed_by, made)
    _drop_bindings(portal, made)
    portal.notify_watchers("app", client_id=app.client_id, version=made.version)
