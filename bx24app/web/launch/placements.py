"""Our places in the portal's own pages: a tab in the call card, tabs in CRM records, an item in the telephony menu.

A viewer's rights are the portal's: the record is read with their own token, and what the portal refuses, the tab refuses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, g, jsonify, make_response, render_template, request
from sqlalchemy import select

from bx24app import portals
from bx24app.bitrix24 import errors as portal_errors
from bx24app.bitrix24.inbound import FramePost, Unreadable
from bx24app.domain import phone
from bx24app.infra.logs import log
from bx24app.models import Call, Portal, db
from bx24app.portals import Visit
from bx24app.web.base import errors, headers, session
from bx24app.web.base.parsing import whole
from bx24app.web.base.session import PlaceSession
from bx24app.web.launch import app_frame, placement_calls

blueprint = Blueprint("places", __name__)
_log = log(__name__)


@blueprint.post("/telephony")
def telephony() -> Response:
    """The item in the telephony menu: the app, at its statistics."""
    return app_frame.opened(first="statistics.show")


@blueprint.post("/call")
def call_card() -> Response:
    """The tab in the call card: who called when, what was decided, what was said."""
    visit = _visit()
    if isinstance(visit, Response):
        return visit
    entity = str(visit.options.get("CRM_ENTITY_TYPE") or "").lower()
    number = _number(visit.portal_id, visit.options)
    try:
        records = _records(visit, entity, visit.options.get("CRM_ENTITY_ID"))
    except portal_errors.PortalError as error:
        return _later(error)
    client = f"{visit.options.get('CRM_ENTITY_TYPE') or ''}:{visit.options.get('CRM_ENTITY_ID') or ''}"
    return _page(visit, records, number, own=not records, card=True, client=client)


@blueprint.post("/<any(lead, deal, contact, company):entity>")
def record(entity: str) -> Response:
    """The tab in a record of the CRM: its calls."""
    visit = _visit()
    if isinstance(visit, Response):
        return visit
    try:
        records = _records(visit, entity, visit.options.get("ID"))
    except portal_errors.PortalError as error:
        return _later(error)
    if not records:
        return errors.page("record", 403)
    return _page(visit, records, "", own=True, card=False)


@blueprint.post("/renew")
def renew() -> Response:
    """A tab that stayed open for longer than its session: with a fresh token of the same viewer, who may still read the record, another one."""
    held = session.read_place(session.presented(request), session.TAB_SECONDS)
    try:
        visit = _same_viewer(held)
        records = _records(visit, *held.records[0]) if held.records else []
    except portal_errors.PortalError as error:
        return _later(error)
    if held.records and not records:
        return errors.page("record", 403)
    return _claimed(replace(held, records=tuple(records)))


@blueprint.post("/call/client")
def follow() -> Response:
    """The call card has another client now (`CallCard::EntityChanged`): a session for the new record, where the same viewer may read it."""
    held = session.read_place(session.presented(request), session.TAB_SECONDS)
    entity = request.form.get("CRM_ENTITY_TYPE", "").lower()
    try:
        records = _records(_same_viewer(held), entity, request.form.get("CRM_ENTITY_ID"))
    except portal_errors.PortalError as error:
        return _later(error)
    return _claimed(replace(held, records=tuple(records), own=not records))


def _same_viewer(held: PlaceSession) -> Visit:
    """Whose fresh token this is: the one who opened the tab.

    Raises:
        session.NoSession: somebody else, or nobody. PortalError
    """
    try:
        visit = portals.open_place(FramePost.read(request.form, request.args))
    except (Unreadable, portals.Forged, portals.UnknownClient):
        raise session.NoSession from None
    if visit is None or (visit.portal_id, visit.user_id) != (held.portal_id, held.user_id):
        raise session.NoSession
    return visit


def _claimed(place: PlaceSession) -> Response:
    return jsonify(session=session.issue_place(place), seconds=session.SECONDS)


def _visit() -> Visit | Response:
    """Who looks, or the page that says why nothing is shown."""
    g.lang = request.args.get("LANG") or request.form.get("LANG") or "ru"
    try:
        visit = portals.open_place(FramePost.read(request.form, request.args))
    except (Unreadable, portals.Forged, portals.UnknownClient) as error:
        _log.warning("opening of a place refused", error=str(error))
        app_frame.let_known_portal_show(request.args.get("DOMAIN", ""))
        return errors.page("session", 403)
    except portal_errors.PortalError as error:
        app_frame.let_known_portal_show(request.args.get("DOMAIN", ""))
        return _later(error)
    if visit is None:
        app_frame.let_known_portal_show(request.args.get("DOMAIN", ""))
        return errors.page("not_installed", 403)
    headers.shown_by(visit.client_endpoint)
    g.lang = visit.lang
    return visit


def _records(visit: Visit, entity: str, number: Any) -> list[tuple[str, int]]:
    record = whole(str(number or ""))
    if entity not in portals.TYPES or record is None or not 0 < record < 2**31:
        return []
    client = visit.client()
    db.session.rollback()  # no transaction is held while the portal is asked
    return portals.readable(client, entity, record)


def _number(portal_id: int, options: dict[str, Any]) -> str:
    """The client's number: of our own call where the portal names it, else as the card says."""
    known = select(Call.client_number).where(
        Call.portal_id == portal_id, Call.bitrix_call_id == str(options.get("CALL_ID") or "")
    )
    held = db.session.scalar(known.limit(1)) if options.get("CALL_ID") else None
    return held or phone.normal(str(options.get("PHONE_NUMBER") or "")) or ""


def _page(visit: Visit, records: list[tuple[str, int]], number: str, *, own: bool, card: bool, client: str = "") -> Response:
    g.place = PlaceSession(visit.portal_id, visit.member_id, visit.user_id, visit.lang, tuple(records), number, own)
    db.session.rollback()
    db.session.connection(execution_options={"read_only": True})  # SQLite: readers do not wait for the writer
    g.portal = db.session.get_one(Portal, visit.portal_id)
    claim = session.issue_place(g.place)
    facts = placement_calls.listing()
    return make_response(
        render_template(
            "place.html",
            claim=claim,
            seconds=session.SECONDS,
            lang=visit.lang,
            card=card,
            client=client,
            number=number,
            own=own,
            **facts,
        )
    )


def _later(error: portal_errors.PortalError) -> Response:
    """The portal is busy with calls, or does not answer: a tab can wait."""
    _log.info("a tab was not shown", error=str(error))
    return errors.page("portal_silent", 503)
