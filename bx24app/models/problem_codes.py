"""Codes of problems: what the program decides by, beside the sentences that people read.

`Recording.problem`, `Call.problem` and `Pbx.ask_problem` are texts for people and may be reworded at any time. Beside
each stands a column that is compared. During a rolling upgrade processes of versions before migration 0017 write the
text and leave that column alone, so a row without a code is understood by the exact text that those versions wrote.
Only this module knows those texts, and they can be removed once no such version can run beside this one.

A code that an older version left beside a newer text of its own lasts until this version writes the row again: at the
next try of the recording, or the next question to the PBX. Until then a recording may leave in a batch a little early,
or be counted as waiting for space.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, or_

from bx24app.models.calls import Call, Delivery, Recording
from bx24app.models.portals import Pbx


class RecordingProblem(StrEnum):
    """Why a recording waits, where the program treats it in a way of its own. Other problems have no code."""

    PORTAL_BUDGET = "portal_budget"
    """The portal's request budget is used up: it may leave with another recording's request."""
    PORTAL_DISK = "portal_disk"
    """The portal has no disk space: the administrators are told."""
    SPOOL = "spool"
    """Our own spool cannot be written."""
    HOST = "host"
    """Mango keeps it on a host that BX24APP_RECORDING_HOSTS does not list: the operator is told."""
    UNCONFIRMED = "unconfirmed"
    """Mango has not said yet that the file is there: a question may come too early."""


ADDRESS_REFUSED = "address_refused"
"""`Pbx.ask_problem_code`: Mango does not accept requests from this server's address."""

_RECORDING_TEXTS_BEFORE_0017 = {
    RecordingProblem.PORTAL_BUDGET: "the portal's request budget is used up",
    RecordingProblem.PORTAL_DISK: "the portal's disk is full",
}
_ADDRESS_REFUSED_TEXT_BEFORE_0017 = (
    "Mango refuses this server's address, or has locked it out for two minutes after wrong requests."
)


def recording_has_problem(code: RecordingProblem) -> ColumnElement[bool]:
    """The condition of recordings whose last try met this problem."""
    known = and_(Recording.problem_code == code, Recording.problem.is_not(None))
    text = _RECORDING_TEXTS_BEFORE_0017.get(code)
    return or_(known, and_(Recording.problem_code.is_(None), Recording.problem == text)) if text else known


def is_address_refused(pbx: Pbx) -> bool:
    """Did Mango refuse this server's address when the statistics of `pbx` were last requested?"""
    if pbx.ask_problem_code is None:
        return pbx.ask_problem == _ADDRESS_REFUSED_TEXT_BEFORE_0017
    return pbx.ask_problem is not None and pbx.ask_problem_code == ADDRESS_REFUSED


def is_problem_of(call: Call, deliveries: Iterable[Delivery]) -> bool:
    """Is the call's problem the refusal of one of these deliveries of it?"""
    if call.problem is None:
        return False
    if call.problem_delivery is None:
        return call.problem in {row.reason for row in deliveries}
    return call.problem_delivery in {row.key for row in deliveries}
