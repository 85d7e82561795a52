"""The actions of the portal's pages: `POST /sandbox/do/<name>`, JSON in, JSON out.

Some stand for what a person does in a real portal (dial, add a lead, uninstall the app), others switch the sandbox
itself. `portal.PortalPages` calls `perform_action`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bx24app.sandbox.bitrix.clicks import NoLine
from bx24app.sandbox.bitrix.oauth import OAuthServer
from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.registry import RestError
from bx24app.sandbox.bitrix.state import InstalledApp, User
from bx24app.sandbox.pages.frames import FrameError, find_application

JsonBody = dict[str, Any]


class ActionError(Exception):
    """The action is not possible. The message says why and is shown on the page."""


def perform_action(portal: Portal, user: User, name: str, body: JsonBody) -> JsonBody:
    """Performs an action and returns its answer.

    Raises:
        ActionError: the action is unknown or not possible.
    """
    action = _ACTIONS.get(name)
    if action is None:
        raise ActionError(f"no action {name}")
    try:
        return action(portal, user, body) or {}
    except (NoLine, FrameError, ValueError) as error:
        raise ActionError(str(error)) from error
    except RestError as error:
        raise ActionError(error.text or error.code) from error
    except KeyError as error:
        raise ActionError(f"missing or unknown: {error}") from error


def _dial_number(portal: Portal, user: User, body: JsonBody) -> JsonBody:
    kind, _, number = str(body.get("owner") or "").partition(":")
    owner = (int(kind), int(number)) if kind and number else None
    call_id = portal.click_to_call(user.id, str(body["phone"]), mobile=bool(body.get("mobile")), entity=owner)
    return {"call_id": call_id, "message": f"Calling {body['phone']}"}


def _form_callback(portal: Portal, _user: User, body: JsonBody) -> JsonBody:
    portal.form_callback(str(body["phone"]), str(body.get("line") or "") or None)
    return {"message": "The CRM form was sent"}


def _set_outgoing_line(portal: Portal, _user: User, body: JsonBody) -> None:
    portal.outgoing_line = str(body.get("line") or "")


def _add_record(portal: Portal, user: User, body: JsonBody) -> JsonBody:
    phones = [str(body["phone"])] if body.get("phone") else []
    assigned = int(body.get("user") or user.id)
    name = str(body["name"])
    if body["kind"] == "lead":
        record = portal.add_lead(name, *phones, assigned=assigned)
    elif body["kind"] == "contact":
        record = portal.add_contact(name, *phones, assigned=assigned)
    else:
        contact = portal.add_contact(name, *phones, assigned=assigned).id if phones else None
        record = portal.add_deal(name, contact=contact, assigned=assigned)
    return {"id": record.id, "message": "Saved"}


def _complete_activity(portal: Portal, _user: User, body: JsonBody) -> None:
    portal.activities[int(body["id"])].completed = True
    portal.notify_watchers("activity", id=int(body["id"]))


def _close_card(portal: Portal, user: User, body: JsonBody) -> None:
    portal.cards[user.id].pop(str(body["call_id"]), None)
    portal.notify_watchers("card", action="close", user_id=user.id, call_id=body["call_id"])


def _find_installed(portal: Portal, body: JsonBody) -> InstalledApp:
    return portal.apps[str(body["client_id"])]


def _finish_install(portal: Portal, user: User, body: JsonBody) -> None:
    if not user.admin:
        raise ActionError("only an administrator can finish an installation")
    portal.finish_install(_find_installed(portal, body).app)


def _set_install_option(portal: Portal, user: User, body: JsonBody) -> None:
    _find_installed(portal, body).user_options.setdefault(user.id, {})["install"] = True


def _set_option(portal: Portal, user: User, body: JsonBody) -> None:
    app = _find_installed(portal, body)
    if body["scope"] == "app":
        if not user.admin:
            raise ActionError("application options are the administrator's")
        app.options[str(body["name"])] = body.get("value")
    else:
        app.user_options.setdefault(user.id, {})[str(body["name"])] = body.get("value")


def _uninstall_app(portal: Portal, _user: User, body: JsonBody) -> JsonBody:
    portal.uninstall(find_application(portal, str(body["client_id"])), clean=bool(body.get("clean")))
    return {"message": "Uninstalled", "reload": True}


def _update_version(portal: Portal, _user: User, body: JsonBody) -> JsonBody:
    portal.update_version(find_application(portal, str(body["client_id"])))
    return {"message": "A new version is installed"}


def _set_portal_settings(portal: Portal, _user: User, body: JsonBody) -> None:
    portal.crm_mode = int(body.get("crm_mode") or portal.crm_mode)
    portal.license = str(body.get("license") or portal.license)
    portal.lang = str(body.get("lang") or portal.lang)
    portal.latency = float(body.get("latency") or 0) / 1000


def _switch_fault_on(portal: Portal, _user: User, body: JsonBody) -> None:
    times = int(body["times"]) if body.get("times") else None
    portal.switches.switch_on(str(body["kind"]), times=times, method=str(body.get("method") or "") or None)
    portal.notify_watchers("switches")


def _switch_fault_off(portal: Portal, _user: User, body: JsonBody) -> None:
    portal.switches.switch_off(str(body["kind"]))
    portal.notify_watchers("switches")


def _expire_tokens(portal: Portal, _user: User, _body: JsonBody) -> JsonBody:
    server: OAuthServer = portal.oauth
    server.expire_tokens(portal)
    return {"message": "All access tokens have expired"}


def _advance_clock(portal: Portal, _user: User, body: JsonBody) -> JsonBody:
    portal.clock.advance(float(body["seconds"]))
    portal.notify_watchers("clock")
    return {"message": "The portal's clock was set forward"}


def _dismiss_user(portal: Portal, user: User, body: JsonBody) -> None:
    if int(body["id"]) == user.id:
        raise ActionError("you cannot dismiss yourself")
    portal.dismiss(int(body["id"]))


def _hire_user(portal: Portal, _user: User, body: JsonBody) -> None:
    portal.users[int(body["id"])].active = True
    portal.notify_watchers("user", id=int(body["id"]))


_ACTIONS: dict[str, Callable[[Portal, User, JsonBody], JsonBody | None]] = {
    "dial": _dial_number,
    "form_callback": _form_callback,
    "outgoing": _set_outgoing_line,
    "add": _add_record,
    "done": _complete_activity,
    "close_card": _close_card,
    "finish_install": _finish_install,
    "set_install": _set_install_option,
    "option": _set_option,
    "uninstall": _uninstall_app,
    "update_version": _update_version,
    "portal": _set_portal_settings,
    "fault": _switch_fault_on,
    "fault_off": _switch_fault_off,
    "expire": _expire_tokens,
    "advance": _advance_clock,
    "dismiss": _dismiss_user,
    "hire": _hire_user,
}
