"""`/mango`: receives the notifications of PBXs and hands them to `bx24app.calls.inbox.receiver.receive`.

A hook address has two forms (contract, section 5): the hook key is the first path segment, or the parameter `pbx`.
Mango appends its suffix to the path, or to the value of the parameter.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import parse_qsl

from flask import Blueprint, Response, request
from flask_babel import gettext
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import NotFound, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.routing import PathConverter

from bx24app.calls.inbox import receiver
from bx24app.infra import rate_limit
from bx24app.infra.encryption import UndecryptableSecret
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import db
from bx24app.web.monitoring import ack_latency

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


def split_address(path: str, query: Mapping[str, str]) -> tuple[str, str]:
    """Hook key and suffix of a request below `/mango`; a path segment is a hook key only if there is no `pbx`.

    >>> split_address("KEY/events/call", {})
    ('KEY', 'events/call')
    >>> split_address("events/call", {"pbx": "KEY"}), split_address("", {"pbx": "KEY/events/call"})
    (('KEY', 'events/call'), ('KEY', 'events/call'))
    """
    pieces = [piece for piece in path.split("/") if piece]
    in_parameter = [piece for piece in query.get("pbx", "").split("/") if piece]
    if "pbx" in query:
        return (in_parameter[0], "/".join([*pieces, *in_parameter[1:]])) if in_parameter else ("", "")
    return (pieces[0], "/".join(pieces[1:])) if pieces else ("", "")


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
    body = _read_body()
    query = request.args.to_dict()
    key, suffix = split_address(path, query)
    query.pop("pbx", None)
    refusal = _refusal_status(key)
    if refusal:
        return _status_response(refusal)
    kind, started = request.mimetype, time.monotonic()
    form = _parse_form(kind, body)
    for pause in RETRY_PAUSES:
        status = _store_notification(key, suffix, kind, form, body, query)
        if status != 503 or time.monotonic() - started > DATABASE_WAIT_SECONDS:
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
    refusal = _refusal_status(key)
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


def _refusal_status(key: str) -> int | None:
    """The status for a sender who is refused whatever the notification says: 403 for a foreign network, 429 for a
    flood; None: go on."""
    sender = _sender_address()
    networks = runtime().config.mango_addresses
    if networks and not any(sender in network for network in networks):
        _log.warning("notification from a network that is not in BX24APP_MANGO_ADDRESSES", address=str(sender))
        return 403
    if rate_limit.is_over_limit(key, str(sender)):
        _log.warning("too many notifications", address=str(sender))
        return 429
    return None


def _sender_address() -> IPv4Address | IPv6Address:
    """The client's address, behind as many proxies as the configuration says. A mapped IPv4 address counts as that IPv4
    address."""
    return _parse_address(request.remote_addr or "")


@lru_cache(maxsize=1024)
def _parse_address(text: str) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:  # a unix socket, or a proxy that wrote nonsense: an address that no network allows
        return IPv6Address(0)
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def _read_body() -> bytes:
    """The body, at most 256 KiB. One without a Content-Length is refused as soon as it is too long.

    Raises:
        RequestEntityTooLarge
    """
    if (request.content_length or 0) > receiver.LIMIT_BYTES:
        raise RequestEntityTooLarge
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
