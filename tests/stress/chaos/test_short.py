"""The short form of `make chaos`: few calls, few faults, real kills; and the judge, who must be able to find fault."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts import needs
from tests.end_to_end.test_random_calls import connect, sizes, tell
from tests.stress.chaos.calls import day_of
from tests.stress.chaos.faults import FAULTS
from tests.stress.chaos.processes import Arena, arena
from tests.stress.chaos.run import NotAtRest, _ready, points, run
from tests.stress.chaos.verdict import judge
from tests.support.servers import POSTGRES_MISSING

SHORT = ("worker killed", "Valkey killed", "PostgreSQL restarted", "closes after the effect")


pytestmark = [pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)]


@pytest.fixture
def chaos() -> Iterator[Arena]:
    """One of its own for each test: calls that a failed test leaves in flight would be counted as the next one's."""
    with arena() as made:
        yield made


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_or_doubled(chaos: Arena, name: str) -> None:
    [fault] = [one for one in FAULTS if name in one.name]
    row = run(chaos, fault, 10, 2.0, patience=120)
    assert row.good, "\n".join([str(row), *row.details])


def test_a_worker_dies_between_two_side_effects(chaos: Arena) -> None:
    row, reached = points(chaos, step=30)
    assert row.calls >= 2, "the armed worker never died"
    assert reached >= 30
    assert row.good, "\n".join([str(row), *row.details])


def test_calls_that_were_left_in_flight_are_counted_by_whoever_comes_next(chaos: Arena) -> None:
    """What made "closes after the effect" say "9 doubled" once: the test before it had failed with its calls in flight."""
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


def test_the_judge_finds_fault(chaos: Arena) -> None:
    day = day_of(10)
    row, hooks, before, predicted = _ready(chaos, "spoilt", day)
    for told in day.calls:
        tell(hooks[told.scene.office.key], told)
    assert chaos.settle(120)
    chaos.world.sandbox.call(judge, chaos.world, row, day, predicted, before)
    assert row.good, row.details
    taken = next(
        (told, rows)
        for told in day.calls
        if (rows := chaos.world.portal.by_external.get(f"{told.scene.office.key}:{told.scene.entry}"))
    )
    mine = taken[1][0]
    mine.user_id, right = 1000, mine.user_id
    _says(chaos, (row, day, predicted, before), {"user", "else"})
    mine.user_id = right
    taken[1].append(mine)
    _says(chaos, (row, day, predicted, before), {"doubled"})
    taken[1].clear()
    _says(chaos, (row, day, predicted, before), {"lost"})


def _says(chaos: Arena, of_day: tuple, any_of: set[str]) -> None:  # type: ignore[type-arg]
    row, *rest = of_day
    row.wrong.clear()
    chaos.world.sandbox.call(judge, chaos.world, row, *rest)
    assert any_of & {sign for sign, count in row.wrong.items() if count}, row
