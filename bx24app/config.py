"""The configuration: every BX24APP_ variable with its default, meaning and check. `create_app` reads it once; nothing
else reads the environment."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cryptography.fernet import Fernet
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from redis.connection import parse_url

from bx24app.domain.host_names import to_ascii_url

PREFIX = "BX24APP_"
SECRETS = frozenset({"CLIENT_SECRET", "SECRET_KEY", "ENCRYPTION_KEYS"})
_URL_PASSWORD = re.compile(r"(://[^/@]*:)[^@]*@")
_DEFAULT_RECORDING_RETRY = "0,15,30,60,60,120,300,600,1800,3600,7200,14400,28800,28800"


class ConfigError(Exception):
    """A variable cannot be used. The message is one line: the variable, its value (secrets masked), what to give
    instead.
    """


SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
SENTINEL_PORT = 26379


def sentinel_parts(url: str) -> tuple[str | None, str | None, list[tuple[str, int]], str, int]:
    """(user, password, sentinels, master, database) of a redis+sentinel address. Raises ValueError if it cannot be
    read.
    """
    parts = urlsplit(url)
    login, _, addresses = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    path = [piece for piece in parts.path.split("/") if piece]
    if not addresses or not path:
        raise ValueError("give an address such as redis+sentinel://host1:26379,host2:26379/mymaster/0")
    hosts = []
    for address in addresses.split(","):
        host, _, port = address.partition(":")
        hosts.append((host, int(port or SENTINEL_PORT)))
    return unquote(user) or None, unquote(password) or None, hosts, path[0], int(path[1]) if len(path) > 1 else 0


class Config(BaseModel):
    """The configuration of one process. Field names are the variables in lower case."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    public_url: str = "http://127.0.0.1:8000"
    """The https address under which Bitrix24 and Mango Office reach the app, without a slash at its end."""
    data_dir: Path = Path("./var")
    database_url: str = ""
    redis_url: str = ""
    client_id: str = ""
    client_secret: str = Field("", repr=False)
    oauth_servers: tuple[str, ...] = ("https://oauth.bitrix.info", "https://oauth.bitrix24.tech")
    """The only hosts that may ever see a client secret; the first is the default."""
    mango_api_url: str = "https://app.mango-office.ru/vpbx/"
    recording_hosts: tuple[str, ...] = ("*.mango-office.ru",)
    secret_key: str = Field("", repr=False)
    encryption_keys: tuple[str, ...] = Field((), repr=False)
    allow_loopback: bool = False
    private_portals: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    ca_bundle: Path | None = None
    outgoing_addresses: tuple[str, ...] = ()
    """Addresses from which this installation asks Mango Office, for administrators who must allow them there."""
    trusted_proxies: int = Field(0, ge=0, le=10)
    mango_addresses: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    """Networks (CIDR) from which notifications may come; empty admits any. Behind a proxy this needs
    `trusted_proxies`."""
    hook_rate: int = Field(1000, ge=0)
    """Requests a second that one hook address may receive, averaged over ten seconds; 0 means any number."""
    address_rate: int = Field(5000, ge=0)
    """Requests a second that one sender may send to all hook addresses, averaged over ten seconds; 0 means any
    number."""
    recording_retry: tuple[int, ...] = tuple(int(step) for step in _DEFAULT_RECORDING_RETRY.split(","))
    reconcile_seconds: int = Field(600, ge=0)
    onpremise_rate: float = Field(0.0, ge=0, le=1000, allow_inf_nan=False)
    """Requests a second to an on-premise portal; 0 means no limit. A cloud portal has the limit of its tariff."""
    quiet_seconds: int = Field(120, ge=1)
    keep_notifications_days: int = Field(90, ge=7)
    """Days that a handled notification is kept."""
    keep_calls_days: int = Field(1095, ge=0)
    """Days that a finished call stays in the journal with its deliveries and recordings; 0 means for ever."""
    keep_spool_days: int = Field(7, ge=2)
    """Days that a fetched recording may wait for its portal; later it is fetched again if it is still needed."""
    keep_silent_days: int = Field(90, ge=0)
    """Days after which a portal that refuses the grant counts as uninstalled; 0 means never."""
    workers: int = Field(0, ge=0, le=64)
    worker_threads: int = Field(0, ge=0, le=256)
    otlp_endpoint: str = ""
    """Where OpenTelemetry traces are sent (OTLP over HTTP); empty traces nothing. Needs the extra `otel`."""
    log_level: str = "INFO"
    log_format: str = "console"

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("give an address such as https://calls.example.ru")
        return to_ascii_url(value.rstrip("/"))

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str) -> str:
        if value:
            try:
                sentinel_parts(value) if value.partition("://")[0] in SENTINEL_SCHEMES else parse_url(value)  # type: ignore[no-untyped-call]
            except ValueError:
                raise ValueError(
                    "give an address such as redis://host:6379/0, rediss://… or redis+sentinel://host1,host2/mymaster/0"
                ) from None
        return value

    @field_validator("oauth_servers")
    @classmethod
    def _check_oauth_servers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("give at least one server such as https://oauth.bitrix.info")
        for server in value:
            parts = urlsplit(server)
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/"):
                raise ValueError("give servers such as https://oauth.bitrix.info, without a path")
        return tuple(server.rstrip("/") for server in value)

    @field_validator("mango_api_url")
    @classmethod
    def _check_mango_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("give an address such as https://app.mango-office.ru/vpbx/")
        return value.rstrip("/") + "/"

    @field_validator("otlp_endpoint")
    @classmethod
    def _check_otlp_endpoint(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            raise ValueError("give an address such as http://collector:4318/v1/traces")
        return value

    @field_validator("encryption_keys")
    @classmethod
    def _check_encryption_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for key in value:
            try:
                Fernet(key)
            except ValueError:
                raise ValueError("give Fernet keys (32 bytes in url-safe base64), separated by commas") from None
        return value

    @field_validator("recording_retry")
    @classmethod
    def _check_recording_retry(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or any(step < 0 for step in value):
            raise ValueError(f"give seconds separated by commas, such as {_DEFAULT_RECORDING_RETRY}")
        return value

    @field_validator("keep_calls_days")
    @classmethod
    def _check_keep_calls(cls, value: int, info: ValidationInfo) -> int:
        # A notification that is kept longer than its call would make the call a second time.
        if value and value < info.data.get("keep_notifications_days", 0):
            raise ValueError("give as many days as BX24APP_KEEP_NOTIFICATIONS_DAYS has, or more, or 0 for ever")
        return value

    @field_validator("log_level")
    @classmethod
    def _check_log_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
            raise ValueError("give DEBUG, INFO, WARNING, ERROR or CRITICAL")
        return value.upper()

    @field_validator("log_format")
    @classmethod
    def _check_log_format(cls, value: str) -> str:
        if value not in {"console", "json"}:
            raise ValueError("give console or json")
        return value

    @property
    def has_external_database(self) -> bool:
        """Is the database outside the data directory, so that other machines may share it?"""
        url = urlsplit(self.database_url)
        if not url.scheme.startswith("sqlite"):
            return bool(self.database_url)
        return not Path(url.path[1:] or ".").resolve().is_relative_to(self.data_dir.resolve())


_LIST_FIELDS = {
    "oauth_servers", "recording_hosts", "encryption_keys", "private_portals", "mango_addresses",
    "outgoing_addresses", "recording_retry",
}  # fmt: skip
_FLAG_FIELDS = {"allow_loopback"}


def load(environ: Mapping[str, str] | None = None, **overrides: Any) -> Config:
    """Read the configuration from the environment; generates missing keys in the data directory.

    Raises:
        ConfigError: a variable is wrong; the message is one line for the operator.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for name in Config.model_fields:
        raw = environ.get(PREFIX + name.upper(), "").strip()
        if raw:
            values[name] = _parse_value(name, raw)
    values.update(overrides)
    if "log_format" not in values and "INVOCATION_ID" in environ:
        values["log_format"] = "json"  # systemd sets INVOCATION_ID: a process manager collects the lines
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_describe_error(error, environ)) from None
    return _fill_defaults(config)


def _parse_value(name: str, raw: str) -> Any:
    if name in _LIST_FIELDS:
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    if name in _FLAG_FIELDS and raw not in {"0", "1"}:
        raise ConfigError(f"{PREFIX}{name.upper()} is {raw!r}: give 0 or 1")
    return raw


def _describe_error(error: ValidationError, environ: Mapping[str, str]) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]).upper()
    value = "(hidden)" if name in SECRETS else repr(_URL_PASSWORD.sub(r"\1***@", environ.get(PREFIX + name, "")))
    return f"{PREFIX}{name} is {value}: {first['msg'].removeprefix('Value error, ')}"


def _fill_defaults(config: Config) -> Config:
    data = config.data_dir.resolve()
    update: dict[str, Any] = {"data_dir": data}
    if config.has_external_database:
        for name, variable in (
            ("secret_key", "SECRET_KEY"),
            ("encryption_keys", "ENCRYPTION_KEYS"),
            ("redis_url", "REDIS_URL"),
        ):
            if not getattr(config, name):
                raise ConfigError(
                    f"{PREFIX}{variable} is not set: it must be given where {PREFIX}DATABASE_URL points outside the "
                    "data directory, since other machines share the database"
                )
    if not config.database_url:
        update["database_url"] = f"sqlite:///{data / 'bx24app.sqlite'}"
    elif config.database_url.startswith(("postgres://", "postgresql://")):
        update["database_url"] = "postgresql+psycopg://" + config.database_url.partition("://")[2]
    if not config.secret_key:
        update["secret_key"] = _load_or_generate(data, "secret_key", lambda: secrets.token_urlsafe(48))
    if not config.encryption_keys:
        update["encryption_keys"] = tuple(
            _load_or_generate(data, "encryption_keys", lambda: Fernet.generate_key().decode()).split(",")
        )
    return config.model_copy(update=update)


def _load_or_generate(data: Path, name: str, make: Any) -> str:
    """The key in the data directory, generated at the first start. `O_EXCL` decides between two simultaneous first
    starts.
    """
    path = data / "keys" / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    except OSError as error:
        raise ConfigError(
            f"{PREFIX}DATA_DIR is {str(data)!r}: {error.strerror}; give a directory that can be written"
        ) from None
    with os.fdopen(descriptor, "w") as file:
        file.write(make())
    return path.read_text().strip()
