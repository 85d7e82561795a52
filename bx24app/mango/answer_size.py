"""Bounds of what Mango answers: in bytes, in pieces and in seconds. `transport` reads every answer here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import requests
from urllib3.exceptions import HTTPError

from bx24app.domain.json_pieces import AnswerBounds, count_pieces

TOTAL_TIMEOUT: Final = 120.0
"""Seconds for a whole answer, so that one that trickles in does not hold a thread."""
_CHUNK_SIZE: Final = 256 * 1024
"""Bytes of a file that one read asks for. With 64 KiB a recording of 200 MB took half as long again."""


COMMAND_BOUNDS: Final = AnswerBounds(1024 * 1024, 50_000)
LIST_BOUNDS: Final = AnswerBounds(8 * 1024 * 1024, 500_000)
"""Of all employees, groups or lines: Mango has no pages for them."""
STATISTICS_BOUNDS: Final = AnswerBounds(16 * 1024 * 1024, 1_000_000)
"""Of a page of statistics: 5000 entries have about 10 MB."""


class OverLargeAnswer(requests.ConnectionError):
    """The answer has too many bytes or pieces."""


def read_bounded(response: requests.Response, bounds: AnswerBounds) -> bytes:
    """The body, read within `TOTAL_TIMEOUT` seconds.

    Raises:
        OverLargeAnswer: it is larger. requests.ConnectionError: it takes longer.
    """
    parts, size = [], 0
    for part in iter_body(response, TOTAL_TIMEOUT):
        size += len(part)
        if size > bounds.max_bytes:
            raise OverLargeAnswer("its answer is over-large")
        parts.append(part)
    content = b"".join(parts)
    if count_pieces(content) > bounds.max_pieces:
        raise OverLargeAnswer("its answer is over-large")
    return content


def iter_body(response: requests.Response, seconds: float) -> Iterator[bytes]:
    """The body in pieces, as they arrive. A peer that sends a byte now and then cannot hold the thread for longer than
    `seconds`.

    Raises:
        requests.ConnectionError: the connection broke off, or the body takes longer.
    """
    until = time.monotonic() + seconds
    try:
        while part := response.raw.read1(_CHUNK_SIZE, decode_content=True):
            if time.monotonic() > until:
                raise requests.ConnectionError("the answer takes too long")
            yield part
    except (HTTPError, OSError) as error:
        if isinstance(error, requests.RequestException):
            raise
        raise requests.ConnectionError(error) from None
