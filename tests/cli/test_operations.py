"""`bx24app keys rotate`, `bx24app doctor`, `bx24app demo`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import text

from bx24app import settings
from bx24app.domain.settings import LineSettings, Settings
from bx24app.domain.settings import PbxSettings as PbxSettings
from bx24app.models import Grant, Portal, Registration, db
from bx24app.models import Pbx as PbxRow
from bx24app.operations import doctor, proxy_check
from tests.conftest import KEY, SALT
from tests.support import commands
from tests.support.installations import change, installed, w
from tests.support.stack import World

__all__ = ["w"]


@pytest.fixture
def old(app: Flask) -> str:
    """The key that everything is encrypted with."""
    return app.extensions["bx24app"].config.encryption_keys[0]


def raw(column: str, table: str) -> list[bytes]:
    found = [bytes(value) for value in db.session.scalars(text(f'SELECT {column} FROM "{table}"')) if value is not None]  # noqa: S608
    db.session.rollback()
    return found


def test_rotation_seals_everything_with_the_first_key(app: Flask, old: str, portal: Portal) -> None:
    db.session.add(Registration(client_id="local.1", client_secret="the secret"))
    db.session.commit()
    new = Fernet.generate_key().decode()
    environ = commands.environment_of(app.extensions["bx24app"].config)
    result = commands.run({**environ, "BX24APP_ENCRYPTION_KEYS": f"{new},{old}"}, "keys", "rotate")
    assert (result.exit_code, result.output) == (0, "5 secrets are encrypted with the first key\n")
    box = Fernet(new)
    assert [box.decrypt(one) for one in raw("client_secret", "registration")] == [b"the secret"]
    assert [box.decrypt(one) for one in raw("application_token", "portal")] == [b"token-of-the-application"]
    assert [box.decrypt(one) for one in raw("api_key", "pbx") + raw("api_salt", "pbx")] == [KEY.encode(), SALT.encode()]
    assert commands.run({**environ, "BX24APP_ENCRYPTION_KEYS": new}, "keys", "rotate").exit_code == 0


def test_rotation_names_what_no_key_fits(app: Flask, old: str, portal: Portal) -> None:
    portal_id = portal.id
    db.session.rollback()
    environ = commands.environment_of(app.extensions["bx24app"].config)
    result = commands.run({**environ, "BX24APP_ENCRYPTION_KEYS": Fernet.generate_key().decode()}, "keys", "rotate")
    assert result.exit_code == 1
    assert f"  portal {portal_id}: application_token" in result.output
    assert Fernet(old).decrypt(raw("application_token", "portal")[0]) == b"token-of-the-application"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's own server waits for a body; whatever it does is in order without a proxy."""
    monkeypatch.setattr(proxy_check, "END_SECONDS", 1.0)


def checked(environ: dict[str, str]) -> tuple[int, dict[str, str]]:
    """Exit code and findings, each by what it is about."""
    result = commands.run(environ, "doctor")
    lines = re.findall(r"^(ok|WRONG) +(.+?): (.*)$", result.output, re.MULTILINE)
    return result.exit_code, {about: f"{'ok' if good == 'ok' else 'wrong'}: {words}" for good, about, words in lines}


def connected(w: World) -> dict[str, str]:
    """An installed portal with a PBX whose key and salt Mango knows. Gives the variables."""
    portal_id = installed(w)
    board = w.mango.add_pbx(api_key=KEY, api_salt=SALT)
    board.pbx.add_line("74950000001", "Moscow")
    document = Settings(pbxs=(PbxSettings(key="moscow", lines=(LineSettings(number="74950000001"),)),))
    settings.save_version(db.session.get_one(Portal, portal_id), document, {"moscow": (KEY, SALT)})
    db.session.commit()
    return commands.environment_of(w.config)


