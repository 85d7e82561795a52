"""Calls the WSGI application (PEP 3333) for one complete request, in a thread, and hands its answer on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any

import structlog

from bx24app.infra.http_front.admission import ADMITTED, RequestHead
from bx24app.infra.http_front.responses import (
    IN_MEMORY_BYTES,
    SPOOLED_BYTES,
    Response,
    ResponseFile,
    plain_response,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = structlog.get_logger(__name__)
Deliver = Callable[[Response], None]


def make_environ(head: RequestHead, body: bytes, server: tuple[str, int], admitted: bool) -> dict[str, Any]:
    """The environment of a request.

    A header whose name has an underscore is left out, since it could pass for another one.
    """
    environ: dict[str, Any] = {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": head.path,
        "QUERY_STRING": head.query,
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": head.peer,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        ADMITTED: admitted,
    }
    for name, value in head.headers:
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = f"{environ[key]}, {value}" if key in environ else value
    if body or "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
    return environ


def call_application(application: WSGIApplication, environ: dict[str, Any], deliver: Deliver) -> None:
    """Run the application to its end and deliver its answer, once; 500 if it raises before the answer began."""
    answer: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], error: Any = None) -> Callable[[bytes], object]:
        answer[:] = [status, headers]
        return written.append

    written: list[bytes] = []
    file: ResponseFile | None = None
    try:
        iterable = application(environ, start_response)
        try:
            file = _collect(iterable, written, lambda file: deliver(Response(answer[0], answer[1], file)))
        finally:
            close = getattr(iterable, "close", None)
            if close is not None:
                close()
        if file is None:
            deliver(Response(answer[0], answer[1], b"".join(written)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other side gets an answer
        _log.error("application failed", path=environ["PATH_INFO"], exc_info=error)
        if file is None:
            deliver(plain_response(500))


def _collect(
    iterable: Iterable[bytes], written: list[bytes], deliver: Callable[[ResponseFile], None]
) -> ResponseFile | None:
    """The whole body into `written`; a long one into a file, which is delivered as soon as it is one."""
    size, chunks = sum(map(len, written)), iter(iterable)
    for chunk in chunks:
        written.append(chunk)
        size += len(chunk)
        if size > IN_MEMORY_BYTES:
            break
    else:
        return None
    file = ResponseFile()
    file.append(b"".join(written))
    written.clear()
    deliver(file)
    is_good = False
    try:
        for chunk in chunks:
            if file.is_abandoned or file.size + len(chunk) > SPOOLED_BYTES:
                break
            file.append(chunk)
        else:
            is_good = True
    except Exception as error:  # noqa: BLE001 - the answer has begun: it can only be cut off
        _log.error("answer cut off", exc_info=error)
    finally:
        file.finish(is_good)
    return file
