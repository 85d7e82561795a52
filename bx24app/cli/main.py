"""The root of the command line: the commands that run processes; the others are in the modules of this package.

Each command is a thin call of a use case. Wrong input ends with exit code 2 and says why; nothing prints a traceback.
Use cases are imported by the command that needs them, so that `--help` is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from bx24app import __version__
from bx24app.cli import backfill, doctor, erasure, hooks, journal, keys, portals, replay, rules, settings
from bx24app.cli.base import InputError, load_config, report_errors
from bx24app.config import Config


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bx24app", message="%(prog)s %(version)s")
def main() -> None:
    """Mango Office for Bitrix24: calls of Mango Office cloud PBXs in Bitrix24 portals."""
    os.umask(0o077)  # database, spool and keys are nobody else's, whoever starts the command


def _listen_options(command: Callable[..., None]) -> Callable[..., None]:
    host = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
    port = click.option(
        "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
    )
    return host(port(command))


def _exit_with(run: Callable[[], int]) -> None:
    with report_errors():
        sys.exit(run())


def _load_shared_config(name: str) -> Config:
    """The configuration of a process that shares Redis with others. Raises InputError if there is none."""
    config = load_config()
    if not config.redis_url:
        needed = f"`bx24app {name}` needs it, the embedded Valkey belongs to `bx24app up`"
        raise InputError(f"BX24APP_REDIS_URL is not set: {needed}")
    return config


@main.command()
@_listen_options
def up(host: str, port: int) -> None:
    """Migrate, then web, workers and periodic jobs in one process use_case.

    Example: bx24app up --host 0.0.0.0 --port 8000
    """
    from bx24app.cli import up as use_case

    config = load_config()
    _exit_with(lambda: use_case.run_all(config, host, port))


@main.command()
@_listen_options
@click.option("--portal-port", default=8001, show_default=True, help="Port of the sandbox portal.")
@click.option("--pbx-port", default=8002, show_default=True, help="Port of the sandbox PBX.")
@click.option("--oauth-port", default=8003, show_default=True, help="Port of the sandbox's OAuth server.")
def demo(host: str, port: int, **ports: Any) -> None:
    """The whole app beside a sandbox portal and a sandbox PBX; each start begins with empty data.

    Example: bx24app demo
    """
    from bx24app.cli import demo as use_case

    _exit_with(lambda: use_case.run_demo(host, port, (ports["portal_port"], ports["pbx_port"], ports["oauth_port"])))


@main.command()
@_listen_options
def web(host: str, port: int) -> None:
    """Only the web process, for more than one machine.

    Example: BX24APP_REDIS_URL=redis://cache/0 bx24app web --port 8000
    """
    from bx24app.cli import up as use_case

    config = _load_shared_config("web")
    _exit_with(lambda: use_case.run_web_only(config, host, port))


@main.command()
def worker() -> None:
    """Only the workers.

    Example: BX24APP_REDIS_URL=redis://cache/0 bx24app worker
    """
    from bx24app.cli import up as use_case

    config = _load_shared_config("worker")
    _exit_with(lambda: use_case.run_workers_only(config))


@main.command()
def cron() -> None:
    """Only the periodic jobs; two of them are safe.

    Example: BX24APP_REDIS_URL=redis://cache/0 bx24app cron
    """
    from bx24app.cli import up as use_case

    config = _load_shared_config("cron")
    _exit_with(lambda: use_case.run_cron_only(config))


@main.group()
def db() -> None:
    """The database."""


@db.command()
def upgrade() -> None:
    """Run the migrations that are missing; safe while the app runs.

    Example: bx24app db upgrade
    """
    from bx24app import create_app
    from bx24app.cli import up as use_case

    config = load_config()
    with report_errors():
        use_case.migrate_database(create_app(config))


main.add_command(settings.settings)
main.add_command(rules.rules)
main.add_command(portals.apps)
main.add_command(portals.portals)
main.add_command(journal.calls)
main.add_command(replay.replay_calls)
main.add_command(erasure.forget_person)
main.add_command(backfill.backfill_calls)
main.add_command(hooks.hooks)
main.add_command(keys.keys)
main.add_command(doctor.run_doctor)


if __name__ == "__main__":
    main()
