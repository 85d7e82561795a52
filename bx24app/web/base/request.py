"""The request class of the application: every bound in bytes has one in pieces, and both depend on who is known.

Forms are counted before they are parsed. A request without a signed session is small: its caller is proven by the body.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Request, current_app
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.datastructures import ImmutableMultiDict, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.utils import cached_property

from bx24app.infra.http_front.admission import LARGE_BODY_BYTES, SMALL_BODY_BYTES

HEADER = "X-Frame-Session"
MAX_FIELDS, MAX_FIELDS_OF_SESSION = 1000, 20_000
"""The rules page sends its whole draft, the mapping three fields for each employee."""
_FORM_TYPE = "application/x-www-form-urlencoded"


def is_plain_encoding(content_encoding: str) -> bool:
    """Is the body as it is? No other encoding is understood: such a body is refused with 415."""
    return content_encoding.strip().lower() in ("", "identity")


def byte_limit(secret_key: str, path: str, header: Callable[[str], str]) -> int:
    """How long a body may be, from the head alone. Only a page with a session that we signed may send a large one."""
    if path.startswith("/frame/") and _is_signed(secret_key, header(HEADER.lower())):
        return LARGE_BODY_BYTES
    return SMALL_BODY_BYTES


def _is_signed(secret_key: str, claim: str) -> bool:
    """Whatever its age: the view refuses an old one, and the page then renews it by itself."""
    if not claim:
        return False
    try:
        URLSafeTimedSerializer(secret_key, salt="bx24app.frame").loads(claim)
    except BadData:
        return False
    return True


class BoundedRequest(Request):
    """Bounds a body by what its head says, and counts the fields of a form before it is parsed."""

    @property
    def max_content_length(self) -> int | None:
        """A view may set another one."""
        if self._max_content_length is None and current_app:
            secret = current_app.config["SECRET_KEY"]
            self._max_content_length = byte_limit(secret, self.path, lambda name: self.headers.get(name, ""))
        return self._max_content_length

    @max_content_length.setter
    def max_content_length(self, value: int | None) -> None:
        self._max_content_length = value

    @cached_property
    def args(self) -> MultiDict[str, str]:
        """The fields of the address. NUL, which PostgreSQL's text cannot hold, reads as U+FFFD: no row has either."""
        fields = super().args
        if b"%00" not in self.query_string:
            return fields
        return ImmutableMultiDict((name, text.replace("\0", "\ufffd")) for name, text in fields.items(multi=True))

    def _load_form_data(self) -> None:
        """Raises RequestEntityTooLarge: more bytes or fields than this request may have; UnsupportedMediaType."""
        if "form" in self.__dict__:
            return
        if not is_plain_encoding(self.headers.get("Content-Encoding", "")):
            raise UnsupportedMediaType
        self.max_form_parts = MAX_FIELDS_OF_SESSION if self.max_content_length == LARGE_BODY_BYTES else MAX_FIELDS
        is_form = self.mimetype == _FORM_TYPE
        if is_form and self.get_data(cache=True, parse_form_data=False).count(b"&") >= self.max_form_parts:
            raise RequestEntityTooLarge
        super()._load_form_data()
