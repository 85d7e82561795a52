"""Our places in the portal's own pages: a tab in the call card, tabs in CRM records, an item in the telephony menu.

A viewer's rights are the portal's: the record is read with their own token, and what the portal refuses, the tab refuses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, g, jsonify, make_response, render_template, request
from sqlalchemy import select

from bx24app.bitrix24 import errors as portal_errors
from bx24app.bitrix24.inbound import FramePost, MalformedPost
from bx24app.domain import phone
from bx24app.infra.logs import get_logger
from bx24app.models import Call, Portal, db
from bx24app.portals import frame_auth, record_access
from bx24app.portals.frame_auth import PlacementVisit
from bx24app.web.base import errors, headers, session
from bx24app.web.base.parsing import parse_int
from bx24app.web.base.session import PlacementSession
from bx24app.web.launch import app_frame, placement_calls

blueprint = Blueprint("placements", __name__)
_log = get_logger(__name__)


@blueprint.post("/telephony")
def open_telephony() -> Response:
    """The item in the telephony menu: the app, at its statistics."""
    return app_frame.show_app(first="statistics.show")


@blueprint.post("/call")
def show_call_card() -> Response:
    """The tab in the call card: who called when, what was decided, what was said."""
    visit = _verify_visit()
    if isinstance(visit, Response):
        return visit
    entity = str(visit.options.get("CRM_ENTITY_TYPE") or "").lower()
    number = _client_number(visit.portal_id, visit.options)
    try:
        records = _readable_records(visit, entity, visit.options.get("CRM_ENTITY_ID"))
    except portal_errors.PortalError as error:
        return _portal_unavailable(error)
    client = f"{visit.options.get('CRM_ENTITY_TYPE') or ''}:{visit.options.get('CRM_ENTITY_ID') or ''}"
    return _render_tab(visit, records, number, own=not records, card=True, client=client)


@blueprint.post("/<any(lead, deal, contact, company):entity>")
def show_record(entity: str) -> Response:
    """The tab in a record of the CRM: its calls."""
    visit = _verify_visit()
    if isinstance(visit, Response):
        return visit
    try:
        records = _readable_records(visit, entity, visit.options.get("ID"))
    except portal_errors.PortalError as error:
        return _portal_unavailable(error)
    if not records:
        return errors.render_error("record", 403)
    return _render_tab(visit, records, "", own=True, card=False)


@blueprint.post("/renew")
def renew_session() -> Response:
    """A tab that stayed open for longer than its session: with a fresh token of the same viewer, who may still read the record, another one."""
    held = session.read_placement(session.extract_claim(request), session.TAB_SECONDS)
    try:
        visit = _require_same_viewer(held)
        records = _readable_records(visit, *held.records[0]) if held.records else []
    except portal_errors.PortalError as error:
        return _portal_unavailable(error)
    if held.records and not records:
        return errors.render_error("record", 403)
    return _session_response(replace(held, records=tuple(records)))


@blueprint.post("/call/client")
def change_client() -> Response:
    """The call card has another client now (`CallCard::EntityChanged`): a session for the new record, where the same viewer may read it."""
    held = session.read_placement(session.extract_claim(request), session.TAB_SECONDS)
    entity = request.form.get("CRM_ENTITY_TYPE", "").lower()
    try:
        records = _readable_records(_require_same_viewer(held), entity, request.form.get("CRM_ENTITY_ID"))
    except portal_errors.PortalError as error:
        return _portal_unavailable(error)
    return _session_response(replace(held, records=tuple(records), is_own_only=not records))


def _require_same_viewer(held: PlacementSession) -> PlacementVisit:
    """Whose fresh token this is: the one who opened the tab.

    Raises:
        session.NoSession: somebody else, or nobody. PortalError
    """
    try:
        visit = frame_auth.open_placement(FramePost.from_form(request.form, request.args))
    except (MalformedPost, frame_auth.ForgedRequest, frame_auth.UnknownClient):
        raise session.NoSession from None
    if visit is None or (visit.portal_id, visit.user_id) != (held.portal_id, held.user_id):
        raise session.NoSession
    return visit


def _session_response(place: PlacementSession) -> Response:
    return jsonify(session=session.issue_placement(place), seconds=session.SESSION_SECONDS)


def _verify_visit() -> PlacementVisit | Response:
    """Who looks, or the page that says why nothing is shown."""
    g.lang = request.args.get("LANG") or request.form.get("LANG") or "ru"
    try:
        visit = frame_auth.open_placement(FramePost.from_form(request.form, request.args))
    except (MalformedPost, frame_auth.ForgedRequest, frame_auth.UnknownClient) as error:
        _log.warning("opening of a place refused", error=str(error))
        app_frame.allow_known_portal(request.args.get("DOMAIN", ""))
        return errors.render_error("session", 403)
    except portal_errors.PortalError as error:
        app_frame.allow_known_portal(request.args.get("DOMAIN", ""))
        return _portal_unavailable(error)
    if visit is None:
        app_frame.allow_known_portal(request.args.get("DOMAIN", ""))
        return errors.render_error("not_installed", 403)
    headers.allow_framing(visit.client_endpoint)
    g.lang = visit.lang
    return visit


def _readable_records(visit: PlacementVisit, entity: str, number: Any) -> list[tuple[str, int]]:
    record = parse_int(str(number or ""))
    if entity not in record_access.ENTITY_TYPE_IDS or record is None or not 0 < record < 2**31:
        return []
    client = visit.viewer_client()
    db.session.rollback()  # no transaction is held while the portal is asked
    return record_access.readable_records(client, entity, record)


def _client_number(portal_id: int, options: dict[str, Any]) -> str:
    """The client's number: of our own call where the portal names it, else as the card says."""
    known = select(Call.client_number).where(
        Call.portal_id == portal_id, Call.bitrix_call_id == str(options.get("CALL_ID") or "")
    )
    held = db.session.scalar(known.limit(1)) if options.get("CALL_ID") else None
    return held or phone.normalise(str(options.get("PHONE_NUMBER") or "")) or ""


def _render_tab(visit: PlacementVisit, records: list[tuple[str, int]], number: str, *, own: bool, card: bool, client: str = "") -> Response:
    g.placement = PlacementSession(visit.portal_id, visit.member_id, visit.user_id, visit.lang, tuple(records), number, own)
    db.session.rollback()
    db.session.connection(execution_options={"read_only": True})  # SQLite: readers do not wait for the writer
    g.portal = db.session.get_one(Portal, visit.portal_id)
    claim = session.issue_placement(g.placement)
    facts = placement_calls.load_listing()
    return make_response(
        render_template(
            "place.html",
            claim=claim,
            seconds=session.SESSION_SECONDS,
            lang=visit.lang,
            card=card,
            client=client,
            number=number,
            own=own,
            **facts,
        )
    )


def _portal_unavailable(error: portal_errors.PortalError) -> Response:
    """The portal is busy with calls, or does not answer: a tab can wait."""
    _log.info("a tab was not shown", error=str(error))
    return errors.render_error("portal_silent", 503)
