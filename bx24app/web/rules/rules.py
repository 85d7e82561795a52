"""Rules in the frame: the list with its order, an editor for each, the missed-call matrix above it.

The page carries the whole draft: every part that is asked for again comes from what the form holds, and nothing is kept between requests.
"""

from __future__ import annotations

import copy

from flask import Blueprint, Response, render_template, request
from flask_babel import gettext
from werkzeug.exceptions import NotFound

from bx24app.bitrix24.errors import PortalError
from bx24app.domain import document
from bx24app.domain.rules import ACTIONS, missed_matrix
from bx24app.models import db
from bx24app.portals import crm_dictionaries
from bx24app.web.base import rendering
from bx24app.web.base.parsing import parse_int
from bx24app.web.rules import dry_run_page, matrix_form, rule_form, rule_presentation
from bx24app.web.rules.rule_form import RuleItem
from bx24app.web.settings import saving
from bx24app.web.settings.saving import Document, SaveResult

blueprint = Blueprint("rules", __name__)


@blueprint.get("")
def show() -> Response:
    """The page."""
    return _render_page(rule_form.closed_items(_saved_rules()))


@blueprint.post("")
def save() -> Response:
    """Save the draft; with faults, the rules that have them open at their fields."""
    shown = rule_form.read_form(request.form)

    def replace_rules(data: Document) -> None:
        if shown or "whole" in request.form:  # a form that holds no list says nothing about it
            data.update(rules=_draft_rules(shown))

    outcome = saving.save(replace_rules, gettext("Rules changed"))
    if outcome.is_accepted:
        return _render_page(rule_form.closed_items(_saved_rules()), outcome)
    for fault in outcome.faults:
        if not rule_form.mark_fault(shown, fault.path, fault.message) and fault.path:
            outcome.message.texts.append(f"{fault.message} ({fault.path})")
    return _render_page(shown, outcome)


@blueprint.post("/body")
def apply_matrix() -> Response:
    """The matrix and the list anew, after the matrix, or a ready one, was put into the rules."""
    shown = rule_form.read_form(request.form)
    preset = missed_matrix.MATRIX_PRESETS.get(request.form.get("preset", ""))
    wanted = preset or matrix_form.read_matrix(request.form, missed_matrix.customised_cells(_draft_rules(shown)))
    rules = missed_matrix.merge_rules(_draft_rules(shown), wanted)
    return _render_body(_rebuild_items(shown, rules))


@blueprint.post("/names")
def reload_dictionaries() -> Response:
    """Pipelines, stages and sources read anew from the portal; the draft stays."""
    trouble = ""
    portal_id = rule_presentation.portal_id()
    db.session.rollback()  # no transaction is held while the portal is asked
    try:
        crm_dictionaries.fetch(portal_id)
    except PortalError:
        db.session.rollback()
        trouble = gettext("Bitrix24 does not answer just now. Names are as they were read last.")
    rendering.reload_portal()
    return _render_body(rule_form.read_form(request.form), trouble)


@blueprint.post("/rule")
def edit_rule() -> Response:
    """One rule anew: `op` opens or closes it, adds an action or a field, makes a new one or a copy."""
    shown = rule_form.read_form(request.form)
    op, _, argument = request.form.get("op", "").partition(":")
    if op == "add":
        return _render_item(_new_rule(shown), shown)
    item = next((one for one in shown if one.token == request.form.get("token")), None)
    if item is None:
        raise NotFound
    if op == "copy":
        return _render_item(_copy_rule(item, shown), shown)
    item.is_open = op != "close"
    _apply_operation(item, op, argument)
    return _render_item(item, shown, op)


@blueprint.post("/words")
def describe_rule() -> Response:
    """The sentence of an open rule, while it is typed."""
    item = rule_form.read_rule(request.form, request.form.get("token", ""))
    return Response(rule_presentation.describe_rule(item))


@blueprint.post("/try")
def show_dry_run() -> Response:
    """The draft against the last calls."""
    return Response(
        render_template(
            "parts/rules_trial.html", trial=dry_run_page.try_last_calls(rule_form.read_form(request.form)), last=dry_run_page.CALL_LIMIT
        )
    )


