"""Bounds of what portals and authorisation servers answer: in bytes, in pieces and in seconds.

`transport` and `oauth` read and parse every answer here. An over-large answer is `AnswerTooLarge`: the request counts
as executed with an unknown effect, and only that portal waits. Of large answers a process parses one at a time.
"""

from __future__ import annotations

import time
from typing import Any, Final

import requests

from bx24app.bitrix24.errors import AnswerLost, AnswerTooLarge
from bx24app.bitrix24.request_deadline import seconds_left
from bx24app.domain.json_pieces import AnswerBounds, count_pieces, parse_json

TOTAL_TIMEOUT: Final = 75.0
"""Seconds for a whole answer, so that bytes that drip in do not hold a thread."""
_READ_SIZE: Final = 64 * 1024


COMMAND_BOUNDS: Final = AnswerBounds(1024 * 1024, 50_000)
PAGE_BOUNDS: Final = AnswerBounds(4 * 1024 * 1024, 150_000)
"""Of a batch, or of a page of 50 rows."""


def bounds_of(method: str) -> AnswerBounds:
    """The bounds for this REST method: batches and lists may answer more than commands."""
    is_page = method == "batch" or method.endswith((".list", ".get"))
    return PAGE_BOUNDS if is_page else COMMAND_BOUNDS


def read_bounded(response: requests.Response, bounds: AnswerBounds, peer: str = "the portal") -> bytes:
    """The body of an answer whose head has come.

    Raises:
        AnswerTooLarge: it is larger. AnswerLost: it takes too long.
    """
    parts, size, deadline = [], 0, time.monotonic() + seconds_left(TOTAL_TIMEOUT)
    # read1 returns what has arrived; read would wait for 64 KB, past the deadline if bytes come now and then.
    while part := response.raw.read1(_READ_SIZE, decode_content=True):
        size += len(part)
        if size > bounds.max_bytes:
            raise AnswerTooLarge(f"the answer of {peer} is over-large: more than {bounds.max_bytes} bytes")
        if time.monotonic() > deadline:
            raise AnswerLost(f"the answer of {peer} takes too long")
        parts.append(part)
    return b"".join(parts)


def parse_bounded(content: bytes, bounds: AnswerBounds, peer: str = "the portal") -> Any:
    """The parsed JSON; None if it is no JSON.

    Raises:
        AnswerTooLarge: it has too many pieces.
    """
    if count_pieces(content) > bounds.max_pieces:
        raise AnswerTooLarge(f"the answer of {peer} is over-large: more than {bounds.max_pieces} pieces")
    return parse_json(content)
