"""History of the settings in the frame: who changed what, when and from where; two versions side by side; back to an earlier one."""

from __future__ import annotations

from flask import Blueprint, Response, g, request
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import defer
from werkzeug.exceptions import NotFound

from bx24app import settings
from bx24app.domain import document
from bx24app.domain.document.comparison import Difference, compare
from bx24app.domain.settings import Settings
from bx24app.models import SettingsVersion, db
from bx24app.web.base import call_counts, directory, rendering
from bx24app.web.base.parsing import whole
from bx24app.web.settings import differences, saving
from bx24app.web.settings.saving import Document, Outcome, Said

blueprint = Blueprint("history", __name__)
PAGE = 30


@blueprint.get("")
def show() -> Response:
    """The newest versions first; `before`: those below a number."""
    return _list()


@blueprint.get("/<int:number>")
def one(number: int) -> Response:
    """What a version changed: against the one before, or against `with`."""
    row = _version(number)
    other = request.args.get("with", "")
    asked = whole(other)
    base = asked if asked is not None and asked <= _present() else number - 1
    older, newer = sorted((base, number))
    old = saving.version(older)
    if old is None and older > 0:
        raise NotFound
    rows = differences.rows(_settings(old), _settings(saving.version(newer)))
    return rendering.show(
        "history_version.html",
        "history",
        row=row,
        older=older,
        newer=newer,
        present=_present(),
        rows=rows,
        source=_source(row),
        people=directory.of([row.author]),
    )


@blueprint.get("/<int:number>/back")
def ask_back(number: int) -> Response:
    """What going back to a version would change and stop, before it is done."""
    return _back(number)


@blueprint.post("/<int:number>/back")
def back(number: int) -> Response:
    """Save an earlier version as a new one, checked like everything else that is saved."""
    wanted = document.dump(_settings(_version(number)))

    def change(data: Document) -> None:
        data.clear()
        data.update(wanted)

    outcome = saving.save(change, gettext("Back to version %(number)d", number=number), source="rollback")
    if not outcome.good:
        return _back(number, outcome)
    return _list(outcome.said)


def _back(number: int, outcome: Outcome | None = None) -> Response:
    row, now = _version(number), rendering.current()
    then = _settings(row)
    found = compare(now, then)
    gone = differences.stops(found)
    said = outcome.said if outcome is not None else None
    if outcome is not None and said is not None and said.kind == "wrong":
        said.words.extend(f"{fault.path}: {fault.words}" for fault in outcome.faults if fault.path)
    return rendering.show(
        "history_back.html",
        "history",
        outcome.status if outcome is not None else 200,
        row=row,
        rows=differences.rows(now, then, found),
        gone={kind: len(found) for kind, found in gone.items()},
        calls=_calls(gone) if gone else 0,
        version=_present(),
        said=said,
        people=directory.of([row.author]),
    )


def _calls(gone: dict[str, list[Difference]]) -> int:
    """Calls of yesterday on what would go."""
    pbxs = {one.name for one in gone.get("pbx", ())}
    lines = [(one.pbx, str((one.old or {}).get("number"))) for one in gone.get("line", ())]
    return call_counts.calls_yesterday(pbxs, lines)


def _list(said: Said | None = None) -> Response:
    rendering.current()
    before = request.args.get("before", "")
    rows = select(SettingsVersion).options(defer(SettingsVersion.document, raiseload=True))
    query = rows.where(SettingsVersion.portal_id == g.portal.id)
    below = whole(before)
    if below is not None:
        query = query.where(SettingsVersion.number < below)
    found = list(db.session.scalars(query.order_by(SettingsVersion.number.desc()).limit(PAGE + 1)))
    return rendering.show(
        "history.html",
        "history",
        entries=[(row, _source(row)) for row in found[:PAGE]],
        more=found[PAGE - 1].number if len(found) > PAGE else 0,
        first=not before,
        present=_present(),
        people=directory.of(row.author for row in found),
        said=said,
    )


def _version(number: int) -> SettingsVersion:
    rendering.current()
    found = saving.version(number)
    if found is None:
        raise NotFound
    return found


def _settings(row: SettingsVersion | None) -> Settings:
    return settings.of_version(row.id if row is not None else None)


def _present() -> int:
    return saving.number()


def _source(row: SettingsVersion) -> str:
    words = {
        "frame": gettext("this page"),
        "cli": gettext("command line, import"),
        "install": gettext("installation"),
        "rollback": gettext("return to an earlier version"),
    }
    if row.source == "rollback" and row.author is None:
        return str(gettext("command line, return to an earlier version"))
    return str(words.get(row.source, row.source))
