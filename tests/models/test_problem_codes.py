"""The program decides by codes of problems; a row that an older version wrote beside us, with a text alone, means the
same.
"""

from __future__ import annotations

import pytest
from sqlalchemy import select

from bx24app.bitrix24.budget import BUDGET_USED_UP
from bx24app.calls.recordings.outcomes import DISK_FULL
from bx24app.mango.errors import ADDRESS_REFUSED
from bx24app.models import Call, Delivery, Pbx, Portal, Recording, db, problem_codes, utcnow
from bx24app.models.problem_codes import RecordingProblem, recording_has_problem

BUDGET, DISK = RecordingProblem.PORTAL_BUDGET, RecordingProblem.PORTAL_DISK


@pytest.mark.parametrize(
    ("problem", "code", "means"),
    [
        (BUDGET_USED_UP, BUDGET, BUDGET),
        ("reworded", BUDGET, BUDGET),
        (BUDGET_USED_UP, None, BUDGET),
        (DISK_FULL, DISK, DISK),
        (DISK_FULL, None, DISK),
        (None, DISK, None),
        ("Mango has no such file", None, None),
        (DISK_FULL, RecordingProblem.SPOOL, RecordingProblem.SPOOL),
        ("the spool cannot be written: File too large", None, None),
    ],
)
def test_a_recording_waits_for_what_its_code_says_or_an_older_text(
    portal: Portal, problem: str | None, code: RecordingProblem | None, means: RecordingProblem | None
) -> None:
    call = Call(portal_id=portal.id, pbx_id=1, pbx_key="moscow", entry_id="e", started_at=utcnow())
    db.session.add(call)
    db.session.flush()
    row = {"portal_id": portal.id, "call_id": call.id, "recording_id": "r"}
    db.session.add(Recording(**row, problem=problem, problem_code=code))
    db.session.flush()
    queries = {code: select(Recording.id).where(recording_has_problem(code)) for code in RecordingProblem}
    assert [code for code, query in queries.items() if db.session.scalar(query)] == ([means] if means else [])


@pytest.mark.parametrize(
    ("problem", "code", "refused"),
    [
        ("reworded", problem_codes.ADDRESS_REFUSED, True),
        (ADDRESS_REFUSED, None, True),
        (None, problem_codes.ADDRESS_REFUSED, False),
        ("5201", None, False),
        (None, None, False),
    ],
)
def test_a_refused_address(problem: str | None, code: str | None, refused: bool) -> None:
    assert problem_codes.is_address_refused(Pbx(ask_problem=problem, ask_problem_code=code)) == refused


@pytest.mark.parametrize(
    ("problem", "key", "mine"),
    [
        ("no rights", "finish", True),
        ("no rights", "register", False),
        ("no rights", None, True),
        ("its own words", None, False),
        (None, "finish", False),
        (None, None, False),
    ],
)
def test_a_call_whose_problem_is_a_refused_delivery(problem: str | None, key: str | None, mine: bool) -> None:
    call = Call(problem=problem, problem_delivery=key)
    assert problem_codes.is_problem_of(call, [Delivery(key="finish", reason="no rights")]) == mine
