"""Exceptions -> pages or JSON, once, for all routes. No traceback and no inner word ever leaves; what was unexpected is logged with its own."""

from __future__ import annotations

from flask import Flask, Response, make_response, render_template, request
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from bx24app.bitrix24 import errors as portal_errors
from bx24app.infra.logs import log
from bx24app.models import db
from bx24app.web.base.guards import NotAdministrator
from bx24app.web.base.session import NoSession

_log = log(__name__)
_MACHINES = ("/bitrix24/", "/mango", "/readyz", "/metrics")


def register(app: Flask) -> None:
    """Hang all handlers on the app."""
    app.register_error_handler(NoSession, _no_session)
    app.register_error_handler(NotAdministrator, _not_administrator)
    app.register_error_handler(HTTPException, _http)
    for silent in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(silent, _database)
    app.register_error_handler(portal_errors.PortalError, _portal)
    app.register_error_handler(Exception, _unexpected)


def page(kind: str, status: int, **facts: object) -> Response:
    """One of the error pages (`templates/errors/page.html` says what each `kind` reads); a part of a page where htmx asks, words for machines."""
    if request.path.startswith(_MACHINES):
        response = make_response(f"{kind}\n", status)
        response.mimetype = "text/plain"
    else:
        template = "errors/part.html" if request.headers.get("HX-Request") else "errors/page.html"
        response = make_response(render_template(template, kind=kind, **facts), status)
    response.headers["X-Error"] = kind
    if status == 503:
        response.headers["Retry-After"] = "10"
    return response


def _no_session(error: NoSession) -> Response:
    return page("session", 401)


def _not_administrator(error: NotAdministrator) -> Response:
    return page("administrator", 403)


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    if error.response is not None or status < 400:
        return Response(status=status) if error.response is None else make_response(error.get_response())
    kinds = {404: "missing", 405: "missing", 413: "large", 503: "later"}
    return page(kinds.get(status, "request" if status < 500 else "fault"), status)


def _database(error: SQLAlchemyError) -> Response:
    db.session.rollback()
    _log.error("the database does not answer", path=request.path, error=type(error).__name__, exc_info=error)
    return page("later", 503)


def _portal(error: portal_errors.PortalError) -> Response:
    db.session.rollback()
    _log.warning("the portal cannot be asked", path=request.path, error=str(error))
    if isinstance(error, portal_errors.NeedsAdmin):
        return page("portal_refuses", 403, code=error.code)
    return page("portal_silent", 503)


def _unexpected(error: Exception) -> Response:
    db.session.rollback()
    _log.error("a page failed", path=request.path, error=type(error).__name__, exc_info=error)
    return page("fault", 500)
