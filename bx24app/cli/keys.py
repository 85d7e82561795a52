"""`bx24app keys`: the keys that encrypt stored secrets."""

from __future__ import annotations

import click

from bx24app.cli.base import app_context


@click.group()
def keys() -> None:
    """The keys that encrypt stored secrets."""


@keys.command("new")
def generate_key() -> None:
    """Print a new key for BX24APP_ENCRYPTION_KEYS.

    Example: BX24APP_ENCRYPTION_KEYS=$(bx24app keys new)
    """
    from cryptography.fernet import Fernet

    click.echo(Fernet.generate_key().decode())


@keys.command("rotate")
def rotate_keys() -> None:
    """Re-encrypt all secrets with the first key of BX24APP_ENCRYPTION_KEYS; then the other keys can be removed.

    Example: BX24APP_ENCRYPTION_KEYS=new,old bx24app keys rotate
    """
    from bx24app.operations import key_rotation

    with app_context():
        result = key_rotation.rotate_secrets()
    click.echo(f"{result.rotated_count} secrets are encrypted with the first key")
    if result.undecryptable:
        lines = "\n".join(f"  {line}" for line in result.undecryptable)
        raise click.ClickException(
            f"no key decrypts these; give the key that encrypted them, or enter them anew:\n{lines}"
        )
