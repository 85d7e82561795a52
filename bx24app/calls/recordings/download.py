"""A recording's bytes from Mango: as a stream for the player, as a file in the spool for the portal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bx24app.bitrix24 import errors as portal_errors
from bx24app.infra import circuit_breaker
from bx24app.infra.runtime import runtime
from bx24app.mango import errors as mango_errors
from bx24app.mango.client import MangoClient
from bx24app.mango.recording import RecordingDownload, is_audio
from bx24app.models.problem_codes import RecordingProblem
from bx24app.portals import connections

MAX_BYTES = 512 * 1024 * 1024
"""Bytes of one recording at the most: days of talk."""

DISK_RETRY_SECONDS = 60.0
"""Until a recording for which the disk had no space is asked for again."""

BUSY_STATUS, BUSY_RETRY_SECONDS = 429, 10.0
"""Status by which Mango asks to slow down, and until when, where it does not say."""

MAX_DOWNLOAD_SECONDS = 600.0
"""One download at the most: well within the time for which a worker has the recording to itself (`errands.CLAIM`)."""


class RetryLater(Exception):
    """This try failed; the plan has a next one. `counts` False: it was the portal's state, not a try of the plan; `queued`: it was
    the portal's budget, for which others wait too."""

    def __init__(
        self, why: str, after_seconds: float | None = None, *, is_counted: bool = True, is_budget_wait: bool = False,
        code: RecordingProblem | None = None,
    ) -> None:
        super().__init__(why)
        self.after_seconds, self.is_counted, self.is_budget_wait = after_seconds, is_counted, is_budget_wait
        self.code = code


class Unrecoverable(Exception):
    """No further try can help."""


@dataclass(frozen=True, slots=True)
class RecordingSource:
    """Where a recording comes from: by its id with the PBX's key, or by a direct link of the short dialect."""

    recording_id: str
    url: str | None
    api_key: str | None
    api_salt: str | None
    pbx_id: int | None = None


def spool_path(row_id: int) -> Path:
    """The file of a recording's row."""
    return runtime().config.data_dir / "spool" / f"{row_id}.mp3"


@contextmanager
def open_stream(source: RecordingSource, byte_range: str | None = None, play: bool = False) -> Iterator[RecordingDownload]:
    """A recording's bytes from Mango, for the spool and for our own player.

    Raises:
        bx24app.mango.errors.MangoError
    """
    config = runtime().config
    mango = MangoClient(config.mango_api_url, source.api_key or "", source.api_salt or "", session=runtime().http_session)
    if source.url:
        download = mango.open_url(source.url, check_url, byte_range=byte_range)
    else:
        download = mango.open_recording(source.recording_id, check_url, byte_range=byte_range, play=play)
    with download:
        yield download


def check_url(url: str) -> None:
    """Recordings come from BX24APP_RECORDING_HOSTS only, redirects included.

    Raises:
        bx24app.mango.errors.Refused, Later (no such host)
    """
    config = runtime().config
    parts = urlsplit(url)
    if (parts.hostname or "").lower() not in {host.lower() for host in config.recording_hosts}:
        raise mango_errors.RequestRefused(f"a recording is not fetched from {parts.hostname}: not in BX24APP_RECORDING_HOSTS")
    try:
        connections.address_policy().check_url(url)
    except portal_errors.NeedsAdmin as error:
        raise mango_errors.RequestRefused(str(error)) from None
    except portal_errors.Later as error:
        raise mango_errors.TemporaryFailure(str(error)) from None


def fetch_to_spool(source: RecordingSource, spool: Path) -> None:
    """The file in the spool; a file that is already there is whole.

    Raises:
        NotNow, Hopeless
    """
    if spool.exists():
        return
    breaker = circuit_breaker.of_pbx(source.pbx_id) if source.pbx_id else None
    state = breaker.read_state() if breaker else circuit_breaker.CircuitState()
    if breaker and state.is_tripped and (state.pause > 0 or not breaker.acquire_trial()):
        raise RetryLater("Mango has not answered lately", max(state.pause, 5.0), is_counted=False)
    spool.parent.mkdir(parents=True, exist_ok=True)
    partial = spool.with_suffix(".part")
    answered = True
    try:
        if _write_partial(source, partial) == 0:
            raise RetryLater("Mango gave an empty file")
        partial.rename(spool)
    except mango_errors.RequestRefused as error:
        raise Unrecoverable(str(error)) from None
    except mango_errors.MangoError as error:
        answered = not isinstance(error, mango_errors.TemporaryFailure) or error.code == BUSY_STATUS
        # That others ask Mango too says nothing of this recording: no try of the plan is spent.
        after = getattr(error, "retry_after", None) or (BUSY_RETRY_SECONDS if error.code == BUSY_STATUS else None)
        raise RetryLater(str(error), after, is_counted=error.code != BUSY_STATUS) from None
    except OSError as error:
        # Our own disk says nothing of the recording: no try of the plan is spent, however long somebody takes to make space.
        raise RetryLater(f"the spool cannot be written: {error.strerror}", DISK_RETRY_SECONDS, is_counted=False, code=RecordingProblem.SPOOL) from None
    finally:
        partial.unlink(missing_ok=True)
        if breaker and not answered:
            breaker.record_failure()
        elif breaker and state.failures:  # "there is no such recording" is an answer too
            breaker.record_success()


def _write_partial(source: RecordingSource, partial: Path) -> int:
    size = 0
    with open_stream(source) as download, partial.open("wb") as file:
        for chunk in download.iter_chunks(256 * 1024, MAX_DOWNLOAD_SECONDS):
            if size == 0 and not is_audio(chunk):
                raise RetryLater("what came is no sound")
            size += len(chunk)
            if size > MAX_BYTES:
                raise Unrecoverable(f"the recording is larger than {MAX_BYTES} bytes")
            file.write(chunk)
    return size
