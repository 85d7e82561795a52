"""Words the faults of a settings document for pages, by their codes, in the page's language."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext

from bx24app.domain.faults import Fault, format_param

_FILL_IN = lazy_gettext("Fill this in.")
_NOT_NEGATIVE = lazy_gettext("A whole number, not negative.")
_CHOOSE_ONE = lazy_gettext("Choose at least one.")
_KNOWN_NAMES = lazy_gettext("%(name)s is not known here. Known are: %(known)s.")
SENTENCES: dict[str, Any] = {
    "missing": _FILL_IN,
    "empty": _FILL_IN,
    "not_text": _FILL_IN,
    "missing_api_key": _FILL_IN,
    "not_integer": _NOT_NEGATIVE,
    "too_small": _NOT_NEGATIVE,
    "below_minimum": _NOT_NEGATIVE,
    "negative": _NOT_NEGATIVE,
    "not_positive": lazy_gettext("A whole number above 0."),
    "above_maximum": lazy_gettext("At most %(le)s."),
    "not_number": lazy_gettext("Enter a number."),
    "too_long": lazy_gettext("At most %(max_length)s characters."),
    "unknown_key": lazy_gettext("There is no such setting."),
    "not_list": lazy_gettext("A list is needed here."),
    "not_mapping": lazy_gettext("A block of keys and values is needed here."),
    "not_boolean": lazy_gettext("Only true or false is possible here."),
    "unexpected_boolean": lazy_gettext("True or false is not possible here."),
    "not_date": lazy_gettext("A date such as 2026-01-31."),
    "not_time": lazy_gettext("A time such as 09:00."),
    "not_pbx_key": lazy_gettext("Up to 20 small Latin letters, digits and hyphens."),
    "not_phone": lazy_gettext("A telephone such as +79160000101; separate several with commas."),
    "not_phone_prefix": lazy_gettext("The beginning of a number, such as +7495."),
    "not_allowed": lazy_gettext("One of these is possible: %(expected)s."),
    "empty_list": _CHOOSE_ONE,
    "bad_characters": lazy_gettext("This text contains characters that cannot be stored."),
    "bad_value": lazy_gettext("This value is not possible: %(reason)s."),
    "not_yaml": lazy_gettext("This is not YAML: %(reason)s."),
    "document_too_long": lazy_gettext("The document is longer than %(max_length)s characters."),
    "document_not_mapping": lazy_gettext("The document must consist of sections such as pbxs."),
    "portal_silent": lazy_gettext(
        "Bitrix24 does not answer just now, so the chosen employees cannot be checked. Try again."
    ),
    "would_be_deleted": lazy_gettext("This would be deleted."),
    "unknown_user": lazy_gettext("There is no such active employee in your Bitrix24."),
    "unknown_timezone": lazy_gettext("There is no such time zone."),
    "empty_hours": lazy_gettext("The working time ends when it begins."),
    "repeated_pbx": lazy_gettext("Another PBX has this short name."),
    "repeated_extension": lazy_gettext("This extension is listed twice."),
    "repeated_rule": lazy_gettext("Another rule has this name."),
    "repeated_line": lazy_gettext("This number is already a line of the PBX %(pbx)s."),
    "half_key": lazy_gettext("Copy it from Mango Office, both belong together."),
    "no_dialect": _CHOOSE_ONE,
    "unknown_condition": lazy_gettext("There is no such condition. Known are: %(known)s."),
    "unknown_action": lazy_gettext("There is no such action. Known are: %(known)s."),
    "unknown_action_part": lazy_gettext("The action has no such field. Known are: %(known)s."),
    "no_action": lazy_gettext("Add at least one action."),
    "not_one_action": lazy_gettext("Exactly one action is needed here."),
    "nothing_not_alone": lazy_gettext("“Nothing” must be the only action: remove it, or the other actions."),
    "unknown_pbx": lazy_gettext("There is no such PBX."),
    "unknown_line": lazy_gettext("There is no such line."),
    "not_entity": lazy_gettext("Choose a lead, a deal, a contact or a smart process."),
    "not_user_or_role": lazy_gettext("Choose an employee."),
    "not_field_values": lazy_gettext("Field names and their values are needed here."),
    "not_field_name": lazy_gettext("Each field needs a name."),
    "unknown_smart_process": lazy_gettext("Bitrix24 has no such smart process any more."),
    "unknown_pipeline": lazy_gettext("Bitrix24 has no such pipeline any more. Choose another one."),
    "unknown_stage": lazy_gettext("This pipeline has no such stage. Choose another one."),
    "unknown_source": lazy_gettext("Bitrix24 has no such source any more. Choose another one."),
    "template_block": lazy_gettext("Expressions such as {{ client.number }} are possible here, blocks are not."),
    "template_unreadable": lazy_gettext("This text cannot be read: %(reason)s."),
    "template_too_deep": lazy_gettext("This expression is nested too deeply."),
    "template_bare_name": lazy_gettext("%(name)s alone gives no text. Write %(example)s or the like."),
    "template_unknown_name": _KNOWN_NAMES,
    "template_unknown_attribute": _KNOWN_NAMES,
    "template_chained_attribute": lazy_gettext("%(name)s must follow a name such as client."),
    "template_forbidden": lazy_gettext(
        "Calls, brackets, *, ** and %% are not possible in expressions (line %(line)s)."
    ),
}


def describe_fault(fault: Fault) -> str:
    """The fault in the page's language."""
    return str(SENTENCES[fault.code]) % {name: format_param(value) for name, value in fault.params.items()}
