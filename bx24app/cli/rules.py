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
    "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A draft, as for settings import; default: the settings."
)
@click.option("--last", type=click.IntRange(1, 1000), default=50, show_default=True, help="So many calls, newest first.")
@click.option("--call", "entry_id", help="One call, by its entry_id: with the trace of every condition.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a call.")
def try_rules(member_id: str, file: Path | None, last: int, entry_id: str | None, as_json: bool) -> None:
    """Try rules on past calls: what would be made, beside what was. Nothing is sent to the portal.

    Example: bx24app rules try --portal a223c6b3710f85df22e9377d6c4f7553 --file draft.yaml --last 50
    """
    from bx24app.calls import dry_run
    from bx24app.models import db

    with app_context():
        portal = get_portal(member_id)
        draft = _load_draft(portal, file)
        session = db.session()
        calls = dry_run.load_entry_calls(session, portal.id, entry_id) if entry_id else dry_run.load_last_calls(session, portal.id, last)
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
    trials = [
        {
            "rule": one.rule,
            "verdict": one.verdict,
            "conditions": [{"condition": c.condition, "expected": c.expected, "seen": c.actual, "ok": c.is_fulfilled} for c in one.conditions],
        }
        for one in row.rule_trace
    ]
    return {
        "entry_id": row.call.entry_id,
        "pbx": row.call.pbx_key,
        "client_number": row.call.client_number,
        "started_at": row.call.started_at.isoformat(),
        "outcome": row.call.outcome,
        "differs": row.differs,
        "really": {"rule": row.actual.rule, "actions": row.actual.actions, "crm": row.call.crm, "problem": row.call.problem},
        "would": {"rule": row.draft.rule, "actions": row.draft.actions},
        "trace": trials,
    }


def _text_lines(rows: list[DryRunRow], traced: bool) -> Iterator[str]:
    for row in rows:
        call = row.call
        mark = "*" if row.differs else " "
        when = call.started_at.strftime("%Y-%m-%d %H:%M")
        yield f"{mark} {when}  {call.direction:8} {call.outcome or '-':8} {call.client_number or 'anonymous':16} {call.entry_id}"
        yield f"    really: {_describe_result(row.actual)}"
        yield f"    would:  {_describe_result(row.draft)}"
        for one in row.rule_trace if traced else ():
            yield f"    {one.verdict:9} {one.rule}"
            for seen in one.conditions:
                verdict = {True: "yes", False: "no", None: "not known"}[seen.is_fulfilled]
                yield f"              {seen.condition}: expected {seen.expected}, seen {seen.actual}: {verdict}"
    other = sum(row.differs for row in rows)
    yield f"{len(rows)} calls tried, {other} would be decided otherwise"


def _describe_result(said: RuleResult) -> str:
    actions = "; ".join(
        " ".join(f"{value}" if name == "action" else f"{name}={value}" for name, value in action.items()) for action in said.actions
    )
    return f"[{said.rule or 'no rule: calls.*'}] {actions or 'nothing'}"
