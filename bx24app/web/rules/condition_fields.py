"""The editor's fields for conditions, made from the table of conditions for `parts/rule_editor.html`."""

from __future__ import annotations

from dataclasses import dataclass

from bx24app.domain import phone
from bx24app.domain.rules.condition_spec import Condition
from bx24app.domain.rules.conditions import CONDITIONS
from bx24app.domain.settings import LineSettings, Settings
from bx24app.web.base.i18n import current_language, format_phone
from bx24app.web.rules.rule_form import RuleItem

_KINDS = ("ticks", "list", "number", "choice")
"""Fields of one kind stand together, in this order."""


@dataclass(frozen=True)
class ConditionField:
    """One field of an open rule; `kind` and `is_main` are those of `FormControl`."""

    name: str
    kind: str
    label: str
    values: list[str]
    """What the rule has."""
    options: list[tuple[str, str]]
    """(value, words) to choose from."""
    placeholder: str
    is_main: bool
    is_used: bool
    """The rule has a value for it, or a fault at it."""


_FORM_ORDER = sorted(
    CONDITIONS.items(), key=lambda pair: (_KINDS.index(pair[1].control.kind), pair[1].named_by is not None)
)


def list_fields(item: RuleItem, settings: Settings) -> list[ConditionField]:
    """The fields of an open rule, in the form's order."""
    fields = [(_make_field(item, key, condition, settings), condition) for key, condition in _FORM_ORDER]
    return [
        field
        for field, condition in fields
        if field.is_used or not condition.named_by or len(field.options) >= condition.control.min_options
    ]


def _make_field(item: RuleItem, key: str, condition: Condition, settings: Settings) -> ConditionField:
    control, name = condition.control, f"{item.token}-{key}"
    values = [value for value in item.condition_values(key) if value != condition.wildcard]
    if condition.named_by == "line":
        values = [_line_option(value, settings) for value in values]
    return ConditionField(
        name=name,
        kind=control.kind,
        label=condition.label.in_language(current_language()),
        values=values,
        options=_list_options(condition, settings),
        placeholder=control.placeholder,
        is_main=control.is_main,
        is_used=bool(values) or name in item.faults,
    )


def _list_options(condition: Condition, settings: Settings) -> list[tuple[str, str]]:
    if condition.named_by == "pbx":
        return [(pbx.key, pbx.name or pbx.key) for pbx in settings.pbxs]
    if condition.named_by == "line":
        return [(line.number, line.name or format_phone(line.number)) for line in _list_lines(settings)]
    language, empty = current_language(), condition.control.empty_option
    options = [(value, words.option.in_language(language)) for value, words in condition.values.items() if words.option]
    return [("", empty.in_language(language)), *options] if empty else options


def _list_lines(settings: Settings) -> list[LineSettings]:
    return [line for pbx in settings.pbxs for line in pbx.lines]


def _line_option(number: str, settings: Settings) -> str:
    """The option of a line that a rule names by either of its numbers; a line that is gone stays as it was written."""
    lines = _list_lines(settings)
    same = (line for line in lines if is_same_line(line.number, number) or is_same_line(line.bitrix_number, number))
    line = next(same, None)
    return line.number if line is not None else number


def is_same_line(number: str, other: str) -> bool:
    """Do two spellings name one line?"""
    return phone.line_key(number) == phone.line_key(other)
