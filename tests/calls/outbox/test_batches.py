"""What leaves in one request: never a register that makes a record, and the finish that hides which one it made."""

from __future__ import annotations

import pytest

from bx24app.calls.outbox import batches
from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import Finish, HideCard, Reassign, Record, Register
from bx24app.models import Call, Delivery, Portal, db, utcnow


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_a_register_that_makes_a_record_is_answered_before_the_finish_leaves(
    portal: Portal, create: bool, shared: bool
) -> None:
    """Its answer alone names the record. Lost with the finish, the call is found in the statistics, which do not tell
    whether the record is new: it stayed with whoever finished instead of its responsible."""
    portal.state = "active"
    call = Call(portal_id=portal.id, pbx_id=1, pbx_key="moscow", entry_id="e", started_at=utcnow())
    db.session.add(call)
    db.session.flush()
    said = [
        Register(
            key="register",
            user_id=13,
            number="+79160000027",
            type=2,
            started_at=1,
            line=None,
            external_id="moscow:e",
            create=create,
        ),
        HideCard(key="hide-1", users=(13,)),
        Finish(key="finish", user_id=9, seconds=18, status="200"),
        Reassign(key="assign", record=Record("lead", 5), user_id=41),
    ]
    for command in said:
        db.session.add(
            Delivery(
                portal_id=portal.id,
                call_id=call.id,
                key=command.key,
                kind=type(command).__name__,
                command=to_json(command),
            )
        )
    db.session.commit()
    (parcel,), _ = batches.claim(db.session(), portal, shared=shared)
    together = [type(item.command).__name__ for item in parcel.items]
    assert together == (["Register", "HideCard"] if create else ["Register", "HideCard", "Finish", "Reassign"])
