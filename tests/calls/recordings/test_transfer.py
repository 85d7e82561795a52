"""A recording whose upload was tried once: a busy or troubled portal spends none of its tries when it is asked for the
file.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from bx24app.bitrix24.errors import AnswerLost, NeedsAdmin, NotSent, PortalError
from bx24app.calls.recordings import transfer
from bx24app.models import Call, Portal, Recording, db, utcnow
from bx24app.portals import clients


class Client:
    """Meets one error at every request."""

    def __init__(self, error: PortalError) -> None:
        self.error = error

    def call(self, *_: object) -> None:
        raise self.error


@pytest.fixture
def attempted(portal: Portal) -> int:
    """The id of a recording whose upload's answer was lost."""
    portal.state = "active"
    call = Call(portal_id=portal.id, pbx_id=1, pbx_key="moscow", entry_id="e", started_at=utcnow())
    db.session.add(call)
    db.session.flush()
    row = Recording(
        portal_id=portal.id,
        call_id=call.id,
        recording_id="r",
        bitrix_call_id="x",
        due_at=utcnow(),
        attempted=True,
        file_name="a.mp3",
    )
    db.session.add(row)
    db.session.commit()
    return row.id


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (NotSent("the portal's request budget is used up", 1.0, is_rate_limited=True), 0),
        (NeedsAdmin("disk", "no space"), 0),
        (AnswerLost("timed out"), 1),
    ],
)
def test_who_spends_a_try(attempted: int, monkeypatch: pytest.MonkeyPatch, error: PortalError, tries: int) -> None:
    monkeypatch.setattr(clients, "client_by_id", lambda _: Client(error))
    transfer.transfer_recording(attempted)
    row = db.session.get_one(Recording, attempted)
    assert (row.state, row.tries, row.claimed_at) == ("waiting", tries, None)
    assert row.due_at is not None
    assert row.due_at > utcnow() - timedelta(seconds=5)
