"""The command line in tests: run in this process, on a database of the test's own or a world's."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from bx24app.cli.main import main
from bx24app.config import Config


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """Variables of an installation on embedded defaults that reaches nobody outside this machine."""
    plain = {
        "DATA_DIR": str(data_dir),
        "OAUTH_SERVERS": "http://127.0.0.1:9",
        "MANGO_API_URL": "http://127.0.0.1:9/vpbx/",
    }
    return {f"BX24APP_{name}": value for name, value in {**plain, **more}.items()}


def environment_of(config: Config) -> dict[str, str]:
    """Variables that give the same configuration as a running app's."""
    return environment(
        config.data_dir,
        PUBLIC_URL=config.public_url,
        REDIS_URL=config.redis_url,
        CLIENT_ID=config.client_id,
        CLIENT_SECRET=config.client_secret,
        OAUTH_SERVERS=",".join(config.oauth_servers),
        MANGO_API_URL=config.mango_api_url,
        SECRET_KEY=config.secret_key,
        ENCRYPTION_KEYS=",".join(config.encryption_keys),
        ALLOW_LOOPBACK="1",
        LOG_LEVEL="WARNING",
    )


def run(environ: dict[str, str], *arguments: str, text: str | None = None) -> Result:
    """One command, with `text` on its standard input. Anything but an orderly end fails the test."""
    result = CliRunner().invoke(main, arguments, input=text, env=environ)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    return result
