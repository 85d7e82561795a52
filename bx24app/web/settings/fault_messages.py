"""Words the faults of a settings document for pages, by their codes, in the page's language."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext

from bx24app.domain.faults import Fault, format_param

_FILL_IN = lazy_gettext("Fill this in.")
_NOT_NEGATIVE = lazy_gettext("Enter a whole number, 0 or above.")
_CHOOSE_ONE = lazy_gettext("Choose at least one.")
_KNOWN_NAMES = lazy_gettext("%(name)s is unknown here. Possible: %(known)s.")
SENTENCES: dict[str, Any] = {
    "missing": _FILL_IN,
    "empty": _FILL_IN,
    "not_text": _FILL_IN,
    "missing_api_key": _FILL_IN,
    "not_integer": _NOT_NEGATIVE,
    "too_small": _NOT_NEGATIVE,
    "below_minimum": _NOT_NEGATIVE,
    "negative": _NOT_NEGATIVE,
    "not_positive": lazy_gettext("Enter a whole number above 0."),
    "above_maximum": lazy_gettext("At most %(le)s."),
    "not_number": lazy_gettext("Enter a number."),
    "too_long": lazy_gettext("At most %(max_length)s characters."),
    "unknown_key": lazy_gettext("There is no such setting."),
    "not_list": lazy_gettext("A list is needed here."),
    "not_mapping": lazy_gettext("A block of keys and values is needed here."),
    "not_boolean": lazy_gettext("Only true or false is allowed here."),
    "unexpected_boolean": lazy_gettext("True or false is not allowed here."),
    "not_date": lazy_gettext("Enter a date such as 2026-01-31."),
    "not_time": lazy_gettext("Enter a time such as 09:00."),
    "not_pbx_key": lazy_gettext("Up to 20 lower-case Latin letters, digits and hyphens."),
    "not_phone": lazy_gettext("Enter a phone number such as +79160000101; separate several with commas."),
    "not_phone_prefix": lazy_gettext("Enter the beginning of a number, such as +7495."),
    "not_allowed": lazy_gettext("Possible values: %(expected)s."),
    "empty_list": _CHOOSE_ONE,
    "bad_characters": lazy_gettext("This text contains characters that cannot be stored."),
    "bad_value": lazy_gettext("This value is not allowed: %(reason)s."),
    "not_yaml": lazy_gettext("This is not YAML: %(reason)s."),
    "document_too_long": lazy_gettext("The document is longer than %(max_length)s characters."),
    "too_many": lazy_gettext("At most %(most)s are possible here."),
    "too_many_values": lazy_gettext("The document holds more than %(most)s values."),
    "too_deep": lazy_gettext("This is nested too deeply."),
    "document_not_mapping": lazy_gettext("The document must consist of sections such as pbxs."),
    "portal_silent": lazy_gettext(
        "Bitrix24 does not answer at the moment, so the chosen employees cannot be checked. Try again."
    ),
    "would_be_deleted": lazy_gettext("This would be deleted."),
    "unknown_user": lazy_gettext("There is no such active employee in your Bitrix24."),
    "unknown_timezone": lazy_gettext("There is no such time zone."),
    "empty_hours": lazy_gettext("The working hours end when they begin."),
    "repeated_pbx": lazy_gettext("Another PBX has this short name."),
    "repeated_extension": lazy_gettext("This extension is listed twice."),
    "repeated_rule": lazy_gettext("Another rule has this name."),
    "repeated_line": lazy_gettext("This number is already a line of the PBX %(pbx)s."),
    "half_key": lazy_gettext("Copy it from Mango Office: the code and the key belong together."),
    "repeated_api_key": lazy_gettext("This PBX is already connected as “%(pbx)s”."),
    "no_dialect": _CHOOSE_ONE,
    "unknown_condition": lazy_gettext("There is no such condition. Possible: %(known)s."),
    "unknown_action": lazy_gettext("There is no such action. Possible: %(known)s."),
    "unknown_action_part": lazy_gettext("The action has no such field. Possible: %(known)s."),
    "no_action": lazy_gettext("Add at least one action."),
    "not_one_action": lazy_gettext("Exactly one action is needed here."),
    "nothing_not_alone": lazy_gettext("“Nothing” must be the only action: remove it, or the other actions."),
    "unknown_pbx": lazy_gettext("There is no such PBX."),
    "unknown_line": lazy_gettext("There is no such line."),
    "not_entity": lazy_gettext("Choose a lead, a deal, a contact or a smart process."),
    "not_user_or_role": lazy_gettext("Choose an employee."),
    "not_field_values": lazy_gettext("Field names and their values are needed here."),
    "not_field_name": lazy_gettext("Each field needs a name."),
    "unknown_smart_process": lazy_gettext("This smart process no longer exists in Bitrix24."),
    "unknown_pipeline": lazy_gettext("This pipeline no longer exists in Bitrix24. Choose another one."),
    "unknown_stage": lazy_gettext("This pipeline has no such stage. Choose another one."),
    "unknown_source": lazy_gettext("This source no longer exists in Bitrix24. Choose another one."),
    "template_block": lazy_gettext("Expressions such as {{ client.number }} are allowed here, blocks are not."),
    "template_unreadable": lazy_gettext("This text cannot be read: %(reason)s."),
    "template_too_deep": lazy_gettext("This expression is nested too deeply."),
    "template_bare_name": lazy_gettext("%(name)s alone has no text. Write %(example)s, for example."),
    "template_unknown_name": _KNOWN_NAMES,
    "template_unknown_attribute": _KNOWN_NAMES,
    "template_chained_attribute": lazy_gettext("%(name)s must follow a name such as client."),
    "template_forbidden": lazy_gettext(
        "Calls, brackets, *, ** and %% are not allowed in expressions (line %(line)s)."
    ),
}


def describe_fault(fault: Fault) -> str:
    """The fault in the page's language."""
    return str(SENTENCES[fault.code]) % {name: format_param(value) for name, value in fault.params.items()}