def test_a_sound_installation(w: World) -> None:
    exit_code, found = checked(connected(w))
    assert exit_code == 0, found
    domain = w.portal.domain
    assert list(found) == [
        "database", "redis", "public address", "proxy", "clock", "applications", f"portal {domain}",
        f"pbx moscow of {domain}",
    ]  # fmt: skip
    assert found[f"portal {domain}"] == "ok: active, its token is accepted"
    assert found[f"pbx moscow of {domain}"].startswith("ok: key and salt are accepted")


def test_what_is_wrong_is_said_with_what_to_do(w: World) -> None:
    environ = connected(w)
    domain, portal_id = w.portal.domain, db.session.query(Portal.id).scalar()
    db.session.query(PbxRow).update({"api_salt": "another", "refused_count": 3})
    db.session.query(Grant).delete()
    db.session.commit()
    environ |= {
        "BX24APP_REDIS_URL": "redis://:hidden@127.0.0.1:9/0",
        "BX24APP_PUBLIC_URL": "http://127.0.0.1:9",
        "BX24APP_OAUTH_SERVERS": "http://127.0.0.1:9",
        "BX24APP_ALLOW_LOOPBACK": "1",
    }
    exit_code, found = checked(environ)
    assert exit_code == 1
    assert {about for about, words in found.items() if words.startswith("wrong")} == {
        "redis", "public address", "clock", f"portal {domain}", f"pbx moscow of {domain}",
    }  # fmt: skip
    assert "BX24APP_REDIS_URL" in found["redis"]
    assert "hidden" not in str(found)
    assert "grant" in found[f"portal {domain}"]
    change(portal_id, state="removed")
    assert f"portal {domain}" not in checked(environ)[1]


def test_a_public_address_that_is_not_https(w: World) -> None:
    environ = commands.environment_of(w.config)
    environ["BX24APP_ALLOW_LOOPBACK"] = "0"
    result = commands.run(environ, "doctor")
    assert result.exit_code == 1
    assert f"WRONG public address: {w.url} is not https" in result.output


def test_a_clock_that_is_wrong(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MAX_CLOCK_DRIFT_SECONDS", -1)
    exit_code, found = checked(commands.environment_of(w.config))
    assert (exit_code, "NTP" in found["clock"]) == (1, True)


def test_secrets_that_cannot_be_read(w: World) -> None:
    environ = connected(w)
    environ["BX24APP_ENCRYPTION_KEYS"] = Fernet.generate_key().decode()
    exit_code, found = checked(environ)
    assert exit_code == 1
    secrets = {name: text for name, text in found.items() if name.startswith("secret pbx")}
    assert secrets
    assert all("BX24APP_ENCRYPTION_KEYS" in text for text in secrets.values())


def test_a_database_without_tables(tmp_path: Path) -> None:
    exit_code, found = checked(commands.environment(tmp_path / "var"))
    assert exit_code == 1
    assert "bx24app db upgrade" in found["database"]
    assert "bx24app up" in found["redis"]


def test_the_demo_serves_a_new_world_each_time(tmp_path: Path) -> None:
    left = tmp_path / "var/demo/left by a former demo"
    left.parent.mkdir(parents=True)
    left.touch()
    ports = ["--port", "0", "--portal-port", "0", "--pbx-port", "0", "--oauth-port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bx24app.cli", "demo", *ports],
        cwd=Path(__file__).parents[2],
        env={
            **os.environ,
            **commands.environment(tmp_path / "var"),
            "BX24APP_DATABASE_URL": "postgresql://real.example/x",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        found: dict[str, str] = {}
        for line in process.stdout:
            found |= dict(re.findall(r"(ready on|portal  |PBX  ) +(http://\S+)", line))
            if "Ctrl-C" in line:
                break
        assert requests.get(f"{found['ready on']}/readyz", timeout=20).json()["status"] == "ok"
        assert requests.get(found["portal  "], timeout=20).status_code == 200
        assert requests.get(found["PBX  "], timeout=20).status_code == 200
        assert not left.exists()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0
