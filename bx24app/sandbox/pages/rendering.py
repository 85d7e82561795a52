"""Templates and static files of the sandbox's pages, which are both in this package."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader

_HERE = Path(__file__).parent
_ZONE = timezone(timedelta(hours=3))
"""All times are shown in Moscow time."""


def _format_clock(at: float | None) -> str:
    """The time of day, with the date when it is not today."""
    if not at:
        return "–"
    then, now = (datetime.fromtimestamp(moment, _ZONE) for moment in (at, time.time()))
    return then.strftime("%H:%M:%S" if then.date() == now.date() else "%d.%m %H:%M")


def _format_length(seconds: float) -> str:
    """Minutes and seconds: `1:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def make_environment() -> Environment:
    """The Jinja environment, with autoescaping in all templates."""
    env = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    env.filters |= {"clock": _format_clock, "length_of": _format_length}
    return env


def render_template(template: str, env: Environment, **values: Any) -> web.Response:
    """A rendered page that is never cached."""
    text = env.get_template(template).render(values)
    return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})


def add_static(app: web.Application) -> None:
    """Serves the static files under `/sandbox/static/`."""
    app.router.add_static("/sandbox/static/", _HERE / "static")
