"""Scripts and styles under an address that holds their hash, so that browsers keep them for ever; compressed once a process.

Relative imports between ES modules keep working, since the hash is a folder of the path, not a parameter.
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
    """One hash over all files that pages load."""
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
    """One file. An old version's address gives the present file: a page of a moment ago must not break."""
    path = safe_join(str(current_app.static_folder), name)
    if path is None or not os.path.isfile(path):  # a name too long for the disk is no file either
        raise NotFound
    kind = _MIME_TYPES.get(Path(path).suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    packed = kind.startswith(_COMPRESSIBLE_TYPES) and "gzip" in request.headers.get("Accept-Encoding", "")
    response = Response(_read_content(path, Path(path).stat().st_mtime_ns, packed), mimetype=kind)
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


@lru_cache(maxsize=128)
def _read_content(path: str, changed: int, packed: bool) -> bytes:
    content = Path(path).read_bytes()
    return gzip.compress(content, 9, mtime=0) if packed else content
