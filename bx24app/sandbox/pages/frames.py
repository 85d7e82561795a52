"""Embedding of applications in the portal's page: the form to post, placements, call cards, and answers to messages.

Names and shapes are those of the real portal's frames, as the JS libraries BX24 and b24jssdk expect them.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from bx24app.sandbox.bitrix.oauth import ACCESS_SECONDS
from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.state import Application, Card, User, type_name
from bx24app.sandbox.pages import views

_CALL_CARD = {
    "command": ["getStatus", "disableAutoClose", "enableAutoClose"],
    "event": ["CallCard::EntityChanged", "CallCard::BeforeClose", "CallCard::CallStateChanged"],
}
_NO_INTERFACE: dict[str, list[str]] = {"command": [], "event": []}


class FrameError(Exception):
    """The application cannot be opened. The message says why."""


def find_application(portal: Portal, client_id: str) -> Application:
    """A registered application.

    Raises:
        FrameError: there is none with this id.
    """
    if client_id not in portal.oauth.applications:
        raise FrameError("no such application")
    return portal.oauth.applications[client_id]


def list_applications(portal: Portal) -> list[dict[str, Any]]:
    """The registered applications as the menu and the page "Sandbox" show them."""
    rows = []
    for app in portal.oauth.applications.values():
        installation = portal.apps.get(app.client_id)
        app_id = installation.id if installation else -1
        rows.append({
            "client_id": app.client_id, "name": app.name,
            "handler_url": app.handler_url, "install_url": app.install_url,
            "installed": bool(installation and installation.installed), "known": installation is not None,
            "bindings": sum(binding.app_id == app_id for binding in portal.event_bindings.values()),
            "placements": sum(placement.app_id == app_id for placement in portal.placements),
        })  # fmt: skip
    return rows


def placement_tabs(portal: Portal, placement: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    """The tabs that applications have added to a placement. Only fully installed applications count."""
    tabs = []
    for row in portal.placements:
        installation = next((app for app in portal.apps.values() if app.id == row.app_id), None)
        if installation and installation.installed and row.placement == placement:
            texts = row.lang_all.get(portal.lang) or {}
            title = (texts.get("TITLE") if isinstance(texts, dict) else "") or row.title or installation.app.name
            client_id = installation.app.client_id
            tabs.append({"client_id": client_id, "placement": placement, "title": title, "options": options})
    return tabs


def open_frame(portal: Portal, user: User, client_id: str, placement: str, options: dict[str, Any]) -> dict[str, Any]:
    """The data for opening an application once: address and fields of the form, the frame's name, the answer to
    `getInitData`.

    Raises:
        FrameError: there is no such application, or it is not installed and the user is not an administrator.
    """
    app = find_application(portal, client_id)
    before = portal.apps.get(client_id)
    if not (before and before.installed) and not user.admin:
        raise FrameError("The application is not fully installed.")
    form = portal.open_form(user.id, app, placement, options)
    installation = portal.apps[client_id]
    target = urlsplit(form.url)
    user_options = installation.user_options.get(user.id, {})
    return {
        "url": form.url,
        "fields": form.fields,
        "name": form.name,
        "sid": form.sid,
        "origin": f"{target.scheme}://{target.netloc}",
        "interface": _CALL_CARD if placement == "CALL_CARD" else _NO_INTERFACE,
        "init": {
            "LANG": portal.lang,
            "DOMAIN": portal.domain,
            "PROTOCOL": int(portal.secure),
            "PATH": "/rest",
            "AUTH_ID": form.fields["AUTH_ID"],
            "AUTH_EXPIRES": int(form.fields["AUTH_EXPIRES"]),
            "REFRESH_ID": form.fields["REFRESH_ID"],
            "MEMBER_ID": portal.member_id,
            "FIRST_RUN": not installation.installed and not user_options.get("install"),
            "IS_ADMIN": user.admin,
            "INSTALL": not installation.installed,
            "USER_OPTIONS": {key: value for key, value in user_options.items() if key != "install"},
            "APP_OPTIONS": dict(installation.options),
            "PLACEMENT": placement,
            "PLACEMENT_OPTIONS": options,
        },
    }


def refresh_auth(portal: Portal, user: User, client_id: str) -> dict[str, Any]:
    """The answer to `refreshAuth`: a new pair of tokens.

    Raises:
        FrameError: the application is not installed.
    """
    if client_id not in portal.apps:
        raise FrameError("the application is not installed")
    token = portal.oauth.issue_token(portal, client_id, user.id)
    return {"AUTH_ID": token.access, "AUTH_EXPIRES": ACCESS_SECONDS, "REFRESH_ID": token.refresh}


def call_card(portal: Portal, card: Card) -> dict[str, Any]:
    """A call card on a user's screen, with the tabs that applications have added to it."""
    call = portal.calls.get(card.call_id)
    entity = (call.primary if call else None) or card.entity
    line_name = next((line.name for line in portal.lines.values() if line.number == card.line), "") or card.line
    options = {
        "CALL_ID": card.call_id,
        "PHONE_NUMBER": card.phone,
        "LINE_NUMBER": card.line,
        "LINE_NAME": line_name,
        "CRM_ENTITY_TYPE": type_name(entity[0]) if entity else "",
        "CRM_ENTITY_ID": entity[1] if entity else 0,
        "CRM_BINDINGS": [],
        "CRM_ACTIVITY_ID": "undefined",
        "CALL_DIRECTION": "outgoing" if card.type == 1 else "incoming",
        "CALL_STATE": "connected",
        "CALL_LIST_MODE": False,
    }
    return {
        "call_id": card.call_id,
        "phone": card.phone,
        "incoming": card.type != 1,
        "callback": card.type == 4,
        "line": line_name,
        "opened": card.opened,
        "client": views.client_of(portal, entity),
        "options": options,
        "tabs": placement_tabs(portal, "CALL_CARD", options),
    }


def picker_choices(portal: Portal) -> dict[str, Any]:
    """The users, access rights and CRM records that the picker dialogs offer."""
    users = [
        {
            "id": str(user.id),
            "name": user.full_name,
            "position": user.work_position,
            "photo": "",
            "url": f"/company/personal/user/{user.id}/",
        }
        for user in portal.users.values()
        if user.active
    ]
    access = [{"id": f"U{user['id']}", "name": user["name"], "provider": "user"} for user in users]
    access += [{"id": f"DR{row['ID']}", "name": str(row["NAME"]), "provider": "intranet"} for row in portal.departments]
    kinds = (
        ("lead", portal.leads),
        ("contact", portal.contacts),
        ("company", portal.companies),
        ("deal", portal.deals),
    )
    crm = {kind: [{"id": row.id, "type": kind, "title": row.title} for row in rows.values()] for kind, rows in kinds}
    return {"users": users, "access": access, "crm": crm}
