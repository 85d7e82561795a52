"""A recording's bytes from Mango: as a file in the spool on their way to the portal (`transfer`), as a stream for the
player of the pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from bx24app.bitrix24 import errors as portal_errors
from bx24app.calls.recordings import outcomes
from bx24app.calls.recordings.outcomes import FailedTry, Failure, Lost, Postponed
from bx24app.infra import circuit_breaker, mango_clients, spool
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.mango import errors as mango_errors
from bx24app.mango.audio import is_audio
from bx24app.mango.recording import RecordingDownload
from bx24app.portals import connections

_log = get_logger(__name__)

MAX_BYTES = 512 * 1024 * 1024
"""Bytes of the largest recording that is fetched: days of talk."""
MAX_DOWNLOAD_SECONDS = 600.0
"""How long one download may take: well below the time that a worker has a recording for itself
(`attempts.CLAIM_LIFETIME`)."""
_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class RecordingSource:
    """Where a recording comes from: its id with the PBX's key, or a direct link of the events dialect."""

    recording_id: str
    url: str | None
    api_key: str | None
    api_salt: str | None
    pbx_id: int | None = None


def fetch_to_spool(source: RecordingSource, file: Path) -> Failure | None:
    """Fetch the recording into `file`, unless the complete file is there already.

    Returns None when the file is there, else why it is not.
    """
    if spool.is_complete(file):
        return None
    breaker = circuit_breaker.of_pbx(source.pbx_id) if source.pbx_id else None
    state = breaker.read_state() if breaker else circuit_breaker.CircuitState()
    if breaker and state.is_tripped and (state.pause > 0 or not breaker.acquire_trial()):
        return Postponed("Mango has not answered lately", max(state.pause, 5.0))
    is_answered: bool | None = True
    try:
        with spool.write_complete(file) as stream:
            _write_recording(source, stream)
        return None
    except _Unusable as error:
        return error.failure
    except mango_errors.HostNotAllowed as error:
        # Mango's own redirect waits until the operator lists the host; an address in a notification is anybody's.
        return Lost(str(error)) if source.url else outcomes.from_unlisted_host(error)
    except mango_errors.MangoError as error:
        is_answered = outcomes.is_answer(error)
        return outcomes.from_mango_error(error)
    except OSError as error:
        return outcomes.from_spool_error(error)
    finally:
        if breaker and is_answered is False:
            breaker.record_failure()
        elif breaker and is_answered and state.failures:  # "there is no such recording" is an answer too
            breaker.record_success()


class _Unusable(Exception):
    """What came is no recording to keep."""

    def __init__(self, failure: FailedTry | Lost) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def _write_recording(source: RecordingSource, file: BinaryIO) -> None:
    size = 0
    with open_stream(source) as stream:
        for chunk in stream.iter_chunks(_CHUNK_BYTES, MAX_DOWNLOAD_SECONDS):
            if size == 0 and not is_audio(chunk):
                raise _Unusable(FailedTry("what came is no sound"))
            size += len(chunk)
            if size > MAX_BYTES:
                raise _Unusable(Lost(f"the recording is larger than {MAX_BYTES} bytes"))
            file.write(chunk)
    if not size:
        raise _Unusable(FailedTry("Mango gave an empty file"))


@contextmanager
def open_stream(
    source: RecordingSource, byte_range: str | None = None, play: bool = False
) -> Iterator[RecordingDownload]:
    """A recording's bytes from Mango.

    Args:
        byte_range: a `Range` header's value, for a player that jumps.
        play: ask Mango for the address for listening instead of the one for downloading.

    Raises:
        bx24app.mango.errors.MangoError
    """
    mango = mango_clients.build_client(source.api_key, source.api_salt)
    if source.url:
        stream = mango.open_url(source.url, check_url, byte_range=byte_range)
    else:
        stream = mango.open_recording(source.recording_id, check_url, byte_range=byte_range, play=play)
    with stream:
        yield stream


def check_url(url: str) -> None:
    """Recordings come from BX24APP_RECORDING_HOSTS only, redirects included.

    Raises:
        bx24app.mango.errors.HostNotAllowed: another host.
        bx24app.mango.errors.RequestRefused: an address that we do not connect to.
        bx24app.mango.errors.TemporaryFailure: the host's name cannot be resolved now.
    """
    host = (urlsplit(url).hostname or "").lower()
    if not is_allowed_host(host):
        _log.error("recording host not allowed", host=host, setting="BX24APP_RECORDING_HOSTS")
        raise mango_errors.HostNotAllowed(f"a recording is not fetched from {host}: not in BX24APP_RECORDING_HOSTS")
    try:
        connections.address_policy().check_url(url)
    except portal_errors.NeedsAdmin as error:
        raise mango_errors.RequestRefused(str(error)) from None
    except portal_errors.Later as error:
        raise mango_errors.TemporaryFailure(str(error)) from None


def is_allowed_host(host: str) -> bool:
    """Is this one of BX24APP_RECORDING_HOSTS?"""
    return any(_is_host_of(host, pattern.lower()) for pattern in runtime().config.recording_hosts)


def _is_host_of(host: str, pattern: str) -> bool:
    """`*.example.ru` stands for every name below example.ru."""
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
