"""`bx24app rules`: the dry run on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bx24app.cli.base import InputError, app_context, get_portal

if TYPE_CHECKING:
    from bx24app.calls.dry_run import DryRunRow, RuleResult
    from bx24app.domain.settings import Settings
    from bx24app.models import Portal


@click.group()
def rules() -> None:
    """What calls make in the CRM."""


@rules.command("try")
@click.option("--portal", "member_id", required=True, help="The portal's member_id.")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A draft, as for settings import; default: the settings.",
)
@click.option("--last", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many of the last calls.")
@click.option("--call", "entry_id", help="One call, by its entry_id: with the trace of every condition.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a call.")
def try_rules(member_id: str, file: Path | None, last: int, entry_id: str | None, as_json: bool) -> None:
    """Try rules on past calls: what they would make, beside what was made. Nothing is sent to the portal.

    Example: bx24app rules try --portal a223c6b3710f85df22e9377d6c4f7553 --file draft.yaml --last 50
    """
    from bx24app.calls import dry_run
    from bx24app.models import db

    with app_context():
        portal = get_portal(member_id)
        draft = _load_draft(portal, file)
        session = db.session()
        if entry_id:
            calls = dry_run.load_entry_calls(session, portal.id, entry_id)
        else:
            calls = dry_run.load_last_calls(session, portal.id, last)
        if entry_id and not calls:
            raise InputError(f"this portal has no call {entry_id}")
        rows = dry_run.compare_rules(session, portal, draft, calls)
        lines = list(_json_lines(rows) if as_json else _text_lines(rows, traced=entry_id is not None))
    for line in lines:
        click.echo(line)


def _load_draft(portal: Portal, file: Path | None) -> Settings:
    from bx24app import settings
    from bx24app.domain import document

    current = settings.current(portal)
    if file is None:
        return current
    try:
        data = document.load_yaml(file.read_text("utf-8-sig"))
        return document.parse(data, current, keyed=settings.pbxs_with_keys(portal), allow_delete=True).settings
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8: byte {error.start} is no letter") from None
    except document.DocumentError as error:
        raise InputError("the draft has faults:\n" + "\n".join(f"  {fault}" for fault in error.faults)) from None


def _json_lines(rows: list[DryRunRow]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row_as_plain(row), ensure_ascii=False, default=str)


def row_as_plain(row: DryRunRow) -> dict[str, Any]:
    """A row as plain data."""
    rule_traces = [
        {
            "rule": trace.rule,
            "verdict": trace.verdict,
            "conditions": [
                {
                    "condition": condition.condition,
                    "expected": condition.expected,
                    "seen": condition.actual,
                    "ok": condition.is_fulfilled,
                }
                for condition in trace.conditions
            ],
        }
        for trace in row.rule_trace
    ]
    return {
        "entry_id": row.call.entry_id,
        "pbx": row.call.pbx_key,
        "client_number": row.call.client_number,
        "started_at": row.call.started_at.isoformat(),
        "outcome": row.call.outcome,
        "differs": row.differs,
        "really": {
            "rule": row.actual.rule,
            "actions": row.actual.actions,
            "crm": row.call.crm,
            "problem": row.call.problem,
        },
        "would": {"rule": row.draft.rule, "actions": row.draft.actions},
        "trace": rule_traces,
    }


def _text_lines(rows: list[DryRunRow], traced: bool) -> Iterator[str]:
    for row in rows:
        call = row.call
        mark = "*" if row.differs else " "
        began, outcome = call.started_at.strftime("%Y-%m-%d %H:%M"), call.outcome or "-"
        client = call.client_number or "anonymous"
        yield f"{mark} {began}  {call.direction:8} {outcome:8} {client:16} {call.entry_id}"
        yield f"    really: {_describe_result(row.actual)}"
        yield f"    would:  {_describe_result(row.draft)}"
        for trace in row.rule_trace if traced else ():
            yield f"    {trace.verdict:9} {trace.rule}"
            for condition in trace.conditions:
                verdict = {True: "yes", False: "no", None: "not known"}[condition.is_fulfilled]
                values = f"expected {condition.expected}, seen {condition.actual}"
                yield f"              {condition.condition}: {values}: {verdict}"
    different = sum(row.differs for row in rows)
    yield f"{len(rows)} calls tried, {different} would be decided otherwise"


def _describe_result(result: RuleResult) -> str:
    actions = "; ".join(map(_describe_action, result.actions))
    return f"[{result.rule or 'no rule: calls.*'}] {actions or 'nothing'}"


def _describe_action(action: dict[str, Any]) -> str:
    return " ".join(str(value) if name == "action" else f"{name}={value}" for name, value in action.items())
