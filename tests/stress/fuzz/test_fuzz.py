"""The short form of `make fuzz`: the same shots, fewer of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stress.fuzz.arena import Arena, Shot, Wrong, arena
from tests.stress.fuzz.run import run
from tests.stress.fuzz.shots import operations

INPUTS = 1000


def test_bad_inputs_break_nothing(tmp_path: Path, valkey_url: str) -> None:
    with arena(tmp_path, valkey_url) as found:
        run(found, INPUTS, number=1)
        assert found.figures.shots > INPUTS * 0.9
        assert found.figures.statuses[200] > INPUTS // 5, "most shots must get past the first check"
        found.judge_what_is_stored()
        assert len(found.figures.spent) == found.figures.shots
        assert found.figures.outliers[0][0] == max(found.figures.spent), "the longest request is told first"
        assert "99.9 % below" in found.figures.told()


def test_the_judge_sees_what_is_wrong(tmp_path: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError

    with arena(tmp_path, valkey_url) as found:
        monkeypatch.setattr("bx24app.portals.portal_events.receive", broken)
        with pytest.raises(Wrong, match="status 500"):
            found.fire(Shot("POST", "/bitrix24/events", "", b"event=ONAPPUPDATE", "application/x-www-form-urlencoded"))
        monkeypatch.setattr(Arena, "_answer", lambda *_: (200, {}, b"Traceback (most recent call last):"))
        with pytest.raises(Wrong, match="a traceback"):
            found.fire(Shot("GET", "/"))


def test_every_route_is_shot_at() -> None:
    paths = {operation.path for operation in operations()}
    assert {"/", "/mango/{path}", "/bitrix24/events", "/frame/rules", "/media/recording/{recording_id}"} <= paths
    assert len(operations()) > 55
