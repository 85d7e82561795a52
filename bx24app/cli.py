"""The commands of the contract, each a thin call of a use case. Wrong input ends with 2 and says why; nothing prints a traceback."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import click

from bx24app.cli_base import Wrong, app_context, configured
from bx24app.cli_settings import settings
from bx24app.config import Config, ConfigError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Mango Office for Bitrix24."""


main.add_command(settings)


def _end(run: Callable[[], int]) -> None:
    from bx24app.embedded import EmbeddedError
    from bx24app.processes_web import ListenError

    try:
        sys.exit(run())
    except (ListenError, EmbeddedError) as error:
        raise click.ClickException(str(error)) from None
    except ConfigError as error:
        raise Wrong(str(error)) from None


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, help="Port of the app.")
@click.option("--portal-port", default=8001, show_default=True)
@click.option("--pbx-port", default=8002, show_default=True)
@click.option("--oauth-port", default=8003, show_default=True)
def demo(host: str, port: int, portal_port: int, pbx_port: int, oauth_port: int) -> None:
    """`up` beside a sandbox portal and a sandbox PBX.

    Example: bx24app demo --port 9000
    """
    from bx24app import tree

    _end(lambda: tree.demo(host, port, (portal_port, pbx_port, oauth_port)))


def _shared(config: Config, name: str) -> Config:
    if not config.redis_url:
        raise Wrong(
            f"BX24APP_REDIS_URL is not set: `bx24app {name}` needs it, the embedded Valkey belongs to `bx24app up`"
        )
    return config


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True)
def up(host: str, port: int) -> None:
    """Migrate, then web, workers and periodic jobs in one process tree.

    Example: bx24app up --host 0.0.0.0 --port 8000
    """
    from bx24app import tree

    config = configured()
    _end(lambda: tree.up(config, host, port))


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True)
def web(host: str, port: int) -> None:
    """Only the web part, for more than one machine.

    Example: BX24APP_REDIS_URL=redis://cache/0 bx24app web --port 8000
    """
    from bx24app import tree

    config = _shared(configured(), "web")
    _end(lambda: tree.web(config, host, port))


@main.command()
def worker() -> None:
    """Only the workers.

    Example: BX24APP_REDIS_URL=redis://cache/0 bx24app worker
    """
    from bx24app import tree

    config = _shared(configured(), "worker")
    _end(lambda: tree.worker(config))


@main.command()
def cron() -> None:
    """Only the periodic jobs; two of them are safe.

    Example: BX24APP_REDIS_URL=redis://cache/0 bx24app cron
    """
    from bx24app import tree

    config = _shared(configured(), "cron")
    _end(lambda: tree.cron(config))


@main.group()
def db() -> None:
    """The database."""


@db.command()
def upgrade() -> None:
    """Run the migrations.

    Example: bx24app db upgrade
    """
    from bx24app import create_app, tree

    app = create_app(configured())
    tree.migrate(app)


@main.group()
def apps() -> None:
    """Registrations: each portal's local application has a pair of its own."""


@apps.command("add")
@click.argument("client_id")
@click.argument("client_secret")
@click.option("--name", default="", help="What to call it.")
def apps_add(client_id: str, client_secret: str, name: str) -> None:
    """Make a further registration known.

    Example: bx24app apps add local.0123.4567 SECRET --name "Our portal"
    """
    from bx24app.models import Registration
    from bx24app.models import db as database

    with app_context():
        row = database.session.get(Registration, client_id) or Registration(client_id=client_id)
        row.client_secret, row.name = client_secret, name or row.name or ""
        database.session.add(row)
        database.session.commit()
    click.echo(f"{client_id} added")


@apps.command("list")
def apps_list() -> None:
    """The registrations, without their secrets.

    Example: bx24app apps list
    """
    from bx24app.models import Registration
    from bx24app.models import db as database

    with app_context() as app:
        config = app.extensions["bx24app"].config
        if config.client_id:
            click.echo(f"{config.client_id}\tfrom BX24APP_CLIENT_ID")
        for row in database.session.query(Registration).order_by(Registration.created_at):
            click.echo(f"{row.client_id}\t{row.name}")


@main.group()
def portals() -> None:
    """Installed portals."""


@portals.command("list")
@click.option("--json", "as_json", is_flag=True, help="As a JSON list of objects.")
def portals_list(as_json: bool) -> None:
    """Every portal with its state.

    Example: bx24app portals list --json
    """
    from bx24app.models import Portal
    from bx24app.models import db as database

    with app_context():
        rows = [
            {"member_id": row.member_id, "domain": row.domain, "state": row.state}
            for row in database.session.query(Portal).order_by(Portal.id)
        ]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        for portal in rows:
            click.echo(f"{portal['member_id']}\t{portal['domain']}\t{portal['state']}")


if __name__ == "__main__":
    main()
