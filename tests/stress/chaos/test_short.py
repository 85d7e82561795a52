"""The short form of `make chaos`: few calls, few faults, real kills. Also tests that the verdict finds errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts import needs
from tests.end_to_end.test_random_calls import connect, sizes, tell
from tests.stress.chaos.calls import day_of
from tests.stress.chaos.faults import FAULTS
from tests.stress.chaos.processes import ChaosStack, chaos_stack
from tests.stress.chaos.run import NotAtRest, _ready, points, run
from tests.stress.chaos.verdict import judge
from tests.support.servers import POSTGRES_MISSING

SHORT = ("worker killed", "Valkey killed", "PostgreSQL restarted", "closes after the effect")


pytestmark = [pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)]


@pytest.fixture
def chaos() -> Iterator[ChaosStack]:
    """A stack for each test: calls that a failed test leaves in flight would count as the next test's."""
    with chaos_stack() as stack:
        yield stack


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_or_doubled(chaos: ChaosStack, name: str) -> None:
    [fault] = [candidate for candidate in FAULTS if name in candidate.name]
    row = run(chaos, fault, 10, 2.0, patience=120)
    assert row.good, "\n".join([str(row), *row.details])


def test_a_worker_dies_between_two_side_effects(chaos: ChaosStack) -> None:
    row, reached = points(chaos, step=30)
    assert row.calls >= 2, "the armed worker never died"
    assert reached >= 30
    assert row.good, "\n".join([str(row), *row.details])


def test_calls_that_were_left_in_flight_are_counted_by_whoever_comes_next(chaos: ChaosStack) -> None:
    """Once "closes after the effect" reported "9 doubled", because the test before it left calls in flight."""
    left, mine = day_of(10), day_of(10)
    hooks = connect(chaos.world, left)
    chaos.kill_all()
    for call in left.calls:
        tell(hooks[call.scene.office.key], call)
    with pytest.raises(NotAtRest, match="in flight"):
        _ready(chaos, "the next one", mine)
    before = chaos.world.sandbox.call(sizes, chaos.world)
    chaos.start("worker")
    chaos.start("cron")
    assert chaos.settle(120)
    after = chaos.world.sandbox.call(sizes, chaos.world)
    assert after["calls"] > before["calls"], "without the check these would have been the next day's"


def test_the_judge_finds_fault(chaos: ChaosStack) -> None:
    day = day_of(10)
    row, hooks, before, predicted = _ready(chaos, "spoilt", day)
    for call in day.calls:
        tell(hooks[call.scene.office.key], call)
    assert chaos.settle(120)
    chaos.world.sandbox.call(judge, chaos.world, row, day, predicted, before)
    assert row.good, row.details
    taken = next(
        (call, rows)
        for call in day.calls
        if (rows := chaos.world.portal.by_external.get(f"{call.scene.office.key}:{call.scene.entry}"))
    )
    mine = taken[1][0]
    mine.user_id, right = 1000, mine.user_id
    _expect_signs(chaos, (row, day, predicted, before), {"user", "else"})
    mine.user_id = right
    taken[1].append(mine)
    _expect_signs(chaos, (row, day, predicted, before), {"doubled"})
    taken[1].clear()
    _expect_signs(chaos, (row, day, predicted, before), {"lost"})


def _expect_signs(chaos: ChaosStack, of_day: tuple, any_of: set[str]) -> None:  # type: ignore[type-arg]
    row, *rest = of_day
    row.wrong.clear()
    chaos.world.sandbox.call(judge, chaos.world, row, *rest)
    assert any_of & {sign for sign, count in row.wrong.items() if count}, row
