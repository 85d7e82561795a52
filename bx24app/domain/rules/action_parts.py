"""The table of actions: the check at saving, the editor and docs/rules.md read it."""

from __future__ import annotations

from dataclasses import dataclass

from bx24app.domain.rules import checks as check
from bx24app.domain.rules.checks import ValueCheck


@dataclass(frozen=True, slots=True)
class ActionPart:
    """One key of an action."""

    check: ValueCheck
    description: str
    is_required: bool = False


ACTIONS: dict[str, dict[str, ActionPart]] = {
    "create": {
        "entity": ActionPart(
            check.entity_type,
            "what is created: lead, deal, contact, or a smart process by its entity type id",
            is_required=True,
        ),
        "category_id": ActionPart(check.not_negative, "the pipeline"),
        "stage_id": ActionPart(check.non_empty_text, "the stage"),
        "title": ActionPart(check.template_text, "title, or a contact's name"),
        "responsible": ActionPart(check.user_or_role, "who gets it; default: as the call's own records"),
        "source_id": ActionPart(check.non_empty_text, "the source"),
        "fields": ActionPart(check.field_values, "further fields; their texts are templates"),
        "duplicate": ActionPart(
            check.one_of("skip", "allow"), "whether the client may get a second open one; default: skip"
        ),
        "if_absent": ActionPart(
            check.one_of("keep", "next"), "when the responsible's working day is closed; default: keep"
        ),
    },
    "todo": {
        "deadline_minutes": ActionPart(check.positive_number, "minutes until the deadline; default: 30"),
        "working": ActionPart(check.true_or_false, "count working minutes of the line; default: false"),
        "responsible": ActionPart(check.user_or_role, "who is to do it; default: as the call's own records"),
        "title": ActionPart(check.template_text, "what is to be done"),
        "if_absent": ActionPart(
            check.one_of("keep", "next"), "when the responsible's working day is closed; default: keep"
        ),
    },
    "comment": {"text": ActionPart(check.template_text, "the text in the client's timeline", is_required=True)},
    "notify": {
        "user": ActionPart(check.user_or_role, "who gets the notice", is_required=True),
        "text": ActionPart(check.template_text, "the text", is_required=True),
    },
    "nothing": {},
}
