"""Recordings of which Mango has said that they ended, and not yet that the file is there (`events/record/added`).

The fold lets them wait for a moment (`fold.recording_rows`). A PBX that then answered "not found" needs longer than
that to store a file: its next ones wait for the minute that Mango advises (D26, 3.5), since each wrong question stops
all questions of the key for two minutes. Kept in Redis; without it nothing waits.
"""

from __future__ import annotations

from datetime import timedelta

import redis

from bx24app.calls.fold.recording_rows import NOT_STORED_YET
from bx24app.calls.recordings.attempts import Attempt
from bx24app.calls.recordings.outcomes import NOT_YET_RETRY_SECONDS, FailedTry, Failure, Postponed
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import utcnow
from bx24app.models.problem_codes import RecordingProblem

_log = get_logger(__name__)

MEMORY = timedelta(days=1)
"""How long a PBX counts as one that needs its time."""


def wait_for_file(attempt: Attempt) -> Postponed | None:
    """Until when this recording waits; None: it may be asked for."""
    if not attempt.is_unconfirmed or attempt.noticed_at is None:
        return None
    seconds = NOT_YET_RETRY_SECONDS - (utcnow() - attempt.noticed_at).total_seconds()
    try:
        if seconds <= 0 or not runtime().redis.exists(_name(attempt)):
            return None
    except redis.RedisError as error:
        _log.warning("late recordings not known, redis away", error=type(error).__name__)
        return None
    return Postponed(NOT_STORED_YET, seconds, RecordingProblem.UNCONFIRMED)


def remember_answer(attempt: Attempt, failure: Failure | None) -> None:
    """What came of asking for a recording too early, perhaps."""
    if not attempt.is_unconfirmed or not isinstance(failure, FailedTry) or not failure.is_not_yet:
        return
    try:
        runtime().redis.set(_name(attempt), 1, ex=MEMORY)
    except redis.RedisError as error:
        _log.warning("late recording not noted, redis away", error=type(error).__name__)


def _name(attempt: Attempt) -> str:
    return f"late_recordings:{attempt.source.pbx_id}"
