"""The short form of `make fuzz`: the same requests, fewer of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import needs
from tests.stress.fuzz import call_shots
from tests.stress.fuzz.drained import DrainedTarget
from tests.stress.fuzz.run import _volley, run
from tests.stress.fuzz.shots import operations
from tests.stress.fuzz.target import FuzzTarget, Shot, Wrong, fuzz_target
from tests.support.servers import POSTGRES_MISSING, postgres

INPUTS = 600
POSTGRES = pytest.param(
    "postgresql",
    marks=[pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)],
)


@pytest.fixture(params=["sqlite", POSTGRES])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield ""
    else:
        with postgres(tmp_path) as url:
            yield url


def test_bad_inputs_break_nothing(tmp_path: Path, valkey_url: str, database_url: str) -> None:
    with fuzz_target(tmp_path, valkey_url, database_url) as target:
        run(target, INPUTS, number=1)
        assert target.figures.shots > INPUTS * 0.7
        assert target.figures.drained > INPUTS * 0.45
        assert target.figures.good_calls == target.figures.drained
        assert target.figures.rows["calls"] > INPUTS // 20
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


def test_what_a_drain_cannot_take_is_found(tmp_path: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with fuzz_target(tmp_path, valkey_url) as target:
        drained = DrainedTarget(target)
        shot = call_shots.signed_notifications(target.hook)

        def broken(*_: object) -> int:
            raise ZeroDivisionError

        monkeypatch.setattr("bx24app.calls.fold.call_fold.fold_context.load_context", broken)
        with pytest.raises(Wrong, match="set aside: ZeroDivisionError"):
            _volley(drained.fire, shot, 20, 1)
        monkeypatch.setattr("bx24app.calls.fold.portal_fold.load_due_calls", broken)
        with pytest.raises(Wrong, match="ZeroDivisionError"):
            _volley(drained.fire, shot, 20, 2)
