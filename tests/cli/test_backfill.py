"""`bx24app backfill`: wrong input is one line and exit 2; what is begun waits in the table."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask

from bx24app.models import Backfill, Pbx, db
from tests.conftest import make_portal
from tests.support import commands


def environ(app: Flask) -> dict[str, str]:
    return commands.environment_of(app.extensions["bx24app"].config)


PERIOD = ("--from", "2026-03-01", "--to", "2026-03-02T12:00")


def test_begun_once_and_gone_on_with(app: Flask) -> None:
    member_id = make_portal().member_id
    db.session.commit()
    for _ in range(2):
        said = commands.run(environ(app), "backfill", "--portal", member_id, *PERIOD, "--no-follow")
        assert (said.exit_code, said.output) == (0, "begun: 1\n"), said.output
    row = db.session.query(Backfill).one()
    assert (row.start, row.end) == (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, 12, tzinfo=UTC))
    assert (row.state, row.records, row.done_until) == ("running", False, row.start)


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ("no portal", ("--portal", "nobody", *PERIOD)),
        ("no PBX nowhere", ("--portal", "", *PERIOD, "--pbx", "nowhere")),
        ("empty", ("--portal", "", "--from", "2026-03-02", "--to", "2026-03-01")),
        ("key", ("--portal", "", *PERIOD)),
    ],
)
def test_wrong_input(app: Flask, words: str, more: tuple[str, ...]) -> None:
    member_id = make_portal().member_id
    db.session.commit()
    if words == "key":
        db.session.query(Pbx).update({"api_key": None})
        db.session.commit()
    arguments = [member_id if one == "" else one for one in more]
    said = commands.run(environ(app), "backfill", *arguments)
    assert said.exit_code == 2, said.output
    assert words in said.output
    assert db.session.query(Backfill).count() == 0
