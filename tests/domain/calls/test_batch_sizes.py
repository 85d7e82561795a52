"""How much one request holds, and what may travel beside cards."""

from __future__ import annotations

import pytest

from bx24app.bitrix24.commands import COMMAND_METHODS, build_request
from bx24app.domain.calls.batch_sizes import MAX_COMMANDS, MAX_SECONDS, BatchRoom, fills_batch, is_live_card
from bx24app.domain.calls.commands import MANGO_KINDS
from tests.domain.calls.test_commands import SAMPLES


def test_a_batch_is_full_by_seconds_or_by_commands() -> None:
    room = BatchRoom()
    assert [room.take([1.41]) for _ in range(18)].count(True) == 17, "18 finishes would be 25.4 s"
    room = BatchRoom()
    assert [room.take([0.1]) for _ in range(60)].count(True) == MAX_COMMANDS


def test_the_commands_of_a_call_come_all_or_none() -> None:
    room = BatchRoom()
    assert room.take([10.0, 10.0])
    assert not room.take([3.0, 3.0])
    assert room.take([5.0])
    assert (room.commands, room.seconds) == (3, MAX_SECONDS)


def test_a_command_that_is_too_slow_for_any_batch_leaves_alone() -> None:
    room = BatchRoom()
    assert room.take([40.0])
    assert not room.take([0.1])


@pytest.mark.parametrize(
    ("seconds", "full"),
    [([], False), ([0.1] * 49, False), ([0.1] * 50, True), ([1.41] * 17, False), ([1.41] * 18, True)],
)
def test_what_waits_for_no_company(seconds: list[float], full: bool) -> None:
    assert fills_batch(seconds) is full


@pytest.mark.parametrize(
    ("kinds", "live"),
    [
        (["Register"], True),
        (["Register", "ShowCard"], True),
        (["ShowCard", "Reassign"], True),
        (["HideCard", "Finish"], True),
        (["Register", "HideCard", "Finish"], False),
        (["Finish"], False),
        (["CreateRecord", "ShowCard"], False),
    ],
)
def test_whose_screen_waits(kinds: list[str], live: bool) -> None:
    assert is_live_card(kinds) is live


@pytest.mark.parametrize(
    "command", [one for one in SAMPLES if type(one).__name__ not in MANGO_KINDS], ids=lambda one: type(one).__name__
)
def test_the_expected_method_is_the_one_that_is_asked(command: object) -> None:
    method, _ = build_request(command, lambda ref: 1)  # type: ignore[arg-type]
    assert COMMAND_METHODS[type(command).__name__] == method
