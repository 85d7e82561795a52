"""Two applications in one process share no state: neither secrets nor caches, gates, pools, counters, nor the signal to
stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from bx24app import create_app, settings
from bx24app.calls import clock_jumps, concurrency
from bx24app.calls.inbox import receiver, writer
from bx24app.calls.outbox import in_flight
from bx24app.calls.recordings import attachment, turns
from bx24app.infra import background_share, encryption, rate_limit, wakeups
from bx24app.infra.runtime import runtime
from bx24app.models import Grant, Pbx, Portal, Registration, db, utcnow
from bx24app.portals import clients, connections, tokens
from bx24app.settings import versions
from bx24app.web.monitoring import ack_latency
from tests.conftest import config_for, make_portal
from tests.support.servers import valkey


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Flask, Flask]]:
    """Two apps with data, keys and Redis of their own; each has one portal, whose row has the same id in both."""
    with valkey(tmp_path / "one valkey") as one_url, valkey(tmp_path / "other valkey") as other_url:
        apps = tuple(
            create_app(config_for(tmp_path / name, url)) for name, url in (("one", one_url), ("other", other_url))
        )
        for app, secret in zip(apps, ("secret of one", "secret of the other"), strict=True):
            with app.app_context():
                runtime().config.data_dir.mkdir(parents=True)
                db.create_all()
                make_portal(state="active")
                db.session.add(Registration(client_id="local.1", client_secret=secret))
                db.session.commit()
        one, other = apps
        yield one, other
        for app in apps:
            with app.app_context():
                db.session.remove()
                db.engine.dispose()


def token_of(app: Flask) -> bytes:
    with app.app_context():
        return encryption.encrypt("token")


def test_neither_reads_the_secrets_of_the_other(pair: tuple[Flask, Flask]) -> None:
    one, other = pair
    tokens = {app: token_of(app) for app in pair}
    for app, foreign in ((one, other), (other, one)):
        with app.app_context():
            assert encryption.decrypt(tokens[app]) == "token"
            with pytest.raises(encryption.UndecryptableSecret):
                encryption.decrypt(tokens[foreign])
    with one.app_context():
        assert db.session.get_one(Registration, "local.1").client_secret == "secret of one"
    with other.app_context():
        assert db.session.get_one(Registration, "local.1").client_secret == "secret of the other"


def test_a_hook_of_one_is_unknown_to_the_other(pair: tuple[Flask, Flask]) -> None:
    keys = []
    for app in pair:
        with app.app_context():
            keys.append(db.session.query(Pbx).one().hook_key)
    for app, own, foreign in ((pair[0], *keys), (pair[1], *reversed(keys))):
        client = app.test_client()
        assert client.post(f"/mango/{own}/ping").status_code == 200
        assert client.post(f"/mango/{foreign}/ping").status_code == 404


def test_settings_of_the_same_version_number_are_not_mixed_up(pair: tuple[Flask, Flask]) -> None:
    names = []
    for app, name in zip(pair, ("Office of one", "Office of the other"), strict=True):
        with app.app_context():
            portal = db.session.query(Portal).one()
            document = settings.current(portal).model_dump()
            document["pbxs"][0]["name"] = name
            settings.save_version(portal, type(settings.current(portal)).model_validate(document))
            db.session.commit()
    for app in pair:
        with app.app_context():
            portal = db.session.query(Portal).one()
            names.append((portal.settings_version_id, settings.current(portal).pbxs[0].name))
    assert [name for _, name in names] == ["Office of one", "Office of the other"]
    assert names[0][0] == names[1][0], "the test means the same number"


def test_tokens_of_the_same_portal_id_are_not_mixed_up(pair: tuple[Flask, Flask]) -> None:
    for app, token in zip(pair, ("token of one", "token of the other"), strict=True):
        with app.app_context():
            portal = db.session.query(Portal).one()
            expires_at = utcnow() + timedelta(days=1)
            db.session.add(
                Grant(portal_id=portal.id, user_id=1, access_token=token, refresh_token="r", expires_at=expires_at)
            )
            db.session.commit()
            assert tokens.access_token(portal.id) == token
            budget = clients.portal_budget(portal.id)
            assert clients.portal_budget(portal.id) is budget
    budgets = []
    for app in pair:
        with app.app_context():
            budgets.append(clients.portal_budget(db.session.query(Portal).one().id))
    assert budgets[0] is not budgets[1]


KEPT = [
    ack_latency.AckCounter,
    background_share.BusyTenants,
    attachment._WaitSlot,
    clients.BudgetCache,
    connections.PortalConnections,
    clock_jumps._ClockState,
    concurrency.DrainGates,
    in_flight.SenderPool,
    rate_limit.LocalCounter,
    receiver.HookCache,
    turns.RecordingTurns,
    versions._ParsedVersions,
    wakeups.WakeupBatcher,
    writer.InboxWriter,
]


@pytest.mark.parametrize("kind", KEPT, ids=lambda kind: kind.__name__)
def test_what_a_process_keeps_is_kept_for_each_app(pair: tuple[Flask, Flask], kind: type[object]) -> None:
    instances = []
    for app in pair:
        with app.app_context():
            instances.append(runtime().get(kind))
            assert runtime().get(kind) is instances[-1]
    assert instances[0] is not instances[1]


def test_gates_and_the_stop_signal_are_separate(pair: tuple[Flask, Flask]) -> None:
    one, other = pair
    with one.app_context():
        slot = concurrency.drain_slot(1)
        runtime().stop_event.set()
    with other.app_context():
        assert concurrency.drain_slot(1) is not slot
        assert not runtime().stop_event.is_set()
    with one.app_context(), concurrency.fold_slot("sqlite", runtime().config.data_dir):  # noqa: SIM117
        with other.app_context(), concurrency.fold_slot("sqlite", runtime().config.data_dir):
            pass  # would never get here if the two waited for each other
