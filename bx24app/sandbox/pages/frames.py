"""What the portal's page needs to embed an application: the form to post, and the answers to its messages."""

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
    """The application cannot be opened; says why."""


def find_application(portal: Portal, client_id: str) -> Application:
    """A registered application.

    Raises:
        FrameError: there is none.
    """
    if client_id not in portal.oauth.applications:
        raise FrameError("no such application")
    return portal.oauth.applications[client_id]


def list_applications(portal: Portal) -> list[dict[str, Any]]:
    """Registered applications as the menu and the admin page show them."""
    out = []
    for app in portal.oauth.applications.values():
        made = portal.apps.get(app.client_id)
        number = made.id if made else -1
        out.append({
            "client_id": app.client_id, "name": app.name, "handler_url": app.handler_url, "install_url": app.install_url,
            "installed": bool(made and made.installed), "known": made is not None,
            "bindings": sum(one.app_id == number for one in portal.event_bindings.values()),
            "placements": sum(one.app_id == number for one in portal.placements),
        })  # fmt: skip
    return out


def placement_tabs(portal: Portal, placement: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    """What applications have placed somewhere; nothing of one that is not INSTALLED."""
    out = []
    for one in portal.placements:
        made = next((app for app in portal.apps.values() if app.id == one.app_id), None)
        if made and made.installed and one.placement == placement:
            words = one.lang_all.get(portal.lang) or {}
            title = (words.get("TITLE") if isinstance(words, dict) else "") or one.title or made.app.name
            out.append({"client_id": made.app.client_id, "placement": placement, "title": title, "options": options})
    return out


def open_frame(portal: Portal, user: User, client_id: str, placement: str, options: dict[str, Any]) -> dict[str, Any]:
    """Everything for one opening: address and fields of the form, the frame's name, the answer to `getInitData`.

    Raises:
        FrameError: no such application, or it is not installed and the user is no administrator.
    """
    app = find_application(portal, client_id)
    made = portal.apps.get(client_id)
    if not (made and made.installed) and not user.admin:
        raise FrameError("The application is not fully installed.")
    form = portal.open_form(user.id, app, placement, options)
    made = portal.apps[client_id]
    target = urlsplit(form.url)
    mine = made.user_options.get(user.id, {})
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
            "FIRST_RUN": not made.installed and not mine.get("install"),
            "IS_ADMIN": user.admin,
            "INSTALL": not made.installed,
            "USER_OPTIONS": {key: value for key, value in mine.items() if key != "install"},
            "APP_OPTIONS": dict(made.options),
            "PLACEMENT": placement,
            "PLACEMENT_OPTIONS": options,
        },
    }


def refresh_auth(portal: Portal, user: User, client_id: str) -> dict[str, Any]:
    """The answer to `refreshAuth`: a new pair.

    Raises:
        FrameError: the application is gone.
    """
    if client_id not in portal.apps:
        raise FrameError("the application is not installed")
    token = portal.oauth.issue_token(portal, client_id, user.id)
    return {"AUTH_ID": token.access, "AUTH_EXPIRES": ACCESS_SECONDS, "REFRESH_ID": token.refresh}


def call_card(portal: Portal, one: Card) -> dict[str, Any]:
    """A call card on somebody's screen, with the tabs that applications have placed in it."""
    call = portal.calls.get(one.call_id)
    entity = (call.primary if call else None) or one.entity
    line = next((known.name for known in portal.lines.values() if known.number == one.line), "") or one.line
    options = {
        "CALL_ID": one.call_id,
        "PHONE_NUMBER": one.phone,
        "LINE_NUMBER": one.line,
        "LINE_NAME": line,
        "CRM_ENTITY_TYPE": type_name(entity[0]) if entity else "",
        "CRM_ENTITY_ID": entity[1] if entity else 0,
        "CRM_BINDINGS": [],
        "CRM_ACTIVITY_ID": "undefined",
        "CALL_DIRECTION": "outgoing" if one.type == 1 else "incoming",
        "CALL_STATE": "connected",
        "CALL_LIST_MODE": False,
    }
    return {
        "call_id": one.call_id,
        "phone": one.phone,
        "incoming": one.type != 1,
        "callback": one.type == 4,
        "line": line,
        "opened": one.opened,
        "client": views.client_of(portal, entity),
        "options": options,
        "tabs": placement_tabs(portal, "CALL_CARD", options),
    }


def picker_choices(portal: Portal) -> dict[str, Any]:
    """Whom and what the picker dialogs offer."""
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
    access += [{"id": f"DR{one['ID']}", "name": str(one["NAME"]), "provider": "intranet"} for one in portal.departments]
    kinds = (
        ("lead", portal.leads),
        ("contact", portal.contacts),
        ("company", portal.companies),
        ("deal", portal.deals),
    )
    crm = {kind: [{"id": row.id, "type": kind, "title": row.title} for row in rows.values()] for kind, rows in kinds}
    return {"users": users, "access": access, "crm": crm}
