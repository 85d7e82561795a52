"""In which zone a PBX reads the window of its statistics: learnt from the answers, stored in `Pbx.statistics_zone`.

Until it is known, a window is asked in Moscow time. If its entries leave the zone open, one of them is looked for in a
narrow window of one zone after the other; where there is no entry, the window is asked so wide that it holds its calls
in every zone. So no call is missed under any reading, and none is added from outside the window that was wanted.
`statistics_requests` calls this for every answer of `stats/calls`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import update

from bx24app import settings
from bx24app.infra.logs import get_logger
from bx24app.mango import statistics_zone
from bx24app.mango.statistics_zone import DEFAULT_ZONE, Span
from bx24app.models import Pbx, Portal, db

if TYPE_CHECKING:
    from bx24app.calls.reconciliation.statistics_requests import StatisticsRequest

_log = get_logger(__name__)

ANY_ZONE, NO_ZONE = "any", "none"
"""`StatisticsRequest.zone`: a window that is right in every zone; the same after no zone was found."""
NEAR_SECONDS = 25 * 60
"""Half of a window that looks for one entry. Zones differ by more than this."""


@dataclass(frozen=True, slots=True)
class ZoneState:
    """`known`: the learnt zone. `zones`: those that it may be."""

    known: str | None
    zones: tuple[str, ...]


def load_state(pbx_id: int) -> ZoneState:
    """What is known of this PBX. Ends the transaction."""
    try:
        pbx = db.session.get(Pbx, pbx_id)
        portal = db.session.get(Portal, pbx.portal_id) if pbx is not None else None
        own = settings.current(portal).portal.timezone if portal is not None else None
        return ZoneState(pbx.statistics_zone if pbx is not None else None, statistics_zone.list_zones(own))
    finally:
        db.session.rollback()


def with_zone(order: StatisticsRequest, state: ZoneState) -> StatisticsRequest:
    """The order with the zone in which it is asked."""
    return order if order.zone else replace(order, zone=state.known or DEFAULT_ZONE)


def window_to_ask(order: StatisticsRequest, state: ZoneState) -> tuple[int, int, tuple[str, ...]]:
    """(first epoch, last epoch, zones in each of which the window must hold them)."""
    if order.near:
        return order.near - NEAR_SECONDS, order.near + NEAR_SECONDS, (order.zone,)
    zones = state.zones if order.zone in (ANY_ZONE, NO_ZONE) else (order.zone or DEFAULT_ZONE,)
    return order.start, order.end, zones


def is_wide(order: StatisticsRequest) -> bool:
    """Does the answer hold calls from outside the window that was wanted?"""
    return order.zone in (ANY_ZONE, NO_ZONE)


def find_next_order(order: StatisticsRequest, state: ZoneState, spans: list[Span]) -> StatisticsRequest | None:
    """Learn from the entries of an answer. None: the answer is right; else what must be asked instead."""
    short = statistics_zone.pick_short(spans)
    if is_wide(order) and (order.zone == NO_ZONE or state.known is not None or not short):
        return None
    if state.known is not None and (order.near or (order.zone or DEFAULT_ZONE) != state.known):
        return _ask(order, "")  # another search has learnt it meanwhile
    if order.zone == ANY_ZONE:
        return _ask(order, state.zones[0], short[-1].start)
    start, end, zones = window_to_ask(order, state)
    window = statistics_zone.window_in(zones, start, end)
    possible = statistics_zone.zones_of_window(window, state.zones, spans) if short else list(state.zones)
    learnt = statistics_zone.only_zone(possible, short[0].start) if short else None
    if state.known is not None:
        return _check_known(state.known, order, possible)
    if learnt is not None:
        _store_zone(order.pbx_id, learnt)
        is_right = not order.near and statistics_zone.only_zone([learnt, zones[0]], short[0].start) is not None
        return None if is_right else _ask(order, "")
    if order.near:
        later = state.zones[state.zones.index(order.zone) + 1 :] if order.zone in state.zones else ()
        return _ask(order, later[0], order.near) if later else _ask(order, NO_ZONE)
    return _ask(order, state.zones[0], short[-1].start) if short and possible else _ask(order, ANY_ZONE)


def _check_known(known: str, order: StatisticsRequest, possible: list[str]) -> StatisticsRequest | None:
    """Forget a zone that the answer contradicts, if another one explains it."""
    if known in possible or not possible:
        return None
    _store_zone(order.pbx_id, None)
    return _ask(order, ANY_ZONE)


def _ask(order: StatisticsRequest, zone: str, near: int = 0) -> StatisticsRequest:
    return replace(order, key="", polls=0, offset=0, zone=zone, near=near)


def _store_zone(pbx_id: int, zone: str | None) -> None:
    db.session.execute(update(Pbx).where(Pbx.id == pbx_id).values(statistics_zone=zone))
    db.session.commit()
    _log.info("zone of the statistics learnt" if zone else "zone of the statistics forgotten", pbx=pbx_id, zone=zone)
