"""The last wall of the logs: what libraries print is cleaned of secrets and whole telephones."""

from __future__ import annotations

import logging
from io import StringIO

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from bx24app.infra import logs
from bx24app.models import db

SECRET = "s3cretS3cretS3cret0123456789"


@pytest.mark.parametrize(
    "line",
    [
        f"GET /rest/profile?auth={SECRET}&x=1",
        f"POST /oauth/token/?client_secret={SECRET}&grant_type=refresh_token",
        f"{{'access_token': '{SECRET}', 'expires_in': 3600}}",
        f'{{"refresh_token":"{SECRET}"}}',
        f"Authorization: Bearer {SECRET}",
        f"X-Frame-Session: {SECRET}",
        f"POST /mango/{SECRET}/events/call",
        f"GET /mango?pbx={SECRET}/events/call",
        f"GET /media/recording/1?ticket={SECRET}",
        f"AUTH_ID={SECRET}&REFRESH_ID={SECRET}",
        f"api_salt={SECRET}",
        f"Pbx(api_key='{SECRET}', hook_key='{SECRET}')",
        f"GET /oauth/callback?code={SECRET}&state={SECRET}",
    ],
)
def test_no_secret_gets_through(line: str) -> None:
    assert SECRET not in logs.scrub_text(line)
    assert "***" in logs.scrub_text(line)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("to +79161234567 now", "to +791***67 now"),
        ("79161234567", "791***67"),
        ("89161234567,", "891***67,"),
        ("q=%2B79161234567", "q=%2B791***67"),
        ("+4930123456", "+493***56"),
        ("call 1705308600", "call 1705308600"),
        ("id 70000000000000", "id 70000000000000"),
        ("entry 7916123456", "entry 7916123456"),
    ],
)
def test_telephones_are_masked(line: str, shown: str) -> None:
    assert logs.scrub_text(line) == shown


@pytest.mark.parametrize("style", ["json", "console"])
def test_facts_messages_and_tracebacks_pass_the_wall(style: str) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        logs.set_up("DEBUG", style)
        held = StringIO()
        root.handlers[0].stream = held  # type: ignore[attr-defined]
        logs.get_logger("test").warning("told", address=f"/mango/{SECRET}/x", number="+79161234567")
        logging.getLogger("library").info("asked %s", f"https://portal/rest/?auth={SECRET}")
        try:
            raise ValueError(f"access_token={SECRET} of +79161234567")
        except ValueError as error:
            logs.get_logger("test").error("failed", exc_info=error)
            logging.getLogger("library").exception("failed")
        written = held.getvalue()
    finally:
        root.handlers[:], level = before[0], before[1]
        root.setLevel(level)
    assert written.count("ValueError") >= 2
    assert SECRET not in written
    assert "9161234567" not in written


def test_an_error_of_the_database_does_not_print_what_was_to_be_stored(app: Flask) -> None:
    with pytest.raises(SQLAlchemyError) as met:
        db.session.execute(text("INSERT INTO nowhere VALUES (:body)"), {"body": SECRET})
    assert SECRET not in str(met.value)
