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
from bx24app.domain.rules import missed_matrix
from bx24app.domain.rules.table import ACTIONS
from bx24app.models import db
from bx24app.portals import crm_dictionaries
from bx24app.web.base import rendering
from bx24app.web.base.parsing import whole
from bx24app.web.rules import dry_run_page, matrix_form, rule_form, rule_presentation
from bx24app.web.rules.rule_form import Item
from bx24app.web.settings import saving
from bx24app.web.settings.saving import Document, Outcome

blueprint = Blueprint("rules", __name__)


@blueprint.get("")
def show() -> Response:
    """The page."""
    return _page(rule_form.items(_saved()))


@blueprint.post("")
def save() -> Response:
    """Save the draft; with faults, the rules that have them open at their fields."""
    shown = rule_form.read(request.form)

    def change(data: Document) -> None:
        if shown or "whole" in request.form:  # a form that holds no list says nothing about it
            data.update(rules=_drafted(shown))

    outcome = saving.save(change, gettext("Rules changed"))
    if outcome.good:
        return _page(rule_form.items(_saved()), outcome)
    for fault in outcome.faults:
        if not rule_form.place(shown, fault.path, fault.words) and fault.path:
            outcome.said.words.append(f"{fault.words} ({fault.path})")
    return _page(shown, outcome)


@blueprint.post("/body")
def body() -> Response:
    """The matrix and the list anew, after the matrix, or a ready one, was put into the rules."""
    shown = rule_form.read(request.form)
    preset = missed_matrix.PRESETS.get(request.form.get("preset", ""))
    wanted = preset or matrix_form.read(request.form, missed_matrix.by_hand(_drafted(shown)))
    rules = missed_matrix.put(_drafted(shown), wanted)
    return _body(_again(shown, rules))


@blueprint.post("/names")
def names() -> Response:
    """Pipelines, stages and sources read anew from the portal; the draft stays."""
    trouble = ""
    portal_id = rule_presentation.portal_id()
    db.session.rollback()  # no transaction is held while the portal is asked
    try:
        crm_dictionaries.fetch(portal_id)
    except PortalError:
        db.session.rollback()
        trouble = gettext("Bitrix24 does not answer just now. Names are as they were read last.")
    rendering.look_again()
    return _body(rule_form.read(request.form), trouble)


@blueprint.post("/rule")
def rule() -> Response:
    """One rule anew: `op` opens or closes it, adds an action or a field, makes a new one or a copy."""
    shown = rule_form.read(request.form)
    op, _, argument = request.form.get("op", "").partition(":")
    if op == "add":
        return _item(_new(shown), shown)
    item = next((one for one in shown if one.token == request.form.get("token")), None)
    if item is None:
        raise NotFound
    if op == "copy":
        return _item(_copy(item, shown), shown)
    item.open = op != "close"
    _change(item, op, argument)
    return _item(item, shown, op)


@blueprint.post("/words")
def words() -> Response:
    """The sentence of an open rule, while it is typed."""
    item = rule_form.one(request.form, request.form.get("token", ""))
    return Response(rule_presentation.sentence(item))


@blueprint.post("/try")
def try_() -> Response:
    """The draft against the last calls."""
    return Response(
        render_template(
            "parts/rules_trial.html", trial=dry_run_page.last(rule_form.read(request.form)), last=dry_run_page.LAST
        )
    )


@blueprint.post("/numbers")
def numbers() -> Response:
    """What saving the draft would change, in a sentence."""
    return Response(dry_run_page.numbers(rule_form.read(request.form)))


@blueprint.post("/why")
def why() -> Response:
    """The trace of one call under the draft."""
    call = request.form.get("call", "")
    call_id = whole(call)
    if call_id is None:
        raise NotFound
    return Response(render_template("parts/rules_why.html", **dry_run_page.why(rule_form.read(request.form), call_id)))


def _change(item: Item, op: str, argument: str) -> None:
    """Operations within an open rule; an unknown one changes nothing."""
    do: list[Document] = item.rule.setdefault("do", [])
    if op == "act" and argument in ACTIONS:
        do.append({argument: dict(rule_presentation.STARTS.get(argument, {}))})
    if op == "target":
        rule_presentation.drop_strange_stages(do)
    place, _, name = argument.partition(":")
    index = whole(place)
    if index is None or index >= len(do):
        return
    if op == "drop":
        del do[index]
    if op in ("field", "unfield"):
        parts = do[index].get("create")
        if isinstance(parts, dict):
            fields = parts.setdefault("fields", {})
            fields.pop(name, None) if op == "unfield" else fields.setdefault("", "")


def _new(shown: list[Item]) -> Item:
    names = {str(item.rule.get("name")) for item in shown}
    free = (gettext("Rule %(number)s", number=number) for number in range(len(shown) + 1, len(shown) + 300))
    name = next(name for name in free if name not in names)
    return Item(rule_form.fresh(shown), {"name": name, "when": {}, "do": []}, open=True)


def _copy(item: Item, shown: list[Item]) -> Item:
    names = {str(one.rule.get("name")) for one in shown}
    base = str(item.rule.get("name"))[:180]
    name = next(name for number in range(2, len(shown) + 300) if (name := f"{base} ({number})") not in names)
    return Item(rule_form.fresh(shown), copy.deepcopy(item.rule) | {"name": name}, open=True)


def _again(shown: list[Item], rules: list[Document]) -> list[Item]:
    """The rules of a changed draft; those that were open stay open, tokens stay with their rules."""
    left = list(shown)
    found: list[Item] = []
    for one in rules:
        held = next((item for item in left if item.rule.get("name") == one.get("name")), None)
        if held is not None:
            left.remove(held)
        fresh = rule_form.fresh([*shown, *found])
        found.append(Item(held.token, one, held.open) if held is not None else Item(fresh, one))
    return found


def _drafted(shown: list[Item]) -> list[Document]:
    return [item.rule for item in shown]


def _saved() -> list[Document]:
    found: list[Document] = document.dump(rendering.current())["rules"]
    return found


_FOCUS = {
    "open": ".editor input[type=text]",
    "close": "[data-testid=edit]",
    "act": ".act:nth-last-of-type(1) :is(select, input:not([type=hidden]), textarea)",
    "drop": ".add button",
    "field": '.pair:has(input[value=""]) input[type=text]',
}
"""Operation -> what has the keyboard's focus after it; another pipeline leaves it where it is."""


def _item(item: Item, shown: list[Item], op: str = "open") -> Response:
    facts = rule_presentation.facts([*shown, item])
    return Response(render_template("parts/rule.html", item=item, focus=_FOCUS.get(op, ""), **facts))


def _body(shown: list[Item], trouble: str = "") -> Response:
    return Response(render_template("parts/rules_body.html", names_trouble=trouble, **rule_presentation.facts(shown)))


def _page(shown: list[Item], outcome: Outcome | None = None) -> Response:
    return rendering.show(
        "rules.html",
        "rules",
        outcome.status if outcome is not None else 200,
        version=saving.number(),
        said=outcome.said if outcome is not None else None,
        **rule_presentation.facts(shown),
    )
