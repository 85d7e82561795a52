"""Every variable: its default, its check, one line for the operator."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from bx24app import config


def load(tmp_path: Path, **variables: str) -> config.Config:
    environ = {"BX24APP_DATA_DIR": str(tmp_path), **{f"BX24APP_{name}": value for name, value in variables.items()}}
    return config.load(environ)


def test_defaults(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert found.database_url == f"sqlite:///{tmp_path / 'bx24app.sqlite'}"
    assert found.oauth_servers[0] == "https://oauth.bitrix.info"
    assert sum(found.recording_retry) < 24 * 3600
    assert not found.allow_loopback


def test_a_cyrillic_address_is_given_to_others_in_ascii(tmp_path: Path) -> None:
    assert load(tmp_path, PUBLIC_URL="https://Звонки.рф:8443/").public_url == "https://xn--b1ajehof.xn--p1ai:8443"


def test_keys_are_generated_once_and_kept(tmp_path: Path) -> None:
    first, second = load(tmp_path), load(tmp_path)
    assert first.secret_key == second.secret_key
    assert first.encryption_keys == second.encryption_keys
    assert (tmp_path / "keys" / "encryption_keys").stat().st_mode & 0o077 == 0


WRONG = [
    ("PUBLIC_URL", "calls.example.ru", "give an address such as"),
    ("OAUTH_SERVERS", "https://oauth.bitrix.info/path", "without a path"),
    ("QUIET_SECONDS", "soon", "valid integer"),
    ("ALLOW_LOOPBACK", "yes", "give 0 or 1"),
    ("PRIVATE_PORTALS", "10.0.0.0/99", "IPv4 network"),
    ("RECORDING_RETRY", "1,-5", "give seconds"),
    ("LOG_LEVEL", "LOUD", "give DEBUG"),
    ("LOG_FORMAT", "xml", "give console or json"),
    ("KEEP_NOTIFICATIONS_DAYS", "1", "greater than or equal to 7"),
    ("KEEP_CALLS_DAYS", "60", "as BX24APP_KEEP_NOTIFICATIONS_DAYS has, or more"),
    ("ENCRYPTION_KEYS", "short", "give Fernet keys"),
]


@pytest.mark.parametrize(("name", "value", "says"), WRONG)
def test_a_wrong_value_is_one_line_that_names_it(tmp_path: Path, name: str, value: str, says: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        load(tmp_path, **{name: value})
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"BX24APP_{name} is ")
    assert says in line


def test_secrets_are_masked_in_the_complaint(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError) as caught:
        load(tmp_path, ENCRYPTION_KEYS="my-secret")
    assert "my-secret" not in str(caught.value)


def test_a_shared_database_needs_keys_and_redis(tmp_path: Path) -> None:
    url = "postgresql://user@127.0.0.1/db"
    with pytest.raises(config.ConfigError, match="BX24APP_SECRET_KEY is not set"):
        load(tmp_path, DATABASE_URL=url)
    found = load(
        tmp_path,
        DATABASE_URL=url,
        SECRET_KEY="s",
        ENCRYPTION_KEYS=Fernet.generate_key().decode(),
        REDIS_URL="redis://127.0.0.1/0",
    )
    assert found.database_url == "postgresql+psycopg://user@127.0.0.1/db"


def test_a_data_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(config.ConfigError, match="BX24APP_DATA_DIR"):
        config.load({"BX24APP_DATA_DIR": str(tmp_path / "file")})
