"""What follows from what became of a try: which errors spend one, when the next one comes, when a recording is lost."""

from __future__ import annotations

import pytest

from bx24app.bitrix24 import errors as portal_errors
from bx24app.calls.recordings import outcomes
from bx24app.calls.recordings.outcomes import BudgetWait, FailedTry, Failure, Lost, Postponed
from bx24app.mango import errors as mango_errors
from bx24app.models.problem_codes import RecordingProblem

PLAN = (0, 10, 60)
NO_SPACE, NO_RIGHTS = portal_errors.NeedsAdmin("disk", "no space"), portal_errors.NeedsAdmin("rights", "no")
GONE = portal_errors.Gone("removed")
USED_UP = portal_errors.NotSent("used up", 2.0, is_rate_limited=True, is_budget_used_up=True)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (NO_SPACE, Postponed(outcomes.DISK_FULL, 900, RecordingProblem.PORTAL_DISK)),
        (NO_RIGHTS, Postponed("no", 60, blocking_error=NO_RIGHTS)),
        (GONE, Postponed("removed", 3600, blocking_error=GONE)),
        (USED_UP, BudgetWait("used up", 2.0, RecordingProblem.PORTAL_BUDGET)),
        (portal_errors.NotSent("limit", None, is_rate_limited=True), BudgetWait("limit", None)),
        (portal_errors.AnswerLost("timed out"), FailedTry("timed out")),
        (portal_errors.Refused("413", "too large"), FailedTry("the portal refused the recording: 413: too large")),
    ],
)
def test_what_the_portal_answers(error: portal_errors.PortalError, failure: Failure) -> None:
    assert outcomes.from_portal_error(error) == failure


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (mango_errors.RequestRefused("another host"), Lost("another host")),
        (mango_errors.RecordingNotReady("no file yet", 3320), FailedTry("no file yet", 60.0, is_not_yet=True)),
        (mango_errors.RecordingNotReady("no file yet", 202), FailedTry("no file yet", 60.0, is_not_yet=True)),
        (mango_errors.RecordingNotReady("the link was used", 404), FailedTry("the link was used")),
        (mango_errors.KeyLocked(90.0, 401), Postponed(str(mango_errors.KeyLocked(90.0)), 90.0)),
        (mango_errors.QuestionPostponed(30.0), Postponed(str(mango_errors.QuestionPostponed(30.0)), 30.0)),
        (mango_errors.TemporaryFailure("maintenance", 503, 30.0), FailedTry("maintenance", 30.0)),
        (mango_errors.TemporaryFailure("slow down", 429, 7.0), Postponed("slow down", 7.0)),
    ],
)
def test_what_mango_answers(error: mango_errors.MangoError, failure: Failure) -> None:
    assert outcomes.from_mango_error(error) == failure


@pytest.mark.parametrize(
    ("failure", "tries", "seconds"),
    [
        (FailedTry("x"), 1, 10),
        (FailedTry("x", 30.0), 1, 30.0),
        (FailedTry("x", 30.0), 2, 60),
        (FailedTry("not there yet", outcomes.NOT_YET_RETRY_SECONDS), 1, 60),
        (FailedTry("x"), 3, None),
        (Postponed("x", 900.0), 2, 900.0),
        (Postponed("x", 0.0), 0, 0.5),
        (Lost("x"), 0, None),
    ],
)
def test_when_the_next_try_comes(failure: Postponed | FailedTry | Lost, tries: int, seconds: float | None) -> None:
    assert outcomes.seconds_until_retry(failure, tries, PLAN) == seconds
