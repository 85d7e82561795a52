"""Pages of the settings' history: who changed what and when; two versions compared; the return to an earlier one."""

from __future__ import annotations

from flask import Blueprint, Response, g, request
from flask_babel import gettext
from werkzeug.exceptions import NotFound

from bx24app import settings
from bx24app.domain import document
from bx24app.domain.document.comparison import Difference, compare_settings
from bx24app.domain.settings import Settings
from bx24app.models import SettingsVersion
from bx24app.web.base import call_counts, directory, rendering
from bx24app.web.base.parsing import parse_int
from bx24app.web.settings import differences, saving
from bx24app.web.settings.saving import Document, FormMessage, SaveResult

blueprint = Blueprint("history", __name__)
VERSIONS_PER_PAGE = 30


@blueprint.get("")
def show() -> Response:
    """The newest versions first; `before`: those below a number."""
    return _render_list()


@blueprint.get("/<int:number>")
def show_version(number: int) -> Response:
    """What a version changed: against the one before, or against `with`."""
    row = _get_version(number)
    other = request.args.get("with", "")
    chosen = parse_int(other)
    base = chosen if chosen is not None and chosen <= saving.current_number() else number - 1
    older, newer = sorted((base, number))
    old = settings.find_version(g.portal.id, older)
    if old is None and older > 0:
        raise NotFound
    new = settings.find_version(g.portal.id, newer)
    rows = differences.build_rows(_version_settings(old), _version_settings(new))
    return rendering.render_response(
        "history_version.html",
        "history",
        row=row,
        older=older,
        newer=newer,
        current_number=saving.current_number(),
        rows=rows,
        source=_describe_source(row),
        people=directory.by_ids([row.author]),
    )


@blueprint.get("/<int:number>/back")
def confirm_rollback(number: int) -> Response:
    """What the return to a version would change and remove, before it is done."""
    return _render_rollback(number)


@blueprint.post("/<int:number>/back")
def roll_back(number: int) -> Response:
    """Save an earlier version as a new one, checked like every other save."""
    wanted = document.dump(_version_settings(_get_version(number)))

    def restore_document(data: Document) -> None:
        data.clear()
        data.update(wanted)

    outcome = saving.save(restore_document, gettext("Return to version %(number)d", number=number), source="rollback")
    if not outcome.is_accepted:
        return _render_rollback(number, outcome)
    return _render_list(outcome.message)


def _render_rollback(number: int, outcome: SaveResult | None = None) -> Response:
    row, present = _get_version(number), rendering.load_settings()
    wanted = _version_settings(row)
    changes = compare_settings(present, wanted)
    removed = differences.group_removed(changes)
    message = outcome.message if outcome is not None else None
    if outcome is not None and message is not None and message.kind == "wrong":
        message.texts.extend(f"{fault.path}: {fault.message}" for fault in outcome.faults if fault.path)
    return rendering.render_response(
        "history_back.html",
        "history",
        outcome.http_status if outcome is not None else 200,
        row=row,
        rows=differences.build_rows(present, wanted, changes),
        removed={kind: len(things) for kind, things in removed.items()},
        calls=_count_calls(removed) if removed else 0,
        version=saving.current_number(),
        message=message,
        people=directory.by_ids([row.author]),
    )


def _count_calls(removed: dict[str, list[Difference]]) -> int:
    """Yesterday's calls on what would be removed."""
    pbxs = {difference.name for difference in removed.get("pbx", ())}
    lines = [(difference.pbx, str((difference.old or {}).get("number"))) for difference in removed.get("line", ())]
    return call_counts.count_calls_yesterday(pbxs, lines)


def _render_list(message: FormMessage | None = None) -> Response:
    rendering.load_settings()
    before = request.args.get("before", "")
    rows = settings.history(g.portal.id, VERSIONS_PER_PAGE + 1, below=parse_int(before))
    return rendering.render_response(
        "history.html",
        "history",
        entries=[(row, _describe_source(row)) for row in rows[:VERSIONS_PER_PAGE]],
        next_before=rows[VERSIONS_PER_PAGE - 1].number if len(rows) > VERSIONS_PER_PAGE else 0,
        is_first_page=not before,
        current_number=saving.current_number(),
        people=directory.by_ids(row.author for row in rows),
        message=message,
    )


def _get_version(number: int) -> SettingsVersion:
    rendering.load_settings()
    row = settings.find_version(g.portal.id, number)
    if row is None:
        raise NotFound
    return row


def _version_settings(row: SettingsVersion | None) -> Settings:
    return settings.of_version(row.id if row is not None else None)


def _describe_source(row: SettingsVersion) -> str:
    sources = {
        "frame": gettext("application settings"),
        "cli": gettext("command line, import"),
        "install": gettext("installation"),
        "rollback": gettext("return to an earlier version"),
    }
    if row.source == "rollback" and row.author is None:
        return str(gettext("command line, return to an earlier version"))
    return str(sources.get(row.source, row.source))
