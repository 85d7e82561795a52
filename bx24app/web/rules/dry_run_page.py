"""The dry run on the rules page: the draft against the last calls, beside what really happened. Nothing is sent to the portal."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask import g
from flask_babel import gettext, lazy_gettext, ngettext
from werkzeug.exceptions import NotFound

from bx24app import settings
from bx24app.calls import dry_run
from bx24app.calls.dry_run import Row, Said
from bx24app.domain import document
from bx24app.domain.document import DocumentError
from bx24app.domain.rules import NEVER, Seen, sentences
from bx24app.domain.rules.sentences import Names
from bx24app.domain.settings import Settings
from bx24app.models import Call, db
from bx24app.portals import crm_dictionaries
from bx24app.web.base import call_counts, directory, i18n, rendering, rule_labels
from bx24app.web.rules import rule_presentation
from bx24app.web.rules.rule_form import Item

LAST = 50
LABELS: dict[str, Any] = {
    "direction": lazy_gettext("Direction"),
    "outcome": lazy_gettext("Outcome"),
    "client": lazy_gettext("Client"),
    "hours": lazy_gettext("Time"),
    "pbx": lazy_gettext("PBX"),
    "line": lazy_gettext("Line"),
    "number": lazy_gettext("The client’s number begins with"),
    "min_seconds": lazy_gettext("The talk lasted at least, seconds"),
    "moment": lazy_gettext("Not earlier than"),
    "client_has_open": lazy_gettext("The client has an open"),
    "repeat_within_minutes": lazy_gettext("The same client called within, minutes"),
    "rang": lazy_gettext("This extension or group rang"),
    "weekday": lazy_gettext("Day of the week"),
}
"""Condition -> what the editor calls it."""


@dataclass(frozen=True)
class Tried:
    """One call of the table. `really`, `would`: sentences; rules by their labels, empty: none."""

    call: Call
    really_rule: str
    really: list[str]
    rule: str
    would: list[str]
    different: bool


@dataclass(frozen=True)
class Trial:
    """`faulty`: the draft cannot be tried."""

    rows: list[Tried] = field(default_factory=list)
    faulty: bool = False

    @property
    def different(self) -> int:
        """How many would be decided otherwise than they were."""
        return sum(row.different for row in self.rows)


@dataclass(frozen=True)
class Looked:
    """One condition of a trace in words."""

    label: str
    expected: str
    seen: str
    ok: bool | None


def last(shown: list[Item]) -> Trial:
    """The draft against the last calls."""
    draft = _draft(shown)
    if draft is None:
        return Trial(faulty=True)
    rows = dry_run.try_rules(db.session(), g.portal, draft, dry_run.last_calls(db.session(), g.portal.id, LAST))
    names = _names(rows, draft)
    return Trial([_tried(row, names) for row in rows])


def numbers(shown: list[Item]) -> str:
    """What saving would change, in sentences: which rules go, and what the draft would decide otherwise (where it has no faults)."""
    said = [_going(shown), _deciding(shown)]
    return " ".join(one for one in said if one)


def _going(shown: list[Item]) -> str:
    """Rules that saving takes away, with the calls that they decided in seven days. One that only got another name stays."""
    held = {(str(item.rule.get("name")), _what(item.rule)) for item in shown}
    names, whats = {name for name, _ in held}, {what for _, what in held}
    present: list[dict[str, Any]] = document.dump(rendering.current())["rules"]
    gone = [str(rule["name"]) for rule in present if rule["name"] not in names and _what(rule) not in whats]
    if not gone:
        return ""
    used = call_counts.calls_by_rule()
    rules = ngettext("%(num)d rule will be removed", "%(num)d rules will be removed", len(gone))
    calls = ngettext("%(num)d call in 7 days", "%(num)d calls in 7 days", sum(used.get(name, (0, 0))[0] for name in gone))
    return str(gettext("%(rules)s, which decided %(calls)s.", rules=rules, calls=calls))


def _what(rule: dict[str, Any]) -> str:
    return json.dumps([rule.get("when"), rule.get("do")], sort_keys=True, default=str)


def _deciding(shown: list[Item]) -> str:
    found = last(shown)
    count, different = len(found.rows), found.different
    if not count:
        return ""
    if different:
        said = gettext(
            "These rules would decide %(different)s of the last %(count)s calls otherwise.",
            different=different,
            count=count,
        )
    else:
        said = gettext("These rules would decide all of the last %(count)s calls as they were decided.", count=count)
    return str(said)


def why(shown: list[Item], call_id: int) -> dict[str, Any]:
    """For the trace of one call: every rule of the draft, its conditions, what was seen, what would be made."""
    draft = _draft(shown)
    call = db.session.get(Call, call_id)
    if draft is None or call is None or call.portal_id != g.portal.id:
        raise NotFound
    rows = dry_run.try_rules(db.session(), g.portal, draft, [call])
    if not rows:
        raise NotFound
    names = _names(rows, draft)
    trials = [
        {
            "label": rule_labels.label(one.rule),
            "verdict": one.verdict,
            "conditions": [_looked(seen, names) for seen in one.conditions],
        }
        for one in rows[0].trials
    ]
    return {
        "trials": trials,
        "matched": any(one["verdict"] == "matched" for one in trials),
        "would": _sentences(rows[0].would, names),
    }


def _draft(shown: list[Item]) -> Settings | None:
    """The saved document with the draft's rules; None where it has faults."""
    data = document.dump(rendering.current()) | {"rules": [item.rule for item in shown]}
    try:
        return document.parse(data, settings.current(g.portal), keyed=settings.keyed(g.portal)).settings
    except DocumentError:
        return None


def _names(rows: list[Row], draft: Settings) -> Names:
    users = {
        action["user"]
        for row in rows
        for said in (row.really, row.would)
        for action in said.actions
        if "user" in action
    }
    return rule_presentation.names_of(draft, crm_dictionaries.of(rule_presentation.portal_id()), directory.of(users))


def _tried(row: Row, names: Names) -> Tried:
    return Tried(
        call=row.call,
        really_rule=rule_labels.label(row.really.rule or ""),
        really=_sentences(row.really, names),
        rule=rule_labels.label(row.would.rule or ""),
        would=_sentences(row.would, names),
        different=row.differs,
    )


def _sentences(said: Said, names: Names) -> list[str]:
    return [sentences.filled(action, names, i18n.language(), _moment) for action in said.actions]


def _moment(iso: str) -> str:
    return i18n.moment(datetime.fromisoformat(iso))


def _looked(one: Seen, names: Names) -> Looked:
    def words(held: Any) -> str:
        return sentences.value(one.condition, held, names, i18n.language())

    seen = one.seen
    if seen is None:
        told = gettext("unknown")
    elif seen == NEVER:
        told = gettext("never")
    elif seen in ([], ""):
        told = gettext("none")
    else:
        told = words(int(seen) if isinstance(seen, float) else seen)
    return Looked(str(LABELS.get(one.condition, one.condition)), words(one.expected), told, one.ok)
