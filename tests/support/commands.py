"""Runs commands of `bx24app` in the test's process, on the test's own database or on that of a `World`.

A test builds the variables with `environment` or `environment_of` and passes them to `run`.
"""

from __future__ import annotations

import os
from pathlib import Path

from click.testing import CliRunner, Result

from bx24app.cli.main import main
from bx24app.config import Config


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """Environment variables of an installation with embedded services that sends nothing to other machines."""
    plain = {
        "DATA_DIR": str(data_dir),
        "OAUTH_SERVERS": "http://127.0.0.1:9",
        "MANGO_API_URL": "http://127.0.0.1:9/vpbx/",
    }
    return {f"BX24APP_{name}": value for name, value in {**plain, **more}.items()}


def environment_of(config: Config) -> dict[str, str]:
    """Environment variables that give the same configuration as `config`."""
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
    """Run one command with `text` on its standard input. An exception or a traceback in the output fails the test."""
    umask = os.umask(0o022)  # the command sets its own, as a process would
    try:
        result = CliRunner().invoke(main, arguments, input=text, env=environ)
    finally:
        os.umask(umask)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    return result
