"""The web edge: everything that answers HTTP. One table says which routes there are and who may call them."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Flask, Request
from flask.sessions import SessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix

from bx24app.infra.runtime import Runtime
from bx24app.web import statistics
from bx24app.web.base import assets, errors, guards, headers, i18n, rendering
from bx24app.web.base.guards import Guard, frame_admin, frame_session, open_to_all, place_session
from bx24app.web.calls import calls, downloads, undelivered
from bx24app.web.launch import app_frame, oauth, placement_calls, placements
from bx24app.web.monitoring import health
from bx24app.web.overview import backfills, home
from bx24app.web.pbxs import employee_file, employees, lines, pbxs
from bx24app.web.rules import rules
from bx24app.web.settings import history, policy
from bx24app.web.webhooks import bitrix24_events, mango_hooks

TABLE: tuple[tuple[Blueprint, str, Guard], ...] = (
    (app_frame.blueprint, "", open_to_all),  # proves its caller by the portal's token
    (oauth.blueprint, "/oauth", open_to_all),  # proves its caller by a signed state and the auth server's code
    (bitrix24_events.blueprint, "", open_to_all),  # proves its caller by the application token
    (mango_hooks.blueprint, "/mango", open_to_all),  # proves its caller by hook key and signature
    (health.blueprint, "", open_to_all),
    (assets.blueprint, "/assets", open_to_all),
    (downloads.blueprint, "/media", open_to_all),  # proves its caller by a ticket
    (placements.blueprint, "/place", open_to_all),  # proves its caller by the viewer's own token
    (placement_calls.blueprint, "/place/calls", place_session),
    (home.blueprint, "/frame", frame_session),
    (calls.blueprint, "/frame/calls", frame_session),
    (undelivered.blueprint, "/frame/stuck", frame_admin),
    (pbxs.blueprint, "/frame/pbxs", frame_admin),
    (lines.blueprint, "/frame/pbxs/<key>/lines", frame_admin),
    (employees.blueprint, "/frame/pbxs/<key>/employees", frame_admin),
    (employee_file.blueprint, "/frame/pbxs/<key>/employees/file", frame_admin),
    (policy.blueprint, "/frame/policy", frame_admin),
    (rules.blueprint, "/frame/rules", frame_admin),
    (history.blueprint, "/frame/history", frame_admin),
    (statistics.blueprint, "/frame/statistics", frame_admin),
    (backfills.blueprint, "/frame/backfill", frame_admin),
)
"""(blueprint, prefix, guard): all routes there are. A blueprint that is not here answers 404."""


class NoCookies(SessionInterface):
    """No cookie is ever read or set: Flask's own sessions are off."""

    def open_session(self, app: Flask, request: Request) -> None:
        return None


def register(app: Flask) -> None:
    """Join the web edge to the app."""
    runtime: Runtime = app.extensions["bx24app"]
    if runtime.config.trusted_proxies:
        count = runtime.config.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    i18n.register(app, Path(str(app.static_folder)).parent / "translations")
    app.jinja_env.finalize = i18n.printable
    app.jinja_env.globals.update(asset=assets.asset, trouble=rendering.trouble)
    by_name: dict[str | None, Guard] = {blueprint.name: guard for blueprint, _, guard in TABLE}
    by_name[None] = open_to_all  # Flask's own `static`
    app.extensions["bx24app.guards"] = by_name
    app.before_request(guards.check)
    app.after_request(headers.put)
    errors.register(app)
    app.url_map.converters |= {"rest": mango_hooks.Rest, "int": guards.Number}
    for blueprint, prefix, _ in TABLE:
        app.register_blueprint(blueprint, url_prefix=prefix or None)


__all__ = ["TABLE", "NoCookies", "frame_admin", "frame_session", "register"]
