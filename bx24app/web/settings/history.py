"""History of the settings in the frame: who changed what, when and from where; two versions side by side; back to an earlier one."""

from __future__ import annotations

from flask import Blueprint, Response, g, request
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import defer
from werkzeug.exceptions import NotFound

from bx24app import settings
from bx24app.domain import document
from bx24app.domain.document.comparison import Difference, compare_settings
from bx24app.domain.settings import Settings
from bx24app.models import SettingsVersion, db
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
    asked = parse_int(other)
    base = asked if asked is not None and asked <= _current_number() else number - 1
    older, newer = sorted((base, number))
    old = saving.find_version(older)
    if old is None and older > 0:
        raise NotFound
    rows = differences.build_rows(_version_settings(old), _version_settings(saving.find_version(newer)))
    return rendering.render_response(
        "history_version.html",
        "history",
        row=row,
        older=older,
        newer=newer,
        present=_current_number(),
        rows=rows,
        source=_describe_source(row),
        people=directory.by_ids([row.author]),
    )


@blueprint.get("/<int:number>/back")
def confirm_rollback(number: int) -> Response:
    """What going back to a version would change and stop, before it is done."""
    return _render_rollback(number)


@blueprint.post("/<int:number>/back")
def roll_back(number: int) -> Response:
    """Save an earlier version as a new one, checked like everything else that is saved."""
    wanted = document.dump(_version_settings(_get_version(number)))

    def restore_document(data: Document) -> None:
        data.clear()
        data.update(wanted)

    outcome = saving.save(restore_document, gettext("Back to version %(number)d", number=number), source="rollback")
    if not outcome.is_accepted:
        return _render_rollback(number, outcome)
    return _render_list(outcome.message)


def _render_rollback(number: int, outcome: SaveResult | None = None) -> Response:
    row, now = _get_version(number), rendering.load_settings()
    then = _version_settings(row)
    found = compare_settings(now, then)
    gone = differences.group_removed(found)
    said = outcome.message if outcome is not None else None
    if outcome is not None and said is not None and said.kind == "wrong":
        said.texts.extend(f"{fault.path}: {fault.message}" for fault in outcome.faults if fault.path)
    return rendering.render_response(
        "history_back.html",
        "history",
        outcome.http_status if outcome is not None else 200,
        row=row,
        rows=differences.build_rows(now, then, found),
        gone={kind: len(found) for kind, found in gone.items()},
        calls=_count_calls(gone) if gone else 0,
        version=_current_number(),
        said=said,
        people=directory.by_ids([row.author]),
    )


def _count_calls(gone: dict[str, list[Difference]]) -> int:
    """Calls of yesterday on what would go."""
    pbxs = {one.name for one in gone.get("pbx", ())}
    lines = [(one.pbx, str((one.old or {}).get("number"))) for one in gone.get("line", ())]
    return call_counts.count_calls_yesterday(pbxs, lines)


def _render_list(said: FormMessage | None = None) -> Response:
    rendering.load_settings()
    before = request.args.get("before", "")
    rows = select(SettingsVersion).options(defer(SettingsVersion.document, raiseload=True))
    query = rows.where(SettingsVersion.portal_id == g.portal.id)
    below = parse_int(before)
    if below is not None:
        query = query.where(SettingsVersion.number < below)
    found = list(db.session.scalars(query.order_by(SettingsVersion.number.desc()).limit(VERSIONS_PER_PAGE + 1)))
    return rendering.render_response(
        "history.html",
        "history",
        entries=[(row, _describe_source(row)) for row in found[:VERSIONS_PER_PAGE]],
        more=found[VERSIONS_PER_PAGE - 1].number if len(found) > VERSIONS_PER_PAGE else 0,
        first=not before,
        present=_current_number(),
        people=directory.by_ids(row.author for row in found),
        said=said,
    )


def _get_version(number: int) -> SettingsVersion:
    rendering.load_settings()
    found = saving.find_version(number)
    if found is None:
        raise NotFound
    return found


def _version_settings(row: SettingsVersion | None) -> Settings:
    return settings.of_version(row.id if row is not None else None)


def _current_number() -> int:
    return saving.current_number()


def _describe_source(row: SettingsVersion) -> str:
    words = {
        "frame": gettext("this page"),
        "cli": gettext("command line, import"),
        "install": gettext("installation"),
        "rollback": gettext("return to an earlier version"),
    }
    if row.source == "rollback" and row.author is None:
        return str(gettext("command line, return to an earlier version"))
    return str(words.get(row.source, row.source))
