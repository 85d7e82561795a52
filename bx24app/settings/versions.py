"""Stores the settings documents of portals as numbered versions, and reads them back parsed.

`bx24app.settings.save` writes through `save_version` after its checks; calls, jobs and pages read. A version is never
changed: a process parses each at most once, and a call keeps the version that it began with.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from sqlalchemy import Select, event, func, select
from sqlalchemy.orm import Session, defer

from bx24app.domain import document
from bx24app.domain.document import yaml_text
from bx24app.domain.settings import Settings
from bx24app.infra.encryption import is_undecryptable
from bx24app.infra.runtime import runtime
from bx24app.models import Pbx, Portal, SettingsVersion, audit, db, utcnow
from bx24app.models.intents import add_intent
from bx24app.settings import hook_keys


class VersionConflict(Exception):
    """Somebody saved another version meanwhile. `number`: the present version's."""

    def __init__(self, number: int) -> None:
        super().__init__(f"the settings were changed meanwhile, their version is now {number}")
        self.number = number


_DEFAULTS = Settings()
_CACHE_CAPACITY = 100_000
"""Most employees, lines and rules in all parsed versions that a process keeps: about 100 MB."""
_MIN_WEIGHT = 50
"""The least that a version counts: an empty one takes memory too."""


class _ParsedVersions:
    """The parsed versions that a process used last."""

    def __init__(self) -> None:
        self._entries: OrderedDict[int, Settings] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()

    def get(self, version_id: int) -> Settings:
        with self._lock:
            entry = self._entries.get(version_id)
            if entry is not None:
                self._entries.move_to_end(version_id)
                return entry
        stored = db.session.scalar(select(SettingsVersion.document).where(SettingsVersion.id == version_id))
        if stored is None:
            raise LookupError(f"there are no settings with the id {version_id}")
        settings = Settings.model_validate(stored)
        with self._lock:
            if version_id not in self._entries:
                self._entries[version_id] = settings
                self._weight += _version_weight(settings)
            while self._weight > _CACHE_CAPACITY and len(self._entries) > 1:
                self._weight -= _version_weight(self._entries.popitem(last=False)[1])
        return settings

    def discard(self, version_id: int) -> None:
        with self._lock:
            entry = self._entries.pop(version_id, None)
            self._weight -= _version_weight(entry) if entry is not None else 0


def _version_weight(settings: Settings) -> int:
    return max(_MIN_WEIGHT, len(settings.rules) + sum(len(pbx.lines) + len(pbx.employees) for pbx in settings.pbxs))


def _parsed_versions() -> _ParsedVersions:
    return runtime().get(_ParsedVersions)


def of_version(version_id: int | None) -> Settings:
    """The settings of one version; defaults where nothing was saved yet."""
    return _parsed_versions().get(version_id) if version_id is not None else _DEFAULTS


def current(portal: Portal) -> Settings:
    """The portal's present settings; defaults where nothing was saved yet."""
    return of_version(portal.settings_version_id)


def save_version(
    portal: Portal,
    settings: Settings,
    keys: dict[str, tuple[str | None, str | None]] | None = None,
    *,
    author: int | None = None,
    source: str = "cli",
    note: str = "",
    expected_number: int | None = None,
) -> SettingsVersion:
    """Write a new version, and update the PBX rows from it. Settings are not checked here. The caller commits.

    Args:
        keys: PBX key -> (api_key, api_salt) to store; None: the stored one stays.
        author: user id at the portal; None: the command line.
        expected_number: the version that the author saw; None: any.

    Raises:
        VersionConflict: another version was saved after `expected_number`.
    """
    lock_portal(portal)
    newest = select(func.max(SettingsVersion.number)).where(SettingsVersion.portal_id == portal.id)
    number = db.session.scalar(newest) or 0
    if expected_number is not None and expected_number != number:
        raise VersionConflict(number)
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
    _discard_on_rollback(version.id)
    portal.settings_version_id = version.id
    _update_pbxs(portal, settings, keys or {})
    add_intent(db.session, portal.id, "lines")  # the portal's external lines follow
    audit.record(portal.id, author, source, "settings saved", version=version.number)
    return version


