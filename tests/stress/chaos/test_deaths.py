"""The short form of the deaths in `make chaos`: one worker that dies with a request in hand, with real waits."""

from __future__ import annotations

import pytest

from scripts import needs
from tests.stress.chaos import deaths
from tests.stress.chaos.processes import chaos_stack
from tests.support.servers import POSTGRES_MISSING


@pytest.mark.postgres
@pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)
def test_what_a_dead_worker_had_in_hand_goes_on() -> None:
    [death] = [one for one in deaths.DEATHS if one.name == "after the portal finished a call"]
    with chaos_stack(waits="real") as stack:
        row = deaths.run_death(stack, death)
    assert row.good, "\n".join(row.details)
    assert row.seconds < 60, "long before the 120 s after which a request is given up"
