"""What became of one try for a recording, and what follows: it is attached, it waits, it is tried again by the plan, or
it is lost.

`download` and `attachment` return these outcomes, `transfer` stores them. Errors of Mango, of the portal and of our own
disk are judged here and nowhere else. The one question is whether an error says something about this recording: only
then a try of the plan is spent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bx24app.bitrix24 import errors as portal_errors
from bx24app.bitrix24.budget import BUDGET_USED_UP
from bx24app.mango import errors as mango_errors
from bx24app.models.problem_codes import RecordingProblem

DISK_FULL = "the portal's disk is full"
"""The problem of a recording that waits for disk space in the portal, for people."""
PORTAL_DISK_RETRY_SECONDS = 900.0
SPOOL_RETRY_SECONDS = 30.0
"""Seconds until a recording is tried again for which the portal's disk, or our own, had no space."""
UNLISTED_HOST_RETRY_SECONDS = 900.0
MANGO_BUSY_STATUS, MANGO_BUSY_RETRY_SECONDS = 429, 10.0
"""The status by which Mango asks to slow down, and how long we wait where Mango does not say."""
NOT_YET_CODES, NOT_YET_RETRY_SECONDS = frozenset((3320, 3340, 202, 204)), 60.0
"""Mango's codes and statuses that say that a recording is not there, and how long it advises to wait before the next
question (D26, 3.5). The plan is never quicker."""
MIN_RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Attached:
    """The portal has the file, under this id."""

    file_id: int


@dataclass(frozen=True, slots=True)
class BudgetWait:
    """The portal's request budget has nothing for recordings.

    Others wait for the budget too, so the recording stands in line with them.
    """

    reason: str
    seconds: float | None
    code: RecordingProblem | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """Something other than this recording is in the way: the portal's state, a busy Mango, a full disk.

    No try of the plan is spent.
    """

    reason: str
    seconds: float
    code: RecordingProblem | None = None
    blocking_error: portal_errors.NeedsAdmin | portal_errors.Gone | None = None
    """The error that ends all deliveries to this portal for now."""


@dataclass(frozen=True, slots=True)
class FailedTry:
    """A try of the plan is spent.

    `retry_after`: seconds that the other side asks for, where the plan would be quicker.
    """

    reason: str
    retry_after: float | None = None
    is_not_yet: bool = False
    """Mango does not have the file, or not yet."""


@dataclass(frozen=True, slots=True)
class Lost:
    """No further try can help."""

    reason: str


Failure = BudgetWait | Postponed | FailedTry | Lost
Outcome = Attached | Failure


def seconds_until_retry(failure: Postponed | FailedTry | Lost, tries: int, plan: Sequence[float]) -> float | None:
    """When to try again; None: the recording is lost.

    Args:
        tries: tries of the plan that are spent, this one included.
        plan: BX24APP_RECORDING_RETRY, seconds before each try.
    """
    if isinstance(failure, Lost) or tries >= len(plan):
        return None
    if isinstance(failure, Postponed):
        return failure.seconds or MIN_RETRY_SECONDS
    return max(failure.retry_after or MIN_RETRY_SECONDS, plan[tries])


def budget_used_up(seconds: float) -> BudgetWait:
    """The budget has nothing for recordings for so many seconds."""
    return BudgetWait(BUDGET_USED_UP, seconds, RecordingProblem.PORTAL_BUDGET)


def from_portal_error(error: portal_errors.PortalError) -> Failure:
    """Whichever request met the error: the question for the file, an upload or an attachment."""
    if isinstance(error, portal_errors.NeedsAdmin) and error.code == "disk":
        # Calls and cards need no disk space: only recordings wait.
        return Postponed(DISK_FULL, PORTAL_DISK_RETRY_SECONDS, RecordingProblem.PORTAL_DISK)
    if isinstance(error, portal_errors.NeedsAdmin):
        return Postponed(str(error), 60, blocking_error=error)
    if isinstance(error, portal_errors.Gone):
        return Postponed(str(error), 3600, blocking_error=error)
    if isinstance(error, portal_errors.Later) and error.is_rate_limited:
        code = RecordingProblem.PORTAL_BUDGET if error.is_budget_used_up else None
        return BudgetWait(str(error), error.retry_after, code)
    if isinstance(error, portal_errors.Later):
        return FailedTry(str(error), error.retry_after)
    return FailedTry(f"the portal refused the recording: {error}")


def from_mango_error(error: mango_errors.MangoError) -> Failure:
    if isinstance(error, mango_errors.RequestRefused):
        return Lost(str(error))
    if isinstance(error, mango_errors.KeyPaused):  # nothing was said about this recording
        return Postponed(str(error), error.seconds)
    if isinstance(error, mango_errors.ResourceNotFound) and error.code in NOT_YET_CODES:
        return FailedTry(str(error), NOT_YET_RETRY_SECONDS, is_not_yet=True)
    seconds = error.retry_after if isinstance(error, mango_errors.TemporaryFailure) else None
    if error.code == MANGO_BUSY_STATUS:  # that others ask Mango too says nothing about this recording
        return Postponed(str(error), seconds or MANGO_BUSY_RETRY_SECONDS)
    return FailedTry(str(error), seconds)


def is_answer(error: mango_errors.MangoError) -> bool | None:
    """Did Mango answer? "There is no such recording" is an answer too; None: nothing was sent."""
    if isinstance(error, mango_errors.QuestionPostponed):
        return None
    is_answered = error.code == MANGO_BUSY_STATUS or isinstance(error, mango_errors.KeyLocked)
    return is_answered or not isinstance(error, mango_errors.TemporaryFailure)


def from_unlisted_host(error: mango_errors.HostNotAllowed) -> Postponed:
    """However long the operator takes to list the host."""
    return Postponed(str(error), UNLISTED_HOST_RETRY_SECONDS, RecordingProblem.HOST)


def from_spool_error(error: OSError) -> Postponed:
    """However long somebody takes to make space on our disk."""
    return Postponed(f"the spool cannot be written: {error.strerror}", SPOOL_RETRY_SECONDS, RecordingProblem.SPOOL)
