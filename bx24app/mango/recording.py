"""A recording's file: from its id, or a direct link, to a stream of bytes. `MangoClient` uses it.

Mango answers with a redirect to an address that is valid for one access. It is followed at once by one GET without the
form, never by HEAD and never twice. Bytes are streamed, so that a whole file is never in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError

from bx24app.mango.answer_size import COMMAND_BOUNDS, iter_body, read_bounded
from bx24app.mango.audio import HEAD_BYTES, MP3, detect_format
from bx24app.mango.errors import RecordingNotReady, RequestRefused, ResourceNotFound, TemporaryFailure
from bx24app.mango.transport import MangoResponse, SignedTransport, parse_retry_after, raise_for_error

MAX_BYTES: Final = 512 * 1024 * 1024
"""Largest recording that is read. It holds more than a day of Mango's MP3."""
PLAYBACK_SECONDS: Final = 6 * 3600.0
"""A listener may pause and resume; nobody listens to one file for longer."""
_CHUNK_SIZE: Final = 64 * 1024
_MAX_REDIRECTS: Final = 5
_REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
_NOT_READY_STATUSES: Final = frozenset({202, 204, 403, 404, 410})
_RANGE_HEADER: Final = re.compile(r"bytes=\d*-\d*")
_NOT_AUDIO_TYPES: Final = re.compile(
    r"(text|image|font|multipart|message)/.*|application/(json|pdf|zip|gzip|javascript|.*xml.*)"
)
"""Content types that are not sound. A store may label sound so all the same: then its first bytes must be sound's."""


class RecordingDownload:
    """An open file. Use it in a ``with`` block and read it once with `iter_chunks`.

    `status` is 200, or 206 with `content_range` if a range was requested and granted.
    """

    def __init__(self, response: requests.Response, max_bytes: int = MAX_BYTES) -> None:
        self._response, self._max_bytes = response, max_bytes
        headers = response.headers
        self.status: int = response.status_code
        label = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        self.is_mislabelled = bool(_NOT_AUDIO_TYPES.fullmatch(label))
        """The label says that this is no sound. The bytes decide: see `iter_chunks`."""
        self.content_type: str = label if label and not self.is_mislabelled else MP3.content_type
        self.content_range: str | None = headers.get("Content-Range")
        self.accepts_ranges: bool = headers.get("Accept-Ranges", "").strip().lower() == "bytes" or self.status == 206
        length = headers.get("Content-Length", "")
        # The length of a compressed answer is not the length of what `iter_chunks` gives.
        self.size: int | None = int(length) if length.isdecimal() and "Content-Encoding" not in headers else None

    def __repr__(self) -> str:
        return f"<RecordingDownload {self.status} {self.content_type} {self.size}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._response.close()

    def iter_chunks(self, size: int = _CHUNK_SIZE, seconds: float = PLAYBACK_SECONDS) -> Iterator[bytes]:
        """The bytes in pieces of at least `size`, the last one excepted; all within `seconds`.

        Raises:
            TemporaryFailure: the connection broke off, bytes are missing at the end, or they came too slowly.
            RecordingNotReady: the label says that this is no sound, and so do the first bytes.
            RequestRefused: more than `max_bytes`.
        """
        read, buffer = 0, bytearray()
        is_checked = not self.is_mislabelled or self._begins_later
        try:
            for part in iter_body(self._response, seconds):
                read += len(part)
                if not is_checked and (len(buffer) + len(part) >= HEAD_BYTES):
                    is_checked = self._check_head(bytes(buffer) + part)
                if read > self._max_bytes:
                    raise RequestRefused(f"The recording is larger than {self._max_bytes} bytes.")
                if not buffer and len(part) >= size:
                    yield part
                    continue
                buffer += part
                if len(buffer) >= size:
                    yield bytes(buffer)
                    buffer.clear()
        except (requests.RequestException, HTTPError, OSError) as error:
            raise TemporaryFailure(f"The recording broke off after {read} bytes ({type(error).__name__}).") from None
        if not is_checked:
            self._check_head(bytes(buffer))
        if buffer:
            yield bytes(buffer)
        if self.size is not None and read != self.size:
            raise TemporaryFailure(f"The recording broke off after {read} of {self.size} bytes.")


    @property
    def _begins_later(self) -> bool:
        """Does a range of the file begin behind its first bytes?"""
        return self.content_range is not None and not self.content_range.replace(" ", "").startswith("bytes0-")

    def _check_head(self, first: bytes) -> bool:
        detected = detect_format(first)
        if detected is None:
            raise RecordingNotReady("A page came instead of the recording.", self.status)
        self.content_type = detected.content_type
        return True


