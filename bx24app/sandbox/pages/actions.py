"""What a person does on the portal's pages, and what a tester switches: `POST /sandbox/do/<name>`, JSON in, JSON out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bx24app.sandbox.bitrix.clicks import NoLine
from bx24app.sandbox.bitrix.oauth import OAuthServer
from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.registry import RestError
from bx24app.sandbox.bitrix.state import InstalledApp, User
from bx24app.sandbox.pages.frames import FrameError, application

Body = dict[str, Any]


class ActionError(Exception):
    """What was asked for is not possible; says why, for the screen."""


def perform(portal: Portal, user: User, name: str, body: Body) -> Body:
    """Does something.

    Raises:
        ActionError: unknown action, or it is not possible.
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


def _dial(portal: Portal, user: User, body: Body) -> Body:
    kind, _, number = str(body.get("owner") or "").partition(":")
    owner = (int(kind), int(number)) if kind and number else None
    call_id = portal.click_to_call(user.id, str(body["phone"]), mobile=bool(body.get("mobile")), entity=owner)
    return {"call_id": call_id, "message": f"Calling {body['phone']}"}


def _form_callback(portal: Portal, _user: User, body: Body) -> Body:
    portal.form_callback(str(body["phone"]), str(body.get("line") or "") or None)
    return {"message": "The CRM form was sent"}


def _outgoing(portal: Portal, _user: User, body: Body) -> None:
    portal.outgoing_line = str(body.get("line") or "")


def _add(portal: Portal, user: User, body: Body) -> Body:
    phones = [str(body["phone"])] if body.get("phone") else []
    assigned = int(body.get("user") or user.id)
    name = str(body["name"])
    if body["kind"] == "lead":
        made = portal.add_lead(name, *phones, assigned=assigned)
    elif body["kind"] == "contact":
        made = portal.add_contact(name, *phones, assigned=assigned)
    else:
        contact = portal.add_contact(name, *phones, assigned=assigned).id if phones else None
        made = portal.add_deal(name, contact=contact, assigned=assigned)
    return {"id": made.id, "message": "Saved"}


def _done(portal: Portal, _user: User, body: Body) -> None:
    portal.activities[int(body["id"])].completed = True
    portal.tell("activity", id=int(body["id"]))


def _close_card(portal: Portal, user: User, body: Body) -> None:
    portal.cards[user.id].pop(str(body["call_id"]), None)
    portal.tell("card", action="close", user_id=user.id, call_id=body["call_id"])


def _installed(portal: Portal, body: Body) -> InstalledApp:
    return portal.apps[str(body["client_id"])]


def _finish_install(portal: Portal, user: User, body: Body) -> None:
    if not user.admin:
        raise ActionError("only an administrator can finish an installation")
    portal.finish_install(_installed(portal, body).app)


def _set_install(portal: Portal, user: User, body: Body) -> None:
    _installed(portal, body).user_options.setdefault(user.id, {})["install"] = True


def _option(portal: Portal, user: User, body: Body) -> None:
    app = _installed(portal, body)
    if body["scope"] == "app":
        if not user.admin:
            raise ActionError("application options are the administrator's")
        app.options[str(body["name"])] = body.get("value")
    else:
        app.user_options.setdefault(user.id, {})[str(body["name"])] = body.get("value")


def _uninstall(portal: Portal, _user: User, body: Body) -> Body:
    portal.uninstall(application(portal, str(body["client_id"])), clean=bool(body.get("clean")))
    return {"message": "Uninstalled", "reload": True}


def _update_version(portal: Portal, _user: User, body: Body) -> Body:
    portal.update_version(application(portal, str(body["client_id"])))
    return {"message": "A new version is installed"}


def _portal(portal: Portal, _user: User, body: Body) -> None:
    portal.crm_mode = int(body.get("crm_mode") or portal.crm_mode)
    portal.license = str(body.get("license") or portal.license)
    portal.lang = str(body.get("lang") or portal.lang)
    portal.latency = float(body.get("latency") or 0) / 1000


def _fault(portal: Portal, _user: User, body: Body) -> None:
    times = int(body["times"]) if body.get("times") else None
    portal.switches.on(str(body["kind"]), times=times, method=str(body.get("method") or "") or None)
    portal.tell("switches")


def _fault_off(portal: Portal, _user: User, body: Body) -> None:
    portal.switches.off(str(body["kind"]))
    portal.tell("switches")


def _expire(portal: Portal, _user: User, _body: Body) -> Body:
    server: OAuthServer = portal.oauth
    server.expire(portal)
    return {"message": "All access tokens have expired"}


def _advance(portal: Portal, _user: User, body: Body) -> Body:
    portal.clock.advance(float(body["seconds"]))
    portal.tell("clock")
    return {"message": "The portal's clock was set forward"}


def _dismiss(portal: Portal, user: User, body: Body) -> None:
    if int(body["id"]) == user.id:
        raise ActionError("you cannot dismiss yourself")
    portal.dismiss(int(body["id"]))


def _hire(portal: Portal, _user: User, body: Body) -> None:
    portal.users[int(body["id"])].active = True
    portal.tell("user", id=int(body["id"]))


_ACTIONS: dict[str, Callable[[Portal, User, Body], Body | None]] = {
    "dial": _dial,
    "form_callback": _form_callback,
    "outgoing": _outgoing,
    "add": _add,
    "done": _done,
    "close_card": _close_card,
    "finish_install": _finish_install,
    "set_install": _set_install,
    "option": _option,
    "uninstall": _uninstall,
    "update_version": _update_version,
    "portal": _portal,
    "fault": _fault,
    "fault_off": _fault_off,
    "expire": _expire,
    "advance": _advance,
    "dismiss": _dismiss,
    "hire": _hire,
}
