"""The PBX that the address of a page names, of the portal of the request. An unknown PBX is answered 404."""

from __future__ import annotations

from flask import g
from werkzeug.exceptions import NotFound

from bx24app.domain.settings import PbxSettings
from bx24app.models import Pbx
from bx24app.portals import lookup
from bx24app.web.base import rendering


def get_settings(key: str) -> PbxSettings:
    """Its part of the settings document."""
    pbx = rendering.load_settings().by_key.get(key)
    if pbx is None:
        raise NotFound
    return pbx


def get_row(key: str) -> Pbx:
    """Its row, with hook key, secrets and counters."""
    row = lookup.find_pbx(g.portal.id, key)
    if row is None:
        raise NotFound
    return row
