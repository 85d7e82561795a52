"""The short form of the faults in `more`: few calls, the same faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts import needs
from tests.stress.chaos import restored, uninstalling
from tests.stress.chaos.more import MORE
from tests.stress.chaos.processes import ChaosStack, chaos_stack
from tests.stress.chaos.run import run
from tests.support.servers import POSTGRES_MISSING

SHORT = (
    "recordings come late", "one-shot link", "disk full for the spool", "secret that no key opens",
    "poisoned notification", "poisoned portal answer",
)  # fmt: skip
"""Only `make chaos` tries an upgrade: it needs so many calls that some are still being sent when the new code works."""

pytestmark = [pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)]


@pytest.fixture
def chaos() -> Iterator[ChaosStack]:
    with chaos_stack() as stack:
        yield stack


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_or_doubled(chaos: ChaosStack, name: str) -> None:
    [fault] = [candidate for candidate in MORE if name in candidate.name]
    row = run(chaos, fault, 10, 2.0, patience=120)
    assert row.good, "\n".join([str(row), *row.details])


def test_the_application_goes_and_comes_back(chaos: ChaosStack) -> None:
    row = uninstalling.run(chaos, 10, 2.0, patience=120)
    assert row.good, "\n".join([str(row), *row.details])


def test_a_restored_database_meets_its_later_life(chaos: ChaosStack) -> None:
    row = restored.run(chaos, 10, 0.0, patience=120)
    assert row.good, "\n".join([str(row), *row.details])