def lock_portal(portal: Portal) -> None:
    """Let one save at a time run for a portal: others wait here, and then see what was saved meanwhile."""
    db.session.refresh(portal, attribute_names=["settings_version_id"], with_for_update=True)


def _discard_on_rollback(version_id: int) -> None:
    """Remove a version from the cache after a rollback: the next version may get the same id."""
    cache = _parsed_versions()

    def discard_version(session: Session, previous: Any) -> None:
        cache.discard(version_id)

    event.listen(db.session(), "after_soft_rollback", discard_version)


def _update_pbxs(portal: Portal, settings: Settings, keys: dict[str, tuple[str | None, str | None]]) -> None:
    """Give new PBXs a row with a fresh hook key, and mark those that the document no longer has as removed."""
    rows = _load_pbxs(portal)
    for position, pbx in enumerate(settings.pbxs):
        row = rows.pop(pbx.key, None)
        if row is None:
            row = Pbx(portal_id=portal.id, key=pbx.key, hook_key=hook_keys.generate_key(), refused_count=0)
            db.session.add(row)
        row.position, row.dialects, row.removed_at = position, ",".join(pbx.dialects), None
        api_key, api_salt = keys.get(pbx.key, (None, None))
        row.api_key, row.api_salt = api_key or row.api_key, api_salt or row.api_salt
    for removed in rows.values():
        removed.removed_at = removed.removed_at or utcnow()
    db.session.flush()


def _load_pbxs(portal: Portal) -> dict[str, Pbx]:
    """The portal's PBXs, removed ones too."""
    return {row.key: row for row in db.session.scalars(select(Pbx).where(Pbx.portal_id == portal.id))}


def pbxs_with_keys(portal: Portal) -> frozenset[str]:
    """Keys of the portal's PBXs that have an API key and salt stored."""
    rows = select(Pbx.key).where(Pbx.portal_id == portal.id, Pbx.api_key.is_not(None), Pbx.api_salt.is_not(None))
    return frozenset(db.session.scalars(rows))


def export_yaml(portal: Portal, public_url: str) -> str:
    """The document as YAML: secrets as null, each PBX with its hook address."""
    rows = _load_pbxs(portal)
    addresses = {key: f"{public_url}/mango/{row.hook_key}" for key, row in rows.items()}
    return yaml_text.dump_yaml(document.dump(current(portal)), addresses)


def find_new_keys(portal: Portal, keys: dict[str, tuple[str | None, str | None]]) -> list[str]:
    """PBXs whose API key or salt would become another one."""
    brought = {key: pair for key, pair in keys.items() if pair[0] is not None}
    if not brought:
        return []
    rows = {key: (row.api_key, row.api_salt) for key, row in _load_pbxs(portal).items()}
    stored = {key: pair for key, pair in rows.items() if not any(map(is_undecryptable, pair))}
    return [key for key, pair in brought.items() if stored.get(key) != pair]


def history(portal_id: int, limit: int = 50, below: int | None = None) -> list[SettingsVersion]:
    """The newest versions first, without their documents. `below`: only those with a smaller number."""
    query = _select_versions(portal_id).order_by(SettingsVersion.number.desc()).limit(limit)
    return list(db.session.scalars(query if below is None else query.where(SettingsVersion.number < below)))


def find_version(portal_id: int, number: int) -> SettingsVersion | None:
    """One version of the portal, without its document: `of_version` has it parsed."""
    return db.session.scalars(_select_versions(portal_id).where(SettingsVersion.number == number)).first()


def current_number(portal: Portal) -> int:
    """Number of the present version; 0: nothing was ever saved."""
    if portal.settings_version_id is None:
        return 0
    query = select(SettingsVersion.number).where(SettingsVersion.id == portal.settings_version_id)
    return db.session.scalar(query) or 0


def _select_versions(portal_id: int) -> Select[SettingsVersion]:
    rows = select(SettingsVersion).options(defer(SettingsVersion.document, raiseload=True))
    return rows.where(SettingsVersion.portal_id == portal_id)
