"""Whether a recording may be asked for before Mango has said that its file is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from flask import Flask

from bx24app.calls.recordings import unconfirmed
from bx24app.calls.recordings.attempts import Attempt
from bx24app.calls.recordings.download import RecordingSource
from bx24app.calls.recordings.outcomes import FailedTry, Postponed
from bx24app.infra.runtime import runtime
from bx24app.models import utcnow
from bx24app.models.problem_codes import RecordingProblem

NOT_FOUND = FailedTry("not found", 60.0, is_not_yet=True)


def attempt(pbx_id: int = 7, age: float = 20.0) -> Attempt:
    now = utcnow()
    return Attempt(
        id=1, portal_id=1, source=RecordingSource("r", None, "key", "salt", pbx_id), bitrix_call_id="x",
        is_upload_uncertain=False, tries=0, file_name="a.mp3", noticed_at=now - timedelta(seconds=age), claimed_at=now,
        spool_file=Path("a"), is_unconfirmed=True,
    )  # fmt: skip


def test_a_pbx_that_was_too_slow_once_gets_a_minute(app: Flask) -> None:
    assert unconfirmed.wait_for_file(attempt()) is None
    unconfirmed.remember_answer(attempt(), NOT_FOUND)
    wait = unconfirmed.wait_for_file(attempt(age=20.0))
    assert isinstance(wait, Postponed)
    assert 30 < wait.seconds <= 40
    assert wait.code == RecordingProblem.UNCONFIRMED
    assert unconfirmed.wait_for_file(attempt(age=61.0)) is None
    assert unconfirmed.wait_for_file(attempt(pbx_id=8)) is None, "another PBX"
    assert unconfirmed.wait_for_file(replace(attempt(), is_unconfirmed=False)) is None, "Mango said that it is there"


def test_other_failures_teach_nothing(app: Flask) -> None:
    unconfirmed.remember_answer(replace(attempt(), is_unconfirmed=False), NOT_FOUND)
    unconfirmed.remember_answer(attempt(), FailedTry("broke off"))
    unconfirmed.remember_answer(attempt(), None)
    assert unconfirmed.wait_for_file(attempt()) is None


def test_without_redis_nothing_waits(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime(), "_redis", redis.Redis(port=1, socket_connect_timeout=0.1, retry=None))
    unconfirmed.remember_answer(attempt(), NOT_FOUND)
    assert unconfirmed.wait_for_file(attempt()) is None
