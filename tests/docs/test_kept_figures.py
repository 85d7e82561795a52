"""The table in docs/performance.md is the kept one, and a run of one measure leaves the others' figures alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import kept
from benchmarks.__main__ import MEASURES
from benchmarks.measure import Figure, Measure, Ran, Report, median

TEXT = kept.PAGE.read_text(encoding="utf-8")


def test_the_readme_says_what_is_kept() -> None:
    assert kept.written(TEXT) == TEXT, "run: python -m benchmarks --keep"
    rows = kept.load("bench")
    assert {row["row"] for row in rows if row["row"]} == set(range(1, 11)), "every measure of the table"
    with pytest.raises(ValueError, match="no place"):
        kept.written(TEXT.replace("<!-- figures -->", ""))


def test_what_is_kept_was_measured() -> None:
    """Names of a kept figure's measure are those of today, and a miss is said to be one."""
    known = {one.name: one.row for one in MEASURES}
    for name in ("bench", "quick"):
        rows = kept.load(name)
        assert rows
        for row in rows:
            assert known[row["measure"]] == row["row"]
            assert row["quick"] is (name == "quick")
    for row in kept.load("bench"):
        if row["row"]:
            line = next(line for line in TEXT.splitlines() if f"| {row['name']} |" in line)
            assert ("**no**" in line) is not row["reached"]


def _measure(name: str, ours: float) -> Ran:
    one = Measure(name, "", lambda quick: [], 1)
    return Ran(one, [Figure(f"{name} a second", ours, "/s", "more", ours > 1, baseline=2.0)], 3, 0.25)


def test_a_run_replaces_its_own_figures_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "RESULTS", tmp_path)
    both = [_measure("one", 1.0), _measure("two", 2.0)]
    measures = [ran.measure for ran in both]
    kept.keep("bench", Report(both, quick=False), measures)
    kept.keep("bench", Report([_measure("one", 3.0)], quick=False), measures)
    assert [(row["measure"], row["ours"], row["ratio"]) for row in kept.load("bench")] == [
        ("one", 3.0, 1.5),
        ("two", 2.0, 1.0),
    ]
    assert "| 1 | one a second | 3 /s | 2 /s | 1.50 | more | yes | 3, 0.2 |" in kept.table(kept.load("bench"))


def test_the_median_keeps_a_figure_and_its_baseline_together() -> None:
    runs = [[Figure("a", ours, "/s", "", True, baseline=base)] for ours, base in ((9.0, 1.0), (8.0, 4.0), (6.0, 6.0))]
    [found] = median(runs)
    assert (found.ours, found.baseline, found.ratio) == (8.0, 4.0, 2.0)