@blueprint.post("/numbers")
def describe_changes() -> Response:
    """What saving the draft would change, in a sentence."""
    return Response(dry_run_page.describe_changes(rule_form.read_form(request.form)))


@blueprint.post("/why")
def explain_call() -> Response:
    """The trace of one call under the draft."""
    call = request.form.get("call", "")
    call_id = parse_int(call)
    if call_id is None:
        raise NotFound
    return Response(render_template("parts/rules_why.html", **dry_run_page.explain_call(rule_form.read_form(request.form), call_id)))


def _apply_operation(item: RuleItem, op: str, argument: str) -> None:
    """Operations within an open rule; an unknown one changes nothing."""
    do: list[Document] = item.rule.setdefault("do", [])
    if op == "act" and argument in ACTIONS:
        do.append({argument: dict(rule_presentation.ACTION_DEFAULTS.get(argument, {}))})
    if op == "target":
        rule_presentation.drop_unknown_stages(do)
    place, _, name = argument.partition(":")
    index = parse_int(place)
    if index is None or index >= len(do):
        return
    if op == "drop":
        del do[index]
    if op in ("field", "unfield"):
        parts = do[index].get("create")
        if isinstance(parts, dict):
            fields = parts.setdefault("fields", {})
            fields.pop(name, None) if op == "unfield" else fields.setdefault("", "")


def _new_rule(shown: list[RuleItem]) -> RuleItem:
    names = {str(item.rule.get("name")) for item in shown}
    free = (gettext("Rule %(number)s", number=number) for number in range(len(shown) + 1, len(shown) + 300))
    name = next(name for name in free if name not in names)
    return RuleItem(rule_form.free_token(shown), {"name": name, "when": {}, "do": []}, is_open=True)


def _copy_rule(item: RuleItem, shown: list[RuleItem]) -> RuleItem:
    names = {str(one.rule.get("name")) for one in shown}
    base = str(item.rule.get("name"))[:180]
    name = next(name for number in range(2, len(shown) + 300) if (name := f"{base} ({number})") not in names)
    return RuleItem(rule_form.free_token(shown), copy.deepcopy(item.rule) | {"name": name}, is_open=True)


def _rebuild_items(shown: list[RuleItem], rules: list[Document]) -> list[RuleItem]:
    """The rules of a changed draft; those that were open stay open, tokens stay with their rules."""
    left = list(shown)
    found: list[RuleItem] = []
    for one in rules:
        held = next((item for item in left if item.rule.get("name") == one.get("name")), None)
        if held is not None:
            left.remove(held)
        fresh = rule_form.free_token([*shown, *found])
        found.append(RuleItem(held.token, one, held.is_open) if held is not None else RuleItem(fresh, one))
    return found


def _draft_rules(shown: list[RuleItem]) -> list[Document]:
    return [item.rule for item in shown]


def _saved_rules() -> list[Document]:
    found: list[Document] = document.dump(rendering.load_settings())["rules"]
    return found


_FOCUS_SELECTORS = {
    "open": ".editor input[type=text]",
    "close": "[data-testid=edit]",
    "act": ".act:nth-last-of-type(1) :is(select, input:not([type=hidden]), textarea)",
    "drop": ".add button",
    "field": '.pair:has(input[value=""]) input[type=text]',
}
"""Operation -> what has the keyboard's focus after it; another pipeline leaves it where it is."""


def _render_item(item: RuleItem, shown: list[RuleItem], op: str = "open") -> Response:
    facts = rule_presentation.template_context([*shown, item])
    return Response(render_template("parts/rule.html", item=item, focus=_FOCUS_SELECTORS.get(op, ""), **facts))


def _render_body(shown: list[RuleItem], trouble: str = "") -> Response:
    return Response(render_template("parts/rules_body.html", names_trouble=trouble, **rule_presentation.template_context(shown)))


def _render_page(shown: list[RuleItem], outcome: SaveResult | None = None) -> Response:
    return rendering.render_response(
        "rules.html",
        "rules",
        outcome.http_status if outcome is not None else 200,
        version=saving.current_number(),
        said=outcome.message if outcome is not None else None,
        **rule_presentation.template_context(shown),
    )
