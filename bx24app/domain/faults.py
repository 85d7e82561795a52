"""`Fault`: one thing that is wrong with a settings document, as a code with parameters and a path.

The checks of the document, of its rules and of what they name in the CRM yield faults. `Fault.message` is the English
sentence for the command line; pages have their own sentences for the same codes, in both languages
(`bx24app.web.settings.fault_messages`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

SENTENCES = {
    # values
    "missing": "is missing",
    "unknown_key": "is not a known key",
    "not_integer": "must be a whole number",
    "not_number": "must be a number",
    "not_text": "must be a text",
    "not_list": "must be a list",
    "not_mapping": "must be a mapping",
    "not_boolean": "must be true or false",
    "unexpected_boolean": "must not be true or false",
    "not_date": "must be a valid date such as 2026-01-31",
    "not_time": "must be a time such as 09:00",
    "not_pbx_key": "is a key of up to 20 letters a-z, digits and -",
    "not_phone": "is not a telephone such as +79160000101, but {value!r}",
    "not_phone_prefix": "must be the beginning of a number, such as +7495",
    "not_allowed": "must be one of {expected}",
    "empty": "must not be empty",
    "empty_list": "must not be an empty list",
    "too_long": "is longer than {max_length} characters",
    "too_small": "must be greater than {gt}",
    "below_minimum": "must be at least {ge}",
    "above_maximum": "must be at most {le}",
    "negative": "must be a whole number, 0 or more",
    "not_positive": "must be a whole number above 0",
    "bad_characters": "holds characters that are no text",
    "bad_value": "{reason}",
    # the document as a whole
    "not_yaml": "not YAML: {reason}",
    "document_too_long": "the document is longer than {max_length} characters",
    "too_many": "holds too many entries; at most {most} are possible",
    "too_many_values": "the document holds more than {most} values",
    "too_deep": "is nested too deeply",
    "document_not_mapping": "the document must be a mapping with sections such as `pbxs`",
    "portal_silent": "the portal cannot be asked for its users and pipelines: {reason}",
    "would_be_deleted": "would be deleted; say --allow-delete",
    "unknown_user": "the portal has no active user {user}",
    "unknown_timezone": "is not a time zone such as Europe/Moscow, but {value!r}",
    "empty_hours": "the working time ends when it begins",
    "repeated_pbx": "another PBX has this key: {name}",
    "repeated_extension": "another employee of this PBX has this extension: {name}",
    "repeated_rule": "another rule has this name: {name}",
    "repeated_line": "{number} is already a line of PBX {pbx}",
    "half_key": "key and salt are given together",
    "missing_api_key": "is missing: only a PBX with the events dialect alone needs none",
    "repeated_api_key": "the PBX {pbx} of this portal has this API key already; a PBX is connected once",
    "no_dialect": "must name vpbx, events, or both",
    # rules
    "unknown_condition": "is not a known condition; known are {known}",
    "unknown_action": "is not a known action; known are {known}",
    "unknown_action_part": "is not known here; known are {known}",
    "no_action": "must name at least one action",
    "not_one_action": "must be one action, such as `todo: {{…}}`",
    "nothing_not_alone": "`nothing` must stand alone",
    "unknown_pbx": "there is no PBX {value!r}",
    "unknown_line": "there is no line {value!r}",
    "not_entity": "must be lead, deal, contact, or the entity type id of a smart process",
    "not_user_or_role": "must be line, answered, owner, or a user id",
    "not_field_values": "must be a mapping of field names to values",
    "not_field_name": "field names must be texts",
    "unknown_smart_process": "the portal has no smart process {value}",
    "unknown_pipeline": "the portal has no pipeline {value} of this kind",
    "unknown_stage": "the pipeline has no stage {value}",
    "unknown_source": "the portal has no source {value}",
    # templates
    "template_block": "may hold expressions such as {{{{ client.number }}}}, but no blocks",
    "template_unreadable": "cannot be read: {reason}",
    "template_too_deep": "is nested too deeply",
    "template_bare_name": "{name} alone says nothing; say {example} or the like",
    "template_unknown_name": "{name} is not a known name; known are {known}",
    "template_unknown_attribute": "{name} is not known; known are {known}",
    "template_chained_attribute": "{name} of something that is not a name",
    "template_forbidden": "{construct} not allowed (line {line})",
}
"""Code -> English sentence. A parameter `value` that the sentence does not show is appended: `, not 'x'`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. `path`: where, as in `pbxs[0].lines[1].number`; empty: the document as a whole."""

    code: str
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)
    path: str = ""

    def at(self, path: str) -> Fault:
        """The same fault below `path`."""
        return replace(self, path=path + self.path)

    @property
    def message(self) -> str:
        sentence = SENTENCES[self.code]
        text = sentence.format(**{name: format_param(value) for name, value in self.params.items()})
        return text if "value" not in self.params or "{value" in sentence else f"{text}, not {self.params['value']!r}"

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def format_param(value: Any) -> Any:
    """A parameter as sentences show it: several names are separated by commas."""
    return ", ".join(value) if isinstance(value, tuple) else value
