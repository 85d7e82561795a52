"""USE CASE: the settings document of a portal: load, save as a version, import, export."""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import Any

from sqlalchemy import func, select

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
    document = db.session.query(SettingsVersion.document).filter_by(id=version_id).scalar()
    return Settings.model_validate(document)


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
        document=settings.model_dump(mode="json", by_alias=True),
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
