"""USE CASE: the settings document of a portal: load, save as a version, import, export."""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import Any

import yaml
from sqlalchemy import func, select

from bx24app.domain import document
from bx24app.domain.settings import Settings
from bx24app.models import Audit, Pbx, Portal, SettingsVersion, db, utcnow


class Conflict(Exception):
    """Somebody saved another version meanwhile; `number` is the present one."""

    def __init__(self, number: int) -> None:
        super().__init__(f"the settings were changed meanwhile, their version is now {number}")
        self.number = number


_NOTHING = Settings()


@lru_cache(maxsize=256)
def _parsed(version_id: int) -> Settings:
    stored = db.session.query(SettingsVersion.document).filter_by(id=version_id).scalar()
    return Settings.model_validate(stored)


def of_version(version_id: int | None) -> Settings:
    """The settings of one version; versions never change, so each is parsed once a process."""
    return _parsed(version_id) if version_id is not None else _NOTHING


def current(portal: Portal) -> Settings:
    """The portal's present settings; defaults where nothing was saved yet."""
    return of_version(portal.settings_version_id)


def save(
    portal: Portal,
    settings: Settings,
    keys: dict[str, tuple[str | None, str | None]] | None = None,
    *,
    author: int | None = None,
    source: str = "cli",
    note: str = "",
    expected_number: int | None = None,
) -> SettingsVersion:
    """Write a new version and bring the PBX rows into line with it. The caller commits.

    Args:
        keys: PBX key -> (api_key, api_salt) to store; None keeps what is stored.
        expected_number: the version that the author saw.

    Raises:
        Conflict
    """
    number = (
        db.session.scalar(select(func.max(SettingsVersion.number)).where(SettingsVersion.portal_id == portal.id)) or 0
    )
    if expected_number is not None and expected_number != number:
        raise Conflict(number)
    version = SettingsVersion(
        portal_id=portal.id,
        number=number + 1,
        document=document.dump(settings),
        author=author,
        source=source,
        note=note,
    )
    db.session.add(version)
    db.session.flush()
    portal.settings_version_id = version.id
    _follow(portal, settings, keys or {})
    facts: dict[str, Any] = {"version": version.number}
    db.session.add(Audit(portal_id=portal.id, user_id=author, source=source, what="settings saved", facts=facts))
    return version


def _follow(portal: Portal, settings: Settings, keys: dict[str, tuple[str | None, str | None]]) -> None:
    """PBX rows: made with an unguessable hook key, kept with their secrets, put aside when the document drops them."""
    rows = {row.key: row for row in db.session.scalars(select(Pbx).where(Pbx.portal_id == portal.id))}
    for position, pbx in enumerate(settings.pbxs):
        row = rows.pop(pbx.key, None)
        if row is None:
            row = Pbx(portal_id=portal.id, key=pbx.key, hook_key=secrets.token_urlsafe(24), refused_count=0)
            db.session.add(row)
        row.position, row.dialects, row.removed_at = position, ",".join(pbx.dialects), None
        api_key, api_salt = keys.get(pbx.key, (None, None))
        row.api_key, row.api_salt = api_key or row.api_key, api_salt or row.api_salt
    for gone in rows.values():
        gone.removed_at = gone.removed_at or utcnow()


def export(portal: Portal, public_url: str) -> str:
    """The document as YAML: secrets as null, each PBX with its hook address."""
    data = document.dump(current(portal))
    rows = {row.key: row for row in db.session.scalars(select(Pbx).where(Pbx.portal_id == portal.id))}
    for pbx in data["pbxs"]:
        pbx["api_key"] = pbx["api_salt"] = None
        if pbx["key"] in rows:
            pbx["webhook_url"] = f"{public_url}/mango/{rows[pbx['key']].hook_key}"
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=120)


def import_(
    portal: Portal,
    text: str,
    *,
    allow_delete: bool = False,
    known_users: set[int] | None = None,
    author: int | None = None,
    source: str = "cli",
) -> list[document.Change]:
    """Check all of a YAML document, then apply it. The caller commits. Returns what changed.

    Raises:
        bx24app.domain.document.DocumentError: with every fault; nothing was changed.
    """
    old = current(portal)
    parsed = document.parse(
        document.read(text), old, known_users=known_users, keyed=keyed(portal), allow_delete=allow_delete
    )
    changes = document.difference(old, parsed.settings)
    fresh = [key for key, pair in parsed.keys.items() if pair[0] is not None]
    changes += [document.Change(f"pbxs.{key}.api_key", None, "(new)") for key in fresh]
    if changes or portal.settings_version_id is None:
        save(portal, parsed.settings, parsed.keys, author=author, source=source)
    return changes


def keyed(portal: Portal) -> frozenset[str]:
    """Keys of the portal's PBXs that have an API key and salt stored."""
    rows = select(Pbx.key).where(Pbx.portal_id == portal.id, Pbx.api_key.is_not(None), Pbx.api_salt.is_not(None))
    return frozenset(db.session.scalars(rows))


def history(portal: Portal, limit: int = 50) -> list[SettingsVersion]:
    """The newest versions first."""
    rows = select(SettingsVersion).where(SettingsVersion.portal_id == portal.id)
    return list(db.session.scalars(rows.order_by(SettingsVersion.number.desc()).limit(limit)))


def roll_back(portal: Portal, number: int, *, author: int | None) -> SettingsVersion | None:
    """Save an earlier version anew; None where there is none of that number. The caller commits."""
    row = db.session.scalars(
        select(SettingsVersion).where(SettingsVersion.portal_id == portal.id, SettingsVersion.number == number)
    ).first()
    if row is None:
        return None
    return save(portal, of_version(row.id), author=author, source="rollback", note=f"back to version {number}")
