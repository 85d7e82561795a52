"""docs/scale.md says what the model counts, and the model counts right where the answer is known."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest

from benchmarks import scale, scale_model

TEXT = scale.DOCUMENT.read_text(encoding="utf-8")


def test_the_document_is_what_the_program_prints() -> None:
    assert scale.insert_tables(TEXT) == TEXT, "run: python -m benchmarks.scale --write"
    for table in scale.build_tables().values():
        assert table in TEXT


def test_a_document_that_says_something_else_is_found() -> None:
    assert (
        scale.insert_tables(TEXT.replace("100 portals |", "99 portals |"))
        == TEXT
        != TEXT.replace("100 portals |", "99 portals |")
    )
    with pytest.raises(ValueError, match="no place for limits"):
        scale.insert_tables(TEXT.replace("<!-- limits -->", ""))


def test_one_server_waits_as_the_textbook_says() -> None:
    # M/M/1: the share that waits longer than t is load * exp(-(1 - load) * t / service).
    assert scale_model.share_waiting(8, 0.1, 1, 0.0) == pytest.approx(0.8)
    assert scale_model.share_waiting(8, 0.1, 1, 0.5) == pytest.approx(0.8 * math.exp(-1))
    # M/M/2, one server's worth of work: a third of the arrivals find both busy.
    assert scale_model.share_waiting(10, 0.1, 2, 0.0) == pytest.approx(1 / 3)
    assert scale_model.share_waiting(10, 0.1, 1, 9.0) == 1.0


def test_so_many_servers_are_enough_and_one_fewer_is_not() -> None:
    count = scale_model.count_servers(100, 0.05, 0.01, 0.01)
    assert scale_model.share_waiting(100, 0.05, count, 0.01) <= 0.01
    assert scale_model.share_waiting(100, 0.05, count - 1, 0.01) > 0.01 or 5 / (count - 1) > scale_model.BUSY
    assert scale_model.count_servers(0.001, 0.05, 0.01, 0.01) == 1


def test_dearer_calls_need_more_and_nothing_shrinks_with_size() -> None:
    costs = scale.read_costs()
    plans = [scale_model.plan_size(size, costs) for size in scale_model.SIZES]
    for smaller, larger in itertools.pairwise(plans):
        for part in ("cells", "web", "worker", "machines", "terabytes"):
            assert getattr(smaller, part) <= getattr(larger, part), (smaller, larger, part)
    dear_costs = dataclasses.replace(costs, worker=costs.worker * 2, valkey=costs.valkey * 2)
    dear = scale_model.plan_size(scale_model.SIZES[-1], dear_costs)
    assert dear.worker > plans[-1].worker
    assert dear.cells > plans[-1].cells
    assert plans[0].machines == 1
