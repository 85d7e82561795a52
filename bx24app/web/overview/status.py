"""The state of a portal, for the overview: a few numbers, the background identity, the newest call step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from flask import g
from flask_babel import gettext

from bx24app.calls.journal import counts
from bx24app.calls.journal import lookup as journal
from bx24app.domain.statistics import percentile
from bx24app.models import Recording, utcnow
from bx24app.portals import clients, lookup
from bx24app.web.base import directory

WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class PortalStatus:
    """`delays`: seconds from the notice of a recording to its attachment (median, 95th percentile); None: none this
    week.
    """

    delays: tuple[int, int] | None
    budget: int
    unmapped_calls: dict[int, int]
    """PBX row id -> calls of extensions that are mapped to no employee."""


def load_status() -> PortalStatus:
    """Delays and unmapped calls of the last seven days; the request budget as it is now."""
    since = utcnow() - WEEK
    lags = counts.recording_lags(g.portal.id, since)
    median, slowest = percentile(lags, 0.5), percentile(lags, 0.95)
    return PortalStatus(
        delays=(round(median), round(slowest)) if median is not None and slowest is not None else None,
        budget=int(clients.portal_budget(g.portal.id).available_requests()),
        unmapped_calls=counts.count_unmapped_by_pbx(g.portal.id, since),
    )


@dataclass(frozen=True, slots=True)
class BackgroundIdentity:
    """The user on whose authorisation the application works.

    `is_dismissed`: it may end any day; `is_mine`: it is the viewer.
    """

    name: str
    is_dismissed: bool
    is_mine: bool


def load_identity() -> BackgroundIdentity | None:
    """The user of the portal's background grant; None: there is no grant."""
    user_id = lookup.background_user_id(g.portal.id)
    if user_id is None:
        return None
    people = directory.by_ids([user_id])
    return BackgroundIdentity(people.name(user_id), people.is_dismissed(user_id), user_id == g.frame.user_id)


@dataclass(frozen=True, slots=True)
class CallMilestone:
    """One step of the newest call. `state`: done, busy (may still come) or failed."""

    name: str
    state: str
    text: str


def load_milestones() -> list[CallMilestone]:
    """How far the newest call of the last 24 hours has come; empty without such a call."""
    call = journal.find_latest(g.portal.id, utcnow() - timedelta(days=1))
    if call is None:
        return []
    is_over = call.state != "open"
    recordings = journal.load_recordings([call.id]).get(call.id, [])
    has_employee = bool(call.users) or call.outcome in ("missed", "failed")
    has_card = journal.has_card_opened(call.id)
    return [
        CallMilestone("notification", "done", gettext("The PBX reported the call")),
        CallMilestone("signature", "done", gettext("The signature is valid")),
        CallMilestone("employee", _milestone_state(has_employee, is_over), gettext("The employee was identified")),
        CallMilestone("card", _milestone_state(has_card, is_over), gettext("The call card opened")),
        CallMilestone(
            "activity", _milestone_state(call.activity_id is not None, is_over), gettext("The call is in the CRM")
        ),
        _recording_milestone(recordings, is_over, is_answered=call.outcome == "answered"),
    ]


def _milestone_state(is_done: bool, is_over: bool) -> str:
    return "done" if is_done else ("failed" if is_over else "busy")


def _recording_milestone(recordings: Sequence[Recording], is_over: bool, *, is_answered: bool) -> CallMilestone:
    states = {recording.state for recording in recordings}
    if "attached" in states:
        return CallMilestone("recording", "done", gettext("The recording is attached"))
    if is_over and not is_answered:
        return CallMilestone("recording", "done", gettext("There was no conversation, so there is no recording"))
    if "lost" in states or states == {"none"}:
        return CallMilestone("recording", "failed", gettext("This conversation has no recording"))
    return CallMilestone("recording", "busy", gettext("The recording is on its way; this may take a few minutes"))
