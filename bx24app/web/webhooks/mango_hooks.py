"""`/mango`: receives the notifications of PBXs and hands them to `bx24app.calls.inbox.receiver.receive`.

A hook address has two forms (contract, section 5): the hook key is the first path segment, or the parameter `pbx`.
Mango appends its suffix to the path, or to the value of the parameter.
"""

from __future__ import annotations

import time
from io import BytesIO
from urllib.parse import parse_qsl

from flask import Blueprint, Response, request
from flask_babel import gettext
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import NotFound, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.formparser import FormDataParser
from werkzeug.routing import PathConverter

from bx24app.calls.inbox import receiver
from bx24app.infra.encryption import UndecryptableSecret
from bx24app.infra.http_front.admission import ADMITTED
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import db
from bx24app.web.base.request import is_plain_encoding
from bx24app.web.monitoring import ack_latency
from bx24app.web.webhooks.admission import is_known_hook
from bx24app.web.webhooks.hook_addresses import refusal_status, split_address

blueprint = Blueprint("mango_hooks", __name__)
RETRY_AFTER_SECONDS = 10
DATABASE_WAIT_SECONDS, RETRY_PAUSES = 6.0, (0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 0.0)
"""How long, and with which pauses, a notification waits for a database that restarts, in seconds. Mango repeats
nothing, so an early 503 loses it."""
_FORM_TYPE = "application/x-www-form-urlencoded"
_STATUS_TEXTS = {200: "OK", 403: "Forbidden", 404: "Not found", 429: "Too many requests", 503: "Try again later"}
_log = get_logger(__name__)


class PathRestConverter(PathConverter):
    """The rest of a path, doubled slashes included. Flask would answer those with a redirect, which a PBX does not
    follow."""

    regex = ".*?"
    part_isolating = False


@blueprint.post("", strict_slashes=False)
@blueprint.post("/<rest:path>", strict_slashes=False, merge_slashes=False)
def receive_notification(path: str = "") -> Response:
    """One notification of a PBX."""
    started = time.perf_counter()
    try:
        return _handle_notification(path)
    finally:
        ack_latency.record_latency(time.perf_counter() - started)


def _handle_notification(path: str) -> Response:
    _check_head()
    query = request.args.to_dict()
    key, suffix = split_address(path, query)
    query.pop("pbx", None)
    if not request.environ.get(ADMITTED):
        refusal = refusal_status(key, request.remote_addr or "")
        if refusal is None and not is_known_hook(runtime(), key):
            refusal = 404
        if refusal:
            return _status_response(refusal)
    body = _read_body()
    kind, started = request.mimetype, time.monotonic()
    form = _parse_form(kind, body)
    for pause in RETRY_PAUSES:
        status = _store_notification(key, suffix, kind, form, body, query)
        if status != 503 or time.monotonic() - started + pause > DATABASE_WAIT_SECONDS:
            break
        time.sleep(pause)
    return _status_response(status)


def _store_notification(
    key: str, suffix: str, kind: str, form: dict[str, str] | None, body: bytes, query: dict[str, str]
) -> int:
    try:
        return receiver.receive(key, suffix, kind, form, body, query)
    # UndecryptableSecret: the operator's keys do not fit the stored salt
    except (SQLAlchemyError, UndecryptableSecret) as error:
        db.session.rollback()
        _log.error(
            "notification not stored, the database does not answer or cannot be read", error=type(error).__name__
        )
        return 503


@blueprint.get("", strict_slashes=False)
@blueprint.get("/<rest:path>", strict_slashes=False, merge_slashes=False)
def explain_address(path: str = "") -> Response:
    """For a person who opened the hook address in a browser: say what it is for, and nothing else."""
    key, _ = split_address(path, request.args)
    refusal = refusal_status(key, request.remote_addr or "")
    if refusal:
        return _status_response(refusal)
    try:
        is_known = bool(key) and receiver.find_hook(key) is not None
    except (SQLAlchemyError, UndecryptableSecret):
        return _status_response(503)
    if not is_known:
        raise NotFound
    text = gettext("This address is for Mango Office's notifications. Paste it into the API connector of your PBX.")
    return Response(text + "\n", mimetype="text/plain")


def _check_head() -> None:
    """What can be refused before a body is read, and before anybody is asked.

    Raises:
        RequestEntityTooLarge
        UnsupportedMediaType: it is compressed; a PBX never does that.
    """
    if not is_plain_encoding(request.headers.get("Content-Encoding", "")):
        raise UnsupportedMediaType
    if (request.content_length or 0) > receiver.LIMIT_BYTES:
        raise RequestEntityTooLarge


def _read_body() -> bytes:
    """The body, at most 256 KiB. One without a Content-Length is refused as soon as it is too long.

    Raises:
        RequestEntityTooLarge
    """
    request.max_content_length = receiver.LIMIT_BYTES + 1
    body = request.stream.read(receiver.LIMIT_BYTES + 1)
    if len(body) > receiver.LIMIT_BYTES:
        raise RequestEntityTooLarge
    return body


def _parse_form(kind: str, body: bytes) -> dict[str, str] | None:
    """The form's fields, the first value of each name; None: the body is not a form."""
    if kind == "multipart/form-data":
        options = request.mimetype_params
        pairs = FormDataParser(silent=True).parse(BytesIO(body), kind, len(body), options)[1].items(multi=True)
    elif kind == _FORM_TYPE or not kind:
        pairs = iter(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    else:
        return None
    form: dict[str, str] = {}
    for name, value in pairs:
        form.setdefault(name, value)
    return form


def _status_response(status: int) -> Response:
    response = Response(_STATUS_TEXTS.get(status, ""), status, mimetype="text/plain")
    if status in (429, 503):
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
