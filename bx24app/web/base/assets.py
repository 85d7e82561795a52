"""Scripts and styles, served under an address that contains their hash, so browsers cache them for ever.

Compressed once per process.

The hash is a folder of the path, not a parameter, so relative imports between ES modules keep working.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import os
from functools import lru_cache
from pathlib import Path

from flask import Blueprint, Response, current_app, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join

blueprint = Blueprint("assets", __name__)
_COMPRESSIBLE_TYPES = ("text/", "application/javascript", "application/json", "image/svg+xml")
_MIME_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@lru_cache(maxsize=4)
def hash_files(folder: str) -> str:
    """One hash over all files below `folder`."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def asset_url(name: str) -> str:
    """The address of a file below `static/`."""
    return url_for("assets.serve_file", version=hash_files(str(current_app.static_folder)), name=name)


@blueprint.get("/<version>/<path:name>")
def serve_file(version: str, name: str) -> Response:
    """One file.

    The address of an old version serves the current file, so a page that is already open does not break.
    """
    path = safe_join(str(current_app.static_folder), name)
    if path is None or not os.path.isfile(path):  # also for a name too long for the file system
        raise NotFound
    mime_type = _MIME_TYPES.get(Path(path).suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    is_packed = mime_type.startswith(_COMPRESSIBLE_TYPES) and "gzip" in request.headers.get("Accept-Encoding", "")
    response = Response(_read_content(path, Path(path).stat().st_mtime_ns, is_packed), mimetype=mime_type)
    if is_packed:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


@lru_cache(maxsize=128)
def _read_content(path: str, changed_ns: int, is_packed: bool) -> bytes:
    content = Path(path).read_bytes()
    return gzip.compress(content, 9, mtime=0) if is_packed else content
