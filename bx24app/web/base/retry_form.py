"""The form with which a page that could not be shown now asks for itself again, with what the portal's page posted.

A frame cannot simply be reloaded: a browser asks the person before it posts again. `errors` puts the form into the
pages of 429 and 503, and `static/js/retry.js` sends it.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import request

FIELD = "retries"
MAX_RETRIES = 20
"""After these the page waits for a press of its button."""
FIRST_SECONDS, LONGEST_SECONDS = 3, 20
_MAX_FIELDS, _MAX_LETTERS = 100, 65536


@dataclass(frozen=True, slots=True)
class RetryForm:
    """`fields`: as they were posted, and the count of retries. `seconds`: when to send it; None: not by itself."""

    action: str
    method: str
    fields: list[tuple[str, str]]
    seconds: int | None


def build_retry_form() -> RetryForm | None:
    """The form for the present request; None: it posted too much to be sent again."""
    posted = list(request.form.items(multi=True)) if request.method == "POST" else list(request.args.items(multi=True))
    fields = [(name, value) for name, value in posted if name != FIELD]
    if len(fields) > _MAX_FIELDS or sum(len(name) + len(value) for name, value in fields) > _MAX_LETTERS:
        return None
    count = request.values.get(FIELD, "0")
    retries = int(count) if count.isascii() and count.isdecimal() and len(count) < 4 else 0
    seconds = min(FIRST_SECONDS + retries, LONGEST_SECONDS) if retries < MAX_RETRIES else None
    is_post = request.method == "POST"
    action = request.full_path.rstrip("?") if is_post else request.path
    return RetryForm(action, "post" if is_post else "get", [*fields, (FIELD, str(retries + 1))], seconds)