def open_by_id(
    transport: SignedTransport,
    recording_id: str,
    admit: Callable[[str], None],
    byte_range: str | None,
    play: bool,
    max_bytes: int,
) -> RecordingDownload:
    """See `MangoClient.open_recording`."""
    path = "queries/recording/post"
    fields = {"recording_id": recording_id, "action": "play" if play else "download"}
    with transport.guard.question(is_alone=True):
        try:
            with transport.send(transport.session, path, fields) as response:
                location = response.headers.get("Location")
                body = b"" if response.status_code in _REDIRECT_STATUSES else read_bounded(response, COMMAND_BOUNDS)
                answer = MangoResponse(response.status_code, response.headers, body)
        except requests.RequestException as error:
            raise transport.classify_failure(path, error) from None
        transport.judge_key(answer)
    if answer.status in _REDIRECT_STATUSES and location:
        return open_by_url(transport, urljoin(transport.api_url + path, location), admit, byte_range, max_bytes)
    if answer.status in _REDIRECT_STATUSES | {202, 204}:
        raise RecordingNotReady("Mango has no file of the recording yet.", answer.status)
    raise_for_error(answer)
    raise RecordingNotReady("Mango gave no address of the recording.", answer.status)


def open_by_url(
    transport: SignedTransport, url: str, admit: Callable[[str], None], byte_range: str | None, max_bytes: int
) -> RecordingDownload:
    """See `MangoClient.open_url`."""
    for _ in range(_MAX_REDIRECTS + 1):
        admit(url)
        response = _request_file(transport, url, byte_range)
        location = response.headers.get("Location")
        if response.status_code not in _REDIRECT_STATUSES or not location:
            return _open_response(response, byte_range, max_bytes)
        response.close()
        url = urljoin(url, location)
    raise RequestRefused("The recording's address leads from one to the next without end.")


def _request_file(transport: SignedTransport, url: str, byte_range: str | None) -> requests.Response:
    # identity, so that lengths and ranges are those of the file itself
    headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
    if byte_range and _RANGE_HEADER.fullmatch(byte_range.strip()):
        headers["Range"] = byte_range.strip()  # any other value is not passed on, and the whole file comes
    try:
        return transport.session.get(
            url, headers=headers, timeout=transport.timeout, verify=transport.verify, allow_redirects=False, stream=True
        )
    except requests.RequestException as error:
        raise transport.classify_failure(f"recording at {urlsplit(url).hostname}", error) from None


def _open_response(response: requests.Response, byte_range: str | None, max_bytes: int) -> RecordingDownload:
    status = response.status_code
    if status in (200, 206):
        download = RecordingDownload(response, max_bytes)
        if download.size is not None and download.size > max_bytes:
            response.close()
            raise RequestRefused(f"The recording is larger than {max_bytes} bytes.")
        return download
    response.close()
    if status in _NOT_READY_STATUSES:
        raise RecordingNotReady("The recording's file is not there.", status)
    if status == 416 and byte_range:
        raise RequestRefused("The recording has no such range.", status)
    if status == 429 or status >= 500:
        raise TemporaryFailure(
            "The store of recordings asks to come later.", status, parse_retry_after(response.headers)
        )
    raise ResourceNotFound(f"The store of recordings answered with status {status}.", status)
