"""What somebody has to mend, for the overview: what is wrong, what to do, where. Much of it only Mango Office's account can mend."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from flask import g, url_for
from flask_babel import gettext, ngettext
from sqlalchemy import ColumnElement, or_, select

from bx24app.infra.runtime import runtime
from bx24app.models import Call, Notification, Pbx, db, problem_codes, utcnow
from bx24app.operations.alerts import checks as alarms
from bx24app.portals import other_apps
from bx24app.web.base import rendering

WRONG_KEY_AFTER = timedelta(minutes=5)
"""Wrong signatures on a known address for so long are no accident: the key was made anew in Mango Office."""
CALLS_WITHOUT_SUMMARY = 5
"""So many calls one after the other without a summary: a filter keeps it back."""
MIN_TALKED_CALLS, CHECKED_CALLS = 3, 300
"""So many of the last calls in which several people talked, and no leg said how it came: events of version 1."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to mend: what it is, what to do, where. `level`: bad, warn."""

    name: str
    level: str
    text: str
    remedy: str
    url: str


def find_problems(rows: dict[str, Pbx], names: dict[str, str]) -> list[Problem]:
    """What is wrong now, the worst first. `names`: what PBXs are called, by key."""
    every = [*_portal_problems(), *(one for row in rows.values() for one in _pbx_problems(row, names.get(row.key) or row.key))]
    return sorted(every, key=lambda one: one.level != "bad")


def _portal_problems() -> Iterator[Problem]:
    for name, count in other_apps.counts(g.portal.id).items():
        yield Problem(
            "rival", "bad",
            gettext("%(app)s tells Bitrix24 the same calls", app=name),
            ngettext("%(num)d call of a day stands there twice.", "%(num)d calls of a day stand there twice.", count)
            + " " + gettext("Switch these lines off in that application, or remove it."),
            url_for("calls.show"),
        )  # fmt: skip
    waiting = alarms.count_without_space(g.portal.id)
    if waiting:
        yield Problem(
            "disk", "bad",
            rendering.needs_admin_text("disk"),
            ngettext("%(num)d recording waits; calls and cards go on.", "%(num)d recordings wait; calls and cards go on.", waiting),
            url_for("calls.show"),
        )  # fmt: skip
    dead = alarms.count_refused(g.portal.id, utcnow())
    if dead:
        yield Problem(
            "dead", "warn",
            ngettext("Bitrix24 refused %(num)d delivery", "Bitrix24 refused %(num)d deliveries", dead),
            gettext("The reasons stand there; mend them and try again, one by one or all at once."),
            url_for("undelivered.show", kind="dead"),
        )  # fmt: skip


def _pbx_problems(row: Pbx, name: str) -> Iterator[Problem]:
    here = url_for("pbxs.show_pbx", key=row.key)
    if row.refused_count and row.refused_since and row.refused_since < utcnow() - WRONG_KEY_AFTER:
        yield Problem(
            "key", "bad",
            gettext("%(pbx)s: notifications come with a wrong signature", pbx=name),
            gettext("Was a key regenerated in Mango Office? Enter the present ones; the calls since then are told afterwards."),
            url_for("pbxs.edit_form", key=row.key),
        )  # fmt: skip
    if problem_codes.is_address_refused(row):
        yield Problem(
            "address", "warn",
            gettext("%(pbx)s: Mango Office does not let our server ask", pbx=name),
            _allow_address_text(),
            here,
        )  # fmt: skip
    elif row.ask_problem:
        yield Problem(
            "mango", "warn",
            gettext("%(pbx)s: Mango Office does not answer our questions: %(why)s", pbx=name, why=row.ask_problem),
            gettext("In the API connector, switch on the services of the PBX; calls go on, lost ones are not looked for meanwhile."),
            here,
        )  # fmt: skip
    if "vpbx" not in row.dialects:
        return
    if _has_no_summaries(row):
        yield Problem(
            "summary", "warn",
            gettext("%(pbx)s: the last calls came without a summary", pbx=name),
            gettext("In the API connector's external system, switch off the filter of “events/summary”."),
            here,
        )  # fmt: skip
    if _is_version_one(row):
        yield Problem(
            "version", "warn",
            gettext("%(pbx)s: events of version 1 do not tell of transfers", pbx=name),
            gettext("In the API connector's external system, choose version 2 of the events; until then a transfer is guessed from the legs."),
            here,
        )  # fmt: skip


def _allow_address_text() -> str:
    """What to enter in Mango Office: our outgoing addresses, where the operator named them."""
    addresses = ", ".join(runtime().config.outgoing_addresses)
    switches = gettext("Switch on “Services of the PBX” and “Statistics” there as well.")
    if addresses:
        return str(gettext("In the API connector, allow the address %(address)s.", address=addresses)) + " " + str(switches)
    return str(gettext("In the API connector, allow this server’s address; whoever runs the application knows it.")) + " " + str(switches)


def _has_notification(row: Pbx, entries: list[str], *more: ColumnElement[bool]) -> bool:
    """Is there such a notification of these calls?"""
    mine = (Notification.portal_id == row.portal_id, Notification.pbx_id == row.id, Notification.entry_id.in_(entries))
    return db.session.scalars(select(Notification.id).where(*mine, *more).limit(1)).first() is not None


def _has_no_summaries(row: Pbx) -> bool:
    """Have the last finished calls all ended without a word of their summary?"""
    last = select(Call.entry_id).where(
        Call.portal_id == row.portal_id, Call.pbx_id == row.id, Call.state == "finished", Call.direction != "internal"
    )
    entries = list(db.session.scalars(last.order_by(Call.started_at.desc(), Call.id.desc()).limit(CALLS_WITHOUT_SUMMARY)))
    told = Notification.name.in_(("events/summary", "call_end"))
    return len(entries) == CALLS_WITHOUT_SUMMARY and not _has_notification(row, entries, told)


def _is_version_one(row: Pbx) -> bool:
    """Calls went from one person to another, and no leg named a transfer. Only version 2 of the events does."""
    last = select(Call.entry_id, Call.users).where(
        Call.portal_id == row.portal_id, Call.pbx_id == row.id, Call.started_at > utcnow() - timedelta(days=7)
    )
    rows = db.session.execute(last.order_by(Call.started_at.desc(), Call.id.desc()).limit(CHECKED_CALLS))
    entries = [entry for entry, users in rows if len(users or ()) > 1]
    if len(entries) < MIN_TALKED_CALLS:
        return False
    named = or_(Notification.body.contains('"transfer"'), Notification.body.contains('"was_transfer'))
    return not _has_notification(row, entries, named)
