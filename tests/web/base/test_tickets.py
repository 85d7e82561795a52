"""A ticket names a row by its id: it is worth nothing to another database, where the id is somebody else's."""

from __future__ import annotations

import pytest
from flask import Flask

from bx24app.infra.own_keys import DatabaseId
from bx24app.infra.runtime import runtime
from bx24app.web.base import session
from bx24app.web.base.session import NoSession, Ticket

TICKET = Ticket(1, 7, "recording", 3)


def test_a_ticket_belongs_to_one_life_of_the_database(app: Flask) -> None:
    text = session.issue_ticket(TICKET)
    assert session.read_ticket(text, "recording", 3) == TICKET
    runtime().key_names._current = DatabaseId("restored")
    with pytest.raises(NoSession):
        session.read_ticket(text, "recording", 3)


def test_without_a_database_no_ticket_is_an_error(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime().key_names, "_read", lambda: None)
    assert session.read_ticket(session.issue_ticket(TICKET), "recording", 3) == TICKET
