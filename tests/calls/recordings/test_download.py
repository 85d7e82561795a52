"""A full disk of our own: refused by the kernel itself, and no try of the plan is spent."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask

from bx24app.calls.recordings import download, outcomes
from bx24app.calls.recordings.outcomes import FailedTry, Postponed
from bx24app.infra import circuit_breaker
from bx24app.infra.runtime import runtime
from bx24app.mango import errors
from bx24app.models.problem_codes import RecordingProblem
from tests.security.test_recordings import Download


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow: write(2) fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_spends_no_try(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, file, asked = download.RecordingSource("r", None, "key", "salt"), tmp_path / "1.mp3", []

    def open_stream(*_: object) -> Download:
        asked.append(1)
        return Download(b"ID3", b"sound")

    monkeypatch.setattr(download, "open_stream", open_stream)
    with full_disk():
        failure = download.fetch_to_spool(source, file)
    assert not asked, "Mango is not asked for what cannot be written"
    assert isinstance(failure, Postponed)
    assert "spool cannot be written" in failure.reason
    assert (failure.seconds, failure.code) == (outcomes.SPOOL_RETRY_SECONDS, RecordingProblem.SPOOL)
    assert list(tmp_path.glob("1.*")) == []
    assert download.fetch_to_spool(source, file) is None
    assert file.read_bytes() == b"ID3sound"


@pytest.mark.parametrize(
    ("met", "counts", "after"),
    [
        (errors.RecordingNotReady("no file yet", 3320), True, outcomes.NOT_YET_RETRY_SECONDS),
        (errors.KeyLocked(90.0, 401), False, 90.0),
        (errors.ResourceNotFound("no such recording", 404), True, None),
        (errors.NotPermitted("an option is off", 5201), True, None),
        (errors.TemporaryFailure("Mango asks to slow down", 429), False, outcomes.MANGO_BUSY_RETRY_SECONDS),
        (errors.TemporaryFailure("Mango asks to slow down", 429, 7.0), False, 7.0),
    ],
)
def test_an_answer_closes_the_circuit_whatever_it_says(
    app: Flask,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    met: errors.MangoError,
    counts: bool,
    after: float | None,
) -> None:
    """Or one recording after the other would wait for a trial of 45 s, though Mango is there."""
    source, one = download.RecordingSource("r", None, "key", "salt", 7), circuit_breaker.of_pbx(7)
    for _ in range(circuit_breaker.FAILURE_THRESHOLD):
        one.record_failure()
    runtime().redis.hset("circuit:pbx:7", "until", 0)

    def says(error: Exception) -> None:
        def ask(*_: object) -> None:
            raise error

        monkeypatch.setattr(download, "open_stream", ask)

    says(met)
    failure = download.fetch_to_spool(source, tmp_path / "1.mp3")
    assert type(failure) is (FailedTry if counts else Postponed)
    assert failure is not None
    assert failure.reason == str(met)
    assert (failure.retry_after if isinstance(failure, FailedTry) else failure.seconds) == after
    assert one.read_state() == circuit_breaker.CircuitState()
    says(errors.TemporaryFailure("Mango did not answer"))
    assert isinstance(download.fetch_to_spool(source, tmp_path / "1.mp3"), FailedTry)
    assert one.read_state().failures == 1
