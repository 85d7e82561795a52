"""One world for the tests of a file: they take turns in it, each with calls and clients of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bx24app.calls.fold import recording_rows
from tests.conftest import config_for
from tests.support.broker import Broker, document
from tests.support.stack import World, world


@pytest.fixture(scope="module")
def earth(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[World]:
    """An installed portal, working app, a PBX without settings yet."""
    with world(tmp_path_factory.mktemp("world"), valkey_url, config_for, quiet_seconds=2) as made:
        made.portal.limits.rate = 0
        made.portal.license = "ru_ent250"  # the larger budget: many calls in a short time are not the matter here
        made.work()
        made.install()
        yield made
        assert not made.portal.violations, made.portal.violations


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording waits a second for Mango's word that its file is there, instead of ten."""
    monkeypatch.setattr(recording_rows, "CONFIRM_SECONDS", 1.0)


@pytest.fixture(scope="module")
def offices(earth: World) -> Broker:
    return Broker(earth)


@pytest.fixture
def broker(offices: Broker) -> Iterator[Broker]:
    """The three offices with the broker's settings. After the test no call is left open in the portal, no card stands
    on a screen.
    """
    offices.rule(document())
    yield offices
    portal = offices.earth.portal
    assert not portal.calls, list(portal.calls.values())
    assert not [card for cards in portal.cards.values() for card in cards.values()]
