"""The command line as an operator meets it: exit codes, one clear line for what is wrong, registrations and portals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from cryptography.fernet import Fernet

from bx24app import create_app
from bx24app.cli.main import main
from bx24app.config import load
from bx24app.models import Portal, Registration, db
from tests.conftest import make_portal
from tests.support.commands import environment, run


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A migrated installation of its own; no Redis runs."""
    found = environment(tmp_path / "var")
    assert run(found, "db", "upgrade").exit_code == 0
    return found


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_the_contracts_commands_are_there() -> None:
    found = {" ".join(path) for path, _ in commands(main)}
    assert found >= {
        "up", "demo", "web", "worker", "cron", "db upgrade", "apps add", "apps list", "portals list", "settings export",
        "settings import", "calls export", "keys rotate", "doctor",
    }  # fmt: skip


@pytest.mark.parametrize("path", [path for path, _ in commands(main)], ids=" ".join)
def test_every_command_has_help_with_an_example(path: tuple[str, ...]) -> None:
    result = run({}, *path, "--help")
    assert result.exit_code == 0
    assert f"bx24app {' '.join(path)}" in result.output.partition("Example:")[2].replace("\n  ", " ")


def test_nobody_else_on_the_machine_reads_its_files(environ: dict[str, str]) -> None:
    data = Path(environ["BX24APP_DATA_DIR"])
    modes = {path.relative_to(data.parent).as_posix(): path.stat().st_mode & 0o777 for path in [data, *data.rglob("*")]}
    assert modes.pop("var/bx24app.sqlite") == 0o600
    assert {path for path, mode in modes.items() if mode & 0o077} == set()


def test_a_wrong_variable_is_one_line(environ: dict[str, str]) -> None:
    result = run({**environ, "BX24APP_WORKERS": "many"}, "portals", "list")
    assert result.exit_code == 2
    assert result.output.strip().count("\n") == 0
    assert "BX24APP_WORKERS" in result.output


def test_a_database_that_is_not_migrated(tmp_path: Path) -> None:
    for command in (("portals", "list"), ("apps", "add", "a", "b"), ("calls", "export", "--portal", "x")):
        result = run(environment(tmp_path / "var"), *command)
        assert result.exit_code == 1
        assert "bx24app db upgrade" in result.output


@pytest.mark.parametrize(
    ("url", "exit_code", "words"),
    [
        ("postgresql://u:secret@127.0.0.1:1/x", 1, "the database does not answer"),
        ("nonsense", 2, "BX24APP_DATABASE_URL"),
        ("oracle9://x/y", 2, "BX24APP_DATABASE_URL"),
    ],
)
@pytest.mark.parametrize("command", [("portals", "list"), ("db", "upgrade")], ids=" ".join)
def test_a_database_that_is_not_there(
    environ: dict[str, str], command: tuple[str, ...], url: str, exit_code: int, words: str
) -> None:
    outside = {
        "BX24APP_DATABASE_URL": url,
        "BX24APP_REDIS_URL": "redis://127.0.0.1:1",
        "BX24APP_SECRET_KEY": "k",
        "BX24APP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    result = run({**environ, **outside}, *command)
    assert (result.exit_code, words in result.output) == (exit_code, True)
    assert "secret" not in result.output


@pytest.mark.parametrize("part", ["web", "worker", "cron"])
def test_parts_need_a_redis_of_their_own(environ: dict[str, str], part: str) -> None:
    result = run(environ, part)
    assert result.exit_code == 2
    assert "BX24APP_REDIS_URL" in result.output


def test_registrations(environ: dict[str, str]) -> None:
    result = run(environ, "apps", "add", "local.1", "--name", "Ours", text="first secret\n")
    assert (result.stdout, result.stderr) == ("local.1 added\n", "")
    result = run(environ, "apps", "add", " local.1 ", "second secret")
    assert result.stdout == "local.1 changed\n", "the form of the contract's first edition"
    assert "warning: a secret among the arguments" in result.stderr
    assert "second" not in result.output
    environ = {**environ, "BX24APP_CLIENT_ID": "app.market", "BX24APP_CLIENT_SECRET": "hidden"}
    assert run(environ, "apps", "list").output == "app.market\tfrom BX24APP_CLIENT_ID\nlocal.1\tOurs\n"
    with create_app(load(environ)).app_context():
        assert db.session.get_one(Registration, "local.1").client_secret == "second secret"
        db.session.remove()
        db.engine.dispose()
    assert run(environ, "apps", "add", "local.2", " ").exit_code == 2
    for empty in ("", "\n", None):
        assert run(environ, "apps", "add", "local.2", text=empty).exit_code == 2


def test_portals(environ: dict[str, str]) -> None:
    assert run(environ, "portals", "list", "--json").output == "[]\n"
    with create_app(load(environ)).app_context():
        make_portal()
        make_portal("b" * 32, state="needs_admin")
        db.session.query(Portal).filter_by(member_id="b" * 32).update({"domain": "ромашка.рф"})
        db.session.commit()
        db.session.remove()
        db.engine.dispose()
    assert json.loads(run(environ, "portals", "list", "--json").output) == [
        {"member_id": "a" * 32, "domain": "portal.example", "state": "paused"},
        {"member_id": "b" * 32, "domain": "ромашка.рф", "state": "needs_admin"},
    ]
    assert run(environ, "portals", "list").output.splitlines()[1] == f"{'b' * 32}\tромашка.рф\tneeds_admin"


@pytest.mark.parametrize(
    "command", [("settings", "export"), ("calls", "export"), ("settings", "import", "-")], ids=" ".join
)
def test_an_unknown_portal(environ: dict[str, str], command: tuple[str, ...]) -> None:
    result = run(environ, *command[:2], "--portal", "nobody", *command[2:], text="calls: {}")
    assert result.exit_code == 2
    assert "bx24app portals list" in result.output
