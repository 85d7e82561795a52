"""The call flow on the production choice: a PostgreSQL server and a Redis server, both real."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from bx24app.models import db
from scripts import needs
from tests.conftest import config_for
from tests.end_to_end.test_scenarios import lands, told
from tests.support.broker import KRASNODAR, MOSCOW, SILENT, Broker, Party, blind, document
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.servers import POSTGRES_MISSING, postgres
from tests.support.stack import World, world

pytestmark = [pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("large")
    with (
        postgres(tmp_path_factory.mktemp("postgres")) as url,
        world(folder, valkey_url, config_for, quiet_seconds=2, database_url=url) as made,
    ):
        made.portal.limits.rate = 0
        made.portal.license = "ru_ent250"
        made.work()
        made.install()
        yield made


@pytest.mark.parametrize(
    "name", ["incoming_answered_by_group", "incoming_missed_as_activity", "transfer_blind_by_api", "outgoing_answered"]
)
def test_lands_in_the_portal(large: World, name: str) -> None:
    lands(large, Scenario(FIXTURES / name))


@pytest.mark.parametrize("order", ["twice", "reversed"])
def test_weather_ends_the_same(large: World, order: str) -> None:
    scenario = Scenario(FIXTURES / "transfer_consultative")
    assert told(large, scenario, order)[1] == told(large, scenario, "as it is")[1]


def test_a_client_goes_from_one_office_to_another(large: World) -> None:
    broker = Broker(large)
    broker.rule(document())
    client, entry = broker.ring(
        MOSCOW, parties={"101": Party(2.0)}, others=SILENT, signals=[blind(KRASNODAR.line)], talk=20.0
    )
    large.settle(60)
    assert broker.responsible(client) == [13]
    assert [broker.journal(name).continues for name in broker.rows(client)].count(entry) == 1


def test_commits_are_durable_before_the_answer(large: World) -> None:
    with large.app.app_context():
        assert db.engine.dialect.name == "postgresql"
        assert db.session.execute(text("SHOW synchronous_commit")).scalar() == "on"
        assert db.session.execute(text("SHOW fsync")).scalar() == "on"
        db.session.rollback()
