"""Placements in the portal's own pages: a tab in the call card, tabs in CRM records, an item in the telephony menu.

The portal decides what a viewer may see: the record is read with the viewer's own token, and a tab that may not read it
shows nothing. Number and call of a call card come from the browser: they prove nothing by themselves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, g, jsonify, make_response, render_template, request

from bx24app.bitrix24 import errors as portal_errors
from bx24app.bitrix24.inbound import FramePost, MalformedPost
from bx24app.calls.journal import lookup as journal_lookup
from bx24app.domain import phone
from bx24app.infra.logs import get_logger
from bx24app.models import db
from bx24app.portals import frame_auth, lookup, record_access
from bx24app.portals.frame_auth import PlacementVisit
from bx24app.portals.opening_addresses import AddressProblem
from bx24app.portals.record_access import ReadableRecords
from bx24app.web.base import errors, headers, session
from bx24app.web.base.parsing import parse_int
from bx24app.web.base.session import PlacementSession
from bx24app.web.launch import app_frame, placement_calls, refusals
from bx24app.web.launch.address_page import render_address_problem

blueprint = Blueprint("placements", __name__)
_log = get_logger(__name__)


@blueprint.post("/telephony")
def open_telephony() -> Response:
    """The item in the telephony menu: the app with its statistics open."""
    return app_frame.show_app(first="statistics.show")


@blueprint.post("/call")
def show_call_card() -> Response:
    """The tab in the call card: earlier calls of the client, with recordings."""
    visit = _verify_visit()
    if isinstance(visit, Response):
        return visit
    entity = str(visit.options.get("CRM_ENTITY_TYPE") or "").lower()
    number = _client_number(visit)
    try:
        access = _load_access(visit, entity, visit.options.get("CRM_ENTITY_ID"), number)
    except portal_errors.PortalError as error:
        return _portal_unavailable(error)
    client = f"{visit.options.get('CRM_ENTITY_TYPE') or ''}:{visit.options.get('CRM_ENTITY_ID') or ''}"
    return _render_tab(visit, access, number, card=True, client=client)


@blueprint.post("/<any(lead, deal, contact, company):entity>")
def show_record(entity: str) -> Response:
    """The tab in a CRM record: its calls."""
    visit = _verify_visit()
    if isinstance(visit, Response):
        return visit
    try:
        access = _load_access(visit, entity, visit.options.get("ID"))
    except portal_errors.PortalError as error:
        return _portal_unavailable(error)
    if not access.records:
        return errors.render_error("record", 403)
    return _render_tab(visit, access, "", card=False)


@blueprint.post("/renew")
def renew_session() -> Response:
    """A new session for a tab that outlived its own: the same viewer proves with a fresh token what they may read now.
    """
    current = session.read_placement(session.extract_claim(request), session.TAB_SECONDS)
    try:
        visit = _require_same_viewer(current)
        entity, record_id = current.records[0] if current.records else ("", None)
        access = _load_access(visit, entity, record_id, current.number)
    except portal_errors.PortalError as error:
        return _portal_unavailable(error)
    if current.records and not access.records:
        return errors.render_error("record", 403)
    return _session_response(replace(current, records=access.records, proof=access.proof))


@blueprint.post("/call/client")
def change_client() -> Response:
    """The call card shows another client now (`CallCard::EntityChanged`): a session for the new record, if the viewer
    may read it. Whether that record carries the card's number is judged anew.
    """
    current = session.read_placement(session.extract_claim(request), session.TAB_SECONDS)
    entity, record_id = request.form.get("CRM_ENTITY_TYPE", "").lower(), request.form.get("CRM_ENTITY_ID")
    try:
        access = _load_access(_require_same_viewer(current), entity, record_id, current.number)
    except portal_errors.PortalError as error:
        return _portal_unavailable(error)
    return _session_response(replace(current, records=access.records, proof=access.proof))


def _require_same_viewer(current: PlacementSession) -> PlacementVisit:
    """Verify that the fresh token belongs to the user who opened the tab.

    Raises:
        session.NoSession: the token is missing, forged, or of another user.
        bx24app.bitrix24.errors.PortalError
    """
    try:
        visit = frame_auth.open_placement(FramePost.from_form(request.form, request.args))
    except (MalformedPost, frame_auth.ForgedRequest, frame_auth.UnknownClient):
        raise session.NoSession from None
    if visit is None or (visit.portal_id, visit.user_id) != (current.portal_id, current.user_id):
        raise session.NoSession
    return visit


def _session_response(placement: PlacementSession) -> Response:
    return jsonify(session=session.issue_placement(placement), seconds=session.PROOF_SECONDS)


def _verify_visit() -> PlacementVisit | Response:
    """The verified viewer, or the page that says why nothing is shown."""
    g.lang = request.args.get("LANG") or request.form.get("LANG") or "ru"
    try:
        visit = frame_auth.open_placement(FramePost.from_form(request.form, request.args))
    except AddressProblem as problem:
        return render_address_problem(problem)
    except (MalformedPost, frame_auth.ForgedRequest, frame_auth.UnknownClient) as error:
        _log.warning("placement refused", error=str(error))
        headers.allow_posted_domain()
        return errors.render_error("session", 403)
    except portal_errors.PortalError as error:
        headers.allow_posted_domain()
        return _portal_unavailable(error)
    if visit is None:
        headers.allow_posted_domain()
        return errors.render_error("not_installed", 403)
    headers.allow_framing(visit.opened_at or visit.client_endpoint)
    g.lang = visit.lang
    return visit


def _load_access(visit: PlacementVisit, entity: str, record_id: Any, number: str = "") -> ReadableRecords:
    record = parse_int(str(record_id or ""))
    if entity not in record_access.ENTITY_TYPE_IDS or record is None or not 0 < record < 2**31:
        return ReadableRecords()
    client = visit.viewer_client()
    db.session.rollback()  # no transaction is held while the portal is asked
    return record_access.load_records(client, entity, record, number)


def _client_number(visit: PlacementVisit) -> str:
    """The client's number: that of the viewer's own call if the card names one, else the number that the card gives."""
    call_id = str(visit.options.get("CALL_ID") or "")
    number = journal_lookup.find_client_number(visit.portal_id, call_id, visit.user_id)
    return number or phone.normalise(str(visit.options.get("PHONE_NUMBER") or "")) or ""


def _render_tab(
    visit: PlacementVisit, access: ReadableRecords, number: str, *, card: bool, client: str = ""
) -> Response:
    g.placement = PlacementSession(
        visit.portal_id, visit.member_id, visit.user_id, visit.lang, access.records, number, access.proof
    )
    db.session.rollback()
    db.session.connection(execution_options={"read_only": True})  # SQLite: readers do not wait for the writer
    g.portal = lookup.get_portal(visit.portal_id)
    claim = session.issue_placement(g.placement)
    return make_response(
        render_template(
            "placement.html",
            claim=claim,
            seconds=session.PROOF_SECONDS,
            lang=visit.lang,
            is_card=card,
            client=client,
            number=number,
            is_own_only=access.proof is None,
            **placement_calls.load_listing(),
        )
    )


def _portal_unavailable(error: portal_errors.PortalError) -> Response:
    """The portal refuses the application, is busy with calls, or does not answer. A tab can wait."""
    _log.info("tab not shown", error=str(error))
    return refusals.explain_portal_error(error)
