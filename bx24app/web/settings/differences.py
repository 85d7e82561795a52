"""Words the differences of two settings for pages: the history, the return to an earlier version, conflicts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from flask import g
from flask_babel import gettext, lazy_gettext, ngettext

from bx24app.domain import phone
from bx24app.domain.document.comparison import Difference, FieldChange, compare_settings
from bx24app.domain.document.user_references import iter_references
from bx24app.domain.rules import sentences
from bx24app.domain.rules.sentences import DisplayNames
from bx24app.domain.settings import Settings
from bx24app.portals import crm_dictionaries
from bx24app.web.base import directory, rule_labels
from bx24app.web.base.directory import EmployeeDirectory
from bx24app.web.base.i18n import current_language, format_phone


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """One difference: the thing, what became of it, and its values (name, before, after) in words."""

    change: str
    subject: str
    values: list[tuple[str, str, str]] = field(default_factory=list)


_FIELD_LABELS: dict[str, Any] = {
    "default_user_id": lazy_gettext("Default responsible"),
    "timezone": lazy_gettext("Time zone"),
    "answered": lazy_gettext("New client, answered call"),
    "missed": lazy_gettext("New client, missed call"),
    "outgoing": lazy_gettext("New client, outgoing call"),
    "transfer_responsible": lazy_gettext("After a transfer, change the responsible"),
    "card": lazy_gettext("The call card opens"),
    "hidden_number": lazy_gettext("Calls from a hidden number"),
    "internal_calls": lazy_gettext("Calls between colleagues"),
    "recordings.attach": lazy_gettext("Recordings"),
    "recordings.min_seconds": lazy_gettext("Minimum talk time (seconds)"),
    "name": lazy_gettext("Name"),
    "dialects": lazy_gettext("Notifications"),
    "number": lazy_gettext("Number"),
    "line_number": lazy_gettext("Number in Bitrix24"),
    "responsible.users": lazy_gettext("Responsible"),
    "responsible.strategy": lazy_gettext("If several people are responsible"),
    "working_hours": lazy_gettext("Working hours"),
    "callback_to": lazy_gettext("Rung first for a callback (CRM form)"),
    "owner_card": lazy_gettext("Client manager sees the call card too"),
    "route": lazy_gettext("Client manager"),
    "route_seconds": lazy_gettext("Transfer to the manager within (seconds)"),
    "recordings": lazy_gettext("Recordings"),
    "user_id": lazy_gettext("Employee"),
    "numbers": lazy_gettext("Mobile numbers"),
}
_RECORD_LABELS: dict[str, Any] = {
    "lead": lazy_gettext("lead"), "contact": lazy_gettext("contact"), "activity": lazy_gettext("contact and to-do"),
    "nothing": lazy_gettext("only the call"),
}  # fmt: skip
_VALUE_LABELS: dict[str, dict[str, Any]] = {
    "answered": _RECORD_LABELS,
    "missed": _RECORD_LABELS,
    "outgoing": _RECORD_LABELS,
    "transfer_responsible": {
        "created": lazy_gettext("for records that the call created"),
        "always": lazy_gettext("for existing records too"),
        "never": lazy_gettext("never"),
    },
    "card": {
        "ring": lazy_gettext("when the phone rings"),
        "answer": lazy_gettext("when the call is answered"),
        "never": lazy_gettext("never"),
    },
    "hidden_number": {
        "placeholder": lazy_gettext("register as an unknown number"),
        "skip": lazy_gettext("do not register"),
    },
    "internal_calls": {
        "skip": lazy_gettext("do not register"),
        "log": lazy_gettext("only in this application’s journal"),
    },
    "recordings": {"upload": lazy_gettext("attach to the call"), "never": lazy_gettext("do not attach")},
    "recordings.attach": {"upload": lazy_gettext("attach to the call"), "never": lazy_gettext("do not attach")},
    "responsible.strategy": {
        "round_robin": lazy_gettext("one after another"),
        "first": lazy_gettext("always the first"),
    },
}
_USER_FIELDS = ("default_user_id", "responsible.users", "user_id")
_DAY_LABELS: dict[str, Any] = {
    "mon": lazy_gettext("Mon"), "tue": lazy_gettext("Tue"), "wed": lazy_gettext("Wed"), "thu": lazy_gettext("Thu"),
    "fri": lazy_gettext("Fri"), "sat": lazy_gettext("Sat"), "sun": lazy_gettext("Sun"),
}  # fmt: skip


def build_rows(old: Settings, new: Settings, compared: list[Difference] | None = None) -> list[DifferenceRow]:
    """What changed from `old` to `new`. `compared`: where that is known already."""
    changes = compare_settings(old, new) if compared is None else compared
    formatter = _DifferenceFormatter(directory.by_ids(_user_ids(changes, old, new)), old, new)
    return [formatter.describe_difference(difference) for difference in changes]


def group_removed(changes: Iterable[Difference]) -> dict[str, list[Difference]]:
    """What the newer settings no longer have, by kind: pbx, line, employee, rule."""
    removed: dict[str, list[Difference]] = {}
    for difference in changes:
        if difference.change == "removed":
            removed.setdefault(difference.kind, []).append(difference)
    return removed


def _user_ids(changes: Iterable[Difference], old: Settings, new: Settings) -> set[int]:
    """Users whom the changed things name, before or after."""
    things = {_thing(item.kind, item.pbx, item.name) for item in changes}
    references = (reference for side in (old, new) for reference in iter_references(side))
    return {ref.user_id for ref in references if _thing(ref.kind, ref.pbx, ref.name) in things}


def _thing(kind: str, pbx: str, name: str) -> tuple[str, str, str]:
    """A PBX itself is `name` in a difference and `pbx` in a reference; lines are compared as telephones."""
    if kind == "pbx":
        return kind, pbx or name, ""
    return kind, pbx, phone.line_key(name) if kind == "line" else name


class _DifferenceFormatter:
    def __init__(self, people: EmployeeDirectory, old: Settings, new: Settings) -> None:
        self._people = people
        self._names_by_key = {pbx.key: pbx.name or pbx.key for side in (old, new) for pbx in side.pbxs}
        lines = (line for side in (old, new) for pbx in side.pbxs for line in pbx.lines)
        self._names_by_number = {line.number: line.name for line in lines}
        self._names = DisplayNames(user=people.name, line=self._line_name, pbx=self._pbx_name)
        if old.rules or new.rules:
            self._names = replace(self._names, dictionaries=crm_dictionaries.load(g.portal.id))

    def _pbx_name(self, key: str) -> str:
        return self._names_by_key.get(key, key)

    def _line_name(self, number: str) -> str:
        return self._names_by_number.get(number) or number

    def describe_difference(self, difference: Difference) -> DifferenceRow:
        values: list[tuple[str, str, str]] = []
        if difference.kind == "rule":
            values = self._rule_values(difference)
        elif difference.change == "changed":
            values = [self._describe_field(item) for item in difference.fields]
        elif difference.change == "added":
            values = self._added_values(difference)
        return DifferenceRow(difference.change, self._describe_subject(difference), values)

    def _describe_subject(self, difference: Difference) -> str:
        suffix = f" · {self._pbx_name(difference.pbx)}" if len(self._names_by_key) > 1 else ""
        data = difference.new or difference.old or {}
        if difference.kind == "line":
            name = str(data.get("name") or "")
            label = f"{name} ({format_phone(difference.name)})" if name else format_phone(difference.name)
            return str(gettext("Line %(name)s", name=label)) + suffix
        if difference.kind == "employee":
            return str(gettext("Extension %(name)s", name=difference.name)) + suffix
        if difference.kind == "pbx":
            return str(gettext("PBX %(name)s", name=data.get("name") or difference.name))
        if difference.kind == "rule":
            return str(gettext("Rule “%(name)s”", name=rule_labels.rule_label(difference.name)))
        return str(gettext("The portal") if difference.kind == "portal" else gettext("Call handling"))

    def _rule_values(self, difference: Difference) -> list[tuple[str, str, str]]:
        if difference.change == "moved":
            return []
        sides = (difference.old, difference.new)
        old, new = (sentences.describe_rule(side, self._names, current_language()) if side else "" for side in sides)
        return [("", old, new)]

    def _added_values(self, difference: Difference) -> list[tuple[str, str, str]]:
        data = difference.new or {}
        if difference.kind == "pbx":
            lines = ngettext("%(num)d line", "%(num)d lines", data["_lines"])
            employees = ngettext("%(num)d employee", "%(num)d employees", data["_employees"])
            return [("", "", f"{lines}, {employees}")]
        if difference.kind == "employee":
            return [self._describe_field(FieldChange("user_id", None, data["user_id"]))]
        users = data["responsible"]["users"]
        return [self._describe_field(FieldChange("responsible.users", None, users))] if users else []

    def _describe_field(self, change: FieldChange) -> tuple[str, str, str]:
        label = str(_FIELD_LABELS.get(change.name, change.name))
        return label, self._format_value(change.name, change.old), self._format_value(change.name, change.new)

    def _format_value(self, name: str, value: Any) -> str:
        if value in (None, "", [], ()):
            return ""
        if name in _USER_FIELDS:
            return ", ".join(self._people.name(user) for user in (value if isinstance(value, list) else [value]))
        if name == "working_hours":
            return "; ".join(_format_hours(block) for block in value)
        if name in _VALUE_LABELS and str(value) in _VALUE_LABELS[name]:
            return str(_VALUE_LABELS[name][str(value)])
        return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _format_hours(block: dict[str, Any]) -> str:
    days = ", ".join(str(_DAY_LABELS.get(day, day)) for day in block["days"])
    rest = f" ({block['timezone']})" if block.get("timezone") else ""
    off = str(gettext(", closed on %(days)s", days=", ".join(block["holidays"]))) if block.get("holidays") else ""
    return f"{days} {block['from']}–{block['to']}{rest}{off}"
