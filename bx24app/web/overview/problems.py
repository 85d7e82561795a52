"""Problems that an administrator has to fix, for the overview: what is wrong, what to do, where.

Many are fixed in Mango Office.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flask import g, url_for
from flask_babel import gettext, lazy_gettext, ngettext

from bx24app.domain.scopes import missing_scopes
from bx24app.infra.runtime import runtime
from bx24app.models import Pbx, problem_codes, utcnow
from bx24app.operations import pbx_checks, secret_checks
from bx24app.operations.alerts import checks
from bx24app.portals import other_apps
from bx24app.web.base import rendering

REFUSED_IN_A_ROW = 3
"""So many wrong signatures without a valid notification between them are no accident: a key was regenerated."""


_SCOPE_TEXTS = {
    "telephony": (lazy_gettext("Telephony"), lazy_gettext("no call reaches Bitrix24")),
    "crm": (lazy_gettext("CRM"), lazy_gettext("rules create no records, and callers are not recognised")),
    "user": (lazy_gettext("Users"), lazy_gettext("employees are not matched with extensions automatically")),
    "placement": (
        lazy_gettext("App embedding"),
        lazy_gettext("there are no tabs in the call card and in CRM records"),
    ),
    "im": (
        lazy_gettext("Chat and notifications"),
        lazy_gettext("nobody is notified, neither by rules nor about problems"),
    ),
    "timeman": (lazy_gettext("Time tracking"), lazy_gettext("rules do not know whose working day is open")),
}
"""Scope -> its name in the settings of an application in Bitrix24, and what does not work without it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: what it is, what to do about it, and where ("": in Bitrix24). `level`: bad, warn.

    `action`: the words of a button that leads there; empty: a link in the text does. `details`: a list between text
    and remedy, each entry with a title.
    """

    name: str
    level: str
    text: str
    remedy: str
    url: str
    action: str = ""
    details: tuple[tuple[str, str], ...] = ()


def find_problems(rows: dict[str, Pbx], names: dict[str, str]) -> list[Problem]:
    """All problems of the portal, the worst first. `names`: PBX key -> name."""
    problems = list(_portal_problems())
    for row in rows.values():
        problems += _pbx_problems(row, names.get(row.key) or row.key)
    return sorted(problems, key=lambda problem: problem.level != "bad")


def _portal_problems() -> Iterator[Problem]:
    if next(secret_checks.find_undecryptable(g.portal.id), None) is not None:
        yield Problem(
            "secret", "bad",
            gettext("A stored key or token of this portal cannot be read"),
            gettext("Calls wait until the operator of this application restores the encryption key."),
            url_for("pbxs.show"),
        )  # fmt: skip
    for name, count in other_apps.counts(g.portal.id).items():
        yield Problem(
            "rival", "bad",
            gettext("%(app)s also reports these calls to Bitrix24", app=name),
            ngettext(
                "%(num)d call of the last day is there twice.",
                "%(num)d calls of the last day are there twice.",
                count,
            )
            + " " + gettext("Turn these lines off in that application, or remove it."),
            url_for("calls.show"),
        )  # fmt: skip
    missing = missing_scopes(g.portal.scopes)
    if missing:
        yield Problem(
            "scope", "bad" if "telephony" in missing else "warn",
            ngettext(
                "The application lacks %(num)d permission in Bitrix24",
                "The application lacks %(num)d permissions in Bitrix24",
                len(missing),
            ),
            gettext("Allow this in the settings of the application in Bitrix24, then open the application again."),
            "",
            details=tuple((f"{_SCOPE_TEXTS[scope][0]} ({scope})", str(_SCOPE_TEXTS[scope][1])) for scope in missing),
        )  # fmt: skip
    waiting = checks.count_without_space(g.portal.id)
    if waiting:
        yield Problem(
            "disk", "bad",
            rendering.needs_admin_text("disk"),
            ngettext(
                "%(num)d recording is waiting; calls and call cards keep working.",
                "%(num)d recordings are waiting; calls and call cards keep working.",
                waiting,
            ),
            url_for("calls.show"),
        )  # fmt: skip
    dead = checks.count_refused(g.portal.id, utcnow())
    if dead:
        yield Problem(
            "dead", "warn",
            ngettext("Bitrix24 refused %(num)d action", "Bitrix24 refused %(num)d actions", dead),
            gettext("See the reasons, fix them, then try again one by one or all at once."),
            url_for("undelivered.show", kind="dead"),
        )  # fmt: skip


def _pbx_problems(row: Pbx, name: str) -> Iterator[Problem]:
    here = url_for("pbxs.show_pbx", key=row.key)
    if row.refused_count >= REFUSED_IN_A_ROW:
        yield Problem(
            "key", "bad",
            gettext("%(pbx)s: notifications are refused because of a wrong key or signature", pbx=name),
            gettext(
                "Was a key regenerated in Mango Office? Enter the current keys; "
                "calls received since then will be added."
            ),
            url_for("pbxs.edit_form", key=row.key),
            str(gettext("Enter the keys")),
        )  # fmt: skip
    if problem_codes.is_address_refused(row):
        yield Problem(
            "address", "warn",
            gettext("%(pbx)s: Mango Office rejects requests from this server", pbx=name),
            _allow_address_text(),
            here,
        )  # fmt: skip
    elif row.ask_problem:
        yield Problem(
            "mango", "warn",
            gettext("%(pbx)s: Mango Office does not answer requests: %(why)s", pbx=name, why=row.ask_problem),
            gettext(
                "In the API connector, turn on “PBX services”. "
                "Calls keep working, but missing ones are not searched for meanwhile."
            ),
            here,
        )  # fmt: skip
    pbx = rendering.load_settings().by_key.get(row.key)
    if pbx is not None and any(line.route for line in pbx.lines) and pbx_checks.loses_waiting_clients(row):
        yield Problem(
            "route", "warn",
            gettext("%(pbx)s: waiting clients do not reach their managers", pbx=name),
            gettext(
                "In the call scheme in Mango Office, set a greeting of at least 5 s with “wait for the end” "
                "before calls are distributed."
            ),
            url_for("lines.show", key=row.key),
        )  # fmt: skip
    if not any(traits.has_legs for traits in row.traits):
        return
    if pbx_checks.has_no_summaries(row):
        yield Problem(
            "summary", "warn",
            gettext("%(pbx)s: the last calls came without a summary", pbx=name),
            gettext("In the API connector, under “External system”, turn off the filter for “events/summary”."),
            here,
        )  # fmt: skip
    if pbx_checks.sends_version_one(row):
        yield Problem(
            "version", "warn",
            gettext("%(pbx)s: events of version 1 do not report transfers", pbx=name),
            gettext(
                "In the API connector, under “External system”, choose events version 2. "
                "Until then, transfers are only inferred."
            ),
            here,
        )  # fmt: skip


def _allow_address_text() -> str:
    """What to enter in Mango Office: the server's outgoing addresses, if the operator configured them."""
    addresses = ", ".join(runtime().config.outgoing_addresses)
    switches = gettext("Turn on “PBX services” and “Statistics” there as well.")
    allow = (
        gettext("In the API connector, allow the address %(address)s.", address=addresses)
        if addresses
        else gettext("In the API connector, allow this server’s address; ask whoever runs the application for it.")
    )
    return f"{allow} {switches}"
