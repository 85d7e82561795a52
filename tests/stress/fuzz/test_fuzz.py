"""The short form of `make fuzz`: the same requests, fewer of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stress.fuzz.run import run
from tests.stress.fuzz.shots import operations
from tests.stress.fuzz.target import FuzzTarget, Shot, Wrong, fuzz_target

INPUTS = 1000


def test_bad_inputs_break_nothing(tmp_path: Path, valkey_url: str) -> None:
    with fuzz_target(tmp_path, valkey_url) as target:
        run(target, INPUTS, number=1)
        assert target.figures.shots > INPUTS * 0.9
        assert target.figures.statuses[200] > INPUTS // 5, "most shots must get past the first check"
        target.judge_what_is_stored()
        assert len(target.figures.spent) == target.figures.shots
        assert target.figures.outliers[0][0] == max(target.figures.spent), "the longest request comes first"
        assert "99.9 % below" in target.figures.summary()


def test_the_judge_sees_what_is_wrong(tmp_path: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError

    with fuzz_target(tmp_path, valkey_url) as target:
        monkeypatch.setattr("bx24app.portals.portal_events.receive", broken)
        with pytest.raises(Wrong, match="status 500"):
            target.fire(Shot("POST", "/bitrix24/events", "", b"event=ONAPPUPDATE", "application/x-www-form-urlencoded"))
        monkeypatch.setattr(FuzzTarget, "_answer", lambda *_: (200, {}, b"Traceback (most recent call last):"))
        with pytest.raises(Wrong, match="a traceback"):
            target.fire(Shot("GET", "/"))


def test_every_route_is_shot_at() -> None:
    paths = {operation.path for operation in operations()}
    assert {"/", "/mango/{path}", "/bitrix24/events", "/frame/rules", "/media/recording/{recording_id}"} <= paths
    assert len(operations()) > 55
