"""The first page: for administrators what is set up and how it is; for everybody else their calls."""

from __future__ import annotations

from flask import Blueprint, Response, g, make_response, request

from bx24app.web import pages, session

blueprint = Blueprint("home", __name__)


@blueprint.get("")
def show() -> Response:
    """The overview."""
    return make_response(content())


@blueprint.post("/open")
def open_again() -> Response:
    """The whole page by a session in a form field: the installation page goes on to here where the portal does not reload it."""
    return pages.shell(content(), session.presented(request))


def content() -> str:
    """What a person sees first."""
    settings = pages.current()
    return pages.render("home.html", "home", settings=settings, viewer=g.frame)


def first_paint(claim: str) -> Response:
    """The page that the portal's frame loads."""
    return pages.shell(content(), claim)
