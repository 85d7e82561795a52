"""The rules page of the frame: the list of rules in their order, an editor for each, the missed-call matrix above.

Each request carries the whole draft, and each answer is made from it: the server stores nothing between requests.
"""

from __future__ import annotations

import copy
from collections import defaultdict, deque

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
    """Save the draft. With faults, the rules that have them are opened, and each fault is shown at its field."""
    items = rule_form.read_form(request.form)

    def replace_rules(data: Document) -> None:
        if items or "whole" in request.form:  # a form without the list changes no rules
            data.update(rules=_draft_rules(items))

    outcome = saving.save(replace_rules, gettext("Rules changed"))
    if outcome.is_accepted:
        return _render_page(rule_form.closed_items(_saved_rules()), outcome)
    for fault in outcome.faults:
        if not rule_form.mark_fault(items, fault.path, fault.message) and fault.path:
            outcome.message.texts.append(f"{fault.message} ({fault.path})")
    return _render_page(items, outcome)


@blueprint.post("/body")
def apply_matrix() -> Response:
    """Put the matrix, or a preset of it, into the rules; show the matrix and the list again."""
    items = rule_form.read_form(request.form)
    preset = missed_matrix.MATRIX_PRESETS.get(request.form.get("preset", ""))
    wanted = preset or matrix_form.read_matrix(request.form, missed_matrix.customised_cells(_draft_rules(items)))
    rules = missed_matrix.merge_rules(_draft_rules(items), wanted)
    return _render_body(_rebuild_items(items, rules))


@blueprint.post("/names")
def reload_dictionaries() -> Response:
    """Read pipelines, stages and sources from the portal again. The draft stays."""
    problem = ""
    portal_id = rule_presentation.portal_id()
    db.session.rollback()  # no transaction stays open while the portal answers
    try:
        crm_dictionaries.fetch(portal_id)
    except PortalError:
        db.session.rollback()
        problem = gettext("Bitrix24 does not answer at the moment. The names loaded last are shown.")
    rendering.reload_portal()
    return _render_body(rule_form.read_form(request.form), problem)


@blueprint.post("/rule")
def edit_rule() -> Response:
    """Show one rule again: `op` opens or closes it, adds an action or a field, creates a rule or a copy."""
    items = rule_form.read_form(request.form)
    op, _, argument = request.form.get("op", "").partition(":")
    if op == "add":
        return _render_item(_new_rule(items), items)
    token = request.form.get("token")
    item = next((item for item in items if item.token == token), None)
    if item is None:
        raise NotFound
    if op == "copy":
        return _render_item(_copy_rule(item, items), items)
    item.is_open = op != "close"
    _apply_operation(item, op, argument)
    return _render_item(item, items, op)


@blueprint.post("/words")
def describe_rule() -> Response:
    """The sentence of an open rule, while its fields are edited."""
    item = rule_form.read_rule(request.form, request.form.get("token", ""))
    return Response(rule_presentation.describe_rule(item))


@blueprint.post("/try")
def show_dry_run() -> Response:
    """The draft on the last calls."""
    table = dry_run_page.try_last_calls(rule_form.read_form(request.form))
    return Response(render_template("parts/rules_dry_run.html", table=table))


@blueprint.post("/numbers")
def describe_changes() -> Response:
    """What saving the draft would change, in sentences."""
    return Response(dry_run_page.describe_changes(rule_form.read_form(request.form)))


@blueprint.post("/why")
def explain_call() -> Response:
    """The trace of one call under the draft."""
    call_id = parse_int(request.form.get("call", ""))
    if call_id is None:
        raise NotFound
    trace = dry_run_page.explain_call(rule_form.read_form(request.form), call_id)
    return Response(render_template("parts/rules_why.html", **trace))


def _apply_operation(item: RuleItem, op: str, argument: str) -> None:
    """Change an open rule. An unknown operation changes nothing."""
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


def _new_rule(items: list[RuleItem]) -> RuleItem:
    names = {str(item.rule.get("name")) for item in items}
    free = (gettext("Rule %(number)s", number=number) for number in range(len(items) + 1, len(items) + 300))
    name = next(name for name in free if name not in names)
    return RuleItem(next(rule_form.free_tokens(items)), {"name": name, "when": {}, "do": []}, is_open=True)


def _copy_rule(item: RuleItem, items: list[RuleItem]) -> RuleItem:
    names = {str(item.rule.get("name")) for item in items}
    base = str(item.rule.get("name"))[:180]
    name = next(name for number in range(2, len(items) + 300) if (name := f"{base} ({number})") not in names)
    return RuleItem(next(rule_form.free_tokens(items)), copy.deepcopy(item.rule) | {"name": name}, is_open=True)


def _rebuild_items(items: list[RuleItem], rules: list[Document]) -> list[RuleItem]:
    """Items for the rules of a changed draft. A rule keeps its token and stays open by its name."""
    by_name: dict[str, deque[RuleItem]] = defaultdict(deque)
    for item in items:
        by_name[repr(item.rule.get("name"))].append(item)
    tokens, rebuilt = rule_form.free_tokens(items), list[RuleItem]()
    for rule in rules:
        same_name = by_name[repr(rule.get("name"))]
        current = same_name.popleft() if same_name else RuleItem(next(tokens), rule)
        rebuilt.append(RuleItem(current.token, rule, current.is_open))
    return rebuilt


def _draft_rules(items: list[RuleItem]) -> list[Document]:
    return [item.rule for item in items]


def _saved_rules() -> list[Document]:
    rules: list[Document] = document.dump(rendering.load_settings())["rules"]
    return rules


_FOCUS_SELECTORS = {
    "open": ".editor input[type=text]",
    "close": "[data-testid=edit]",
    "act": ".act:nth-last-of-type(1) :is(select, input:not([type=hidden]), textarea)",
    "drop": ".add button",
    "field": '.pair:has(input[value=""]) input[type=text]',
}
"""Operation -> what gets the keyboard focus after it. A change of pipeline leaves the focus where it is."""


def _render_item(item: RuleItem, items: list[RuleItem], op: str = "open") -> Response:
    context = rule_presentation.template_context([*items, item])
    return Response(render_template("parts/rule.html", item=item, focus=_FOCUS_SELECTORS.get(op, ""), **context))


def _render_body(items: list[RuleItem], problem: str = "") -> Response:
    context = rule_presentation.template_context(items)
    return Response(render_template("parts/rules_body.html", problem=problem, **context))


def _render_page(items: list[RuleItem], outcome: SaveResult | None = None) -> Response:
    return rendering.render_response(
        "rules.html",
        "rules",
        outcome.http_status if outcome is not None else 200,
        version=saving.current_number(),
        message=outcome.message if outcome is not None else None,
        **rule_presentation.template_context(items),
    )
