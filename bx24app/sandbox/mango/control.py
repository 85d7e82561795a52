"""The control API under `/sandbox/api/` on the PBX site: JSON in, JSON out, no key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from bx24app.sandbox.mango.cloud import MangoCloud


def control(cloud: MangoCloud, app: web.Application) -> None:
    """Adds the control API to the app of the PBX site."""
