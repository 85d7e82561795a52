"""The web edge: everything that answers HTTP. One table says which routes there are and who may call them."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Flask, Request
from flask.sessions import SessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix

from bx24app.runtime import Runtime
from bx24app.web import (
    assets,
    backfills,
    calls,
    employees,
    errors,
    events,
    guards,
    headers,
    health,
    history,
    home,
    hooks,
    language,
    lines,
    mapping_file,
    media,
    oauth,
    opening,
    pages,
    pbxs,
    place_calls,
    places,
    policy,
    rules,
    statistics,
    stuck,
)
from bx24app.web.guards import Guard, frame_admin, frame_session, open_to_all, place_session

TABLE: tuple[tuple[Blueprint, str, Guard], ...] = (
    (opening.blueprint, "", open_to_all),  # proves its caller by the portal's token
    (oauth.blueprint, "/oauth", open_to_all),  # proves its caller by a signed state and the auth server's code
    (events.blueprint, "", open_to_all),  # proves its caller by the application token
    (hooks.blueprint, "/mango", open_to_all),  # proves its caller by hook key and signature
    (health.blueprint, "", open_to_all),
    (assets.blueprint, "/assets", open_to_all),
    (media.blueprint, "/media", open_to_all),  # proves its caller by a ticket
    (places.blueprint, "/place", open_to_all),  # proves its caller by the viewer's own token
    (place_calls.blueprint, "/place/calls", place_session),
    (home.blueprint, "/frame", frame_session),
    (calls.blueprint, "/frame/calls", frame_session),
    (stuck.blueprint, "/frame/stuck", frame_admin),
    (pbxs.blueprint, "/frame/pbxs", frame_admin),
    (lines.blueprint, "/frame/pbxs/<key>/lines", frame_admin),
    (employees.blueprint, "/frame/pbxs/<key>/employees", frame_admin),
    (mapping_file.blueprint, "/frame/pbxs/<key>/employees/file", frame_admin),
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
    language.register(app, Path(str(app.static_folder)).parent / "translations")
    app.jinja_env.finalize = language.printable
    app.jinja_env.globals.update(asset=assets.asset, trouble=pages.trouble)
    by_name: dict[str | None, Guard] = {blueprint.name: guard for blueprint, _, guard in TABLE}
    by_name[None] = open_to_all  # Flask's own `static`
    app.extensions["bx24app.guards"] = by_name
    app.before_request(guards.check)
    app.after_request(headers.put)
    errors.register(app)
    app.url_map.converters |= {"rest": hooks.Rest, "int": guards.Number}
    for blueprint, prefix, _ in TABLE:
        app.register_blueprint(blueprint, url_prefix=prefix or None)


__all__ = ["TABLE", "NoCookies", "frame_admin", "frame_session", "register"]
