"""Who is silent: counts that stand still through several observations."""

from __future__ import annotations

from bx24app.domain.silence import SILENT_OBSERVATIONS, SilenceWatch


def test_a_count_that_moves_is_alive() -> None:
    watch = SilenceWatch()
    assert [watch.observe({"a": count // 7}) for count in range(60)] == [[]] * 60


def test_a_count_that_stands_still_is_silent_after_some_observations() -> None:
    watch = SilenceWatch()
    silent = [watch.observe({"a": 5, "b": number}) for number in range(SILENT_OBSERVATIONS + 2)]
    assert silent == [[]] * SILENT_OBSERVATIONS + [["a"]] * 2


def test_observations_that_were_not_made_do_not_count() -> None:
    """The database was away: nobody looked, and each worker beats once when it is back."""
    watch = SilenceWatch()
    for _ in range(SILENT_OBSERVATIONS):
        watch.observe({"a": 5})
    assert watch.observe({"a": 6}) == []


def test_who_is_gone_and_comes_back_begins_anew() -> None:
    watch = SilenceWatch()
    for _ in range(SILENT_OBSERVATIONS):
        watch.observe({"a": 5})
    watch.observe({})
    assert watch.observe({"a": 5}) == []
