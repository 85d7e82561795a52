"""USE CASE: the settings document of a portal: load, save as a version, import, export, history, roll back.

A version is never changed, so a process parses each at most once; calls pin the version that they began with.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from bx24app.domain import document
from bx24app.domain.crm_dictionaries import CrmDictionaries
from bx24app.domain.document import LeafChange, yaml_text
from bx24app.domain.settings import Settings
from bx24app.infra.runtime import runtime
from bx24app.models import Pbx, Portal, SettingsVersion, audit, db, utcnow
from bx24app.settings import hook_keys


class VersionConflict(Exception):
    """Somebody saved another version meanwhile; `number` is the present one."""

    def __init__(self, number: int) -> None:
        super().__init__(f"the settings were changed meanwhile, their version is now {number}")
        self.number = number


_DEFAULTS = Settings()
_CACHE_CAPACITY = 100_000
"""Employees, lines and rules in all parsed versions that a process keeps: about 100 MB."""
_MIN_WEIGHT = 50
"""What a version counts at the least: an empty one takes room too."""


class _ParsedVersions:
    """The parsed versions that were used last."""

    def __init__(self) -> None:
        self._entries: OrderedDict[int, Settings] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()

    def get(self, version_id: int) -> Settings:
        with self._lock:
            found = self._entries.get(version_id)
            if found is not None:
                self._entries.move_to_end(version_id)
                return found
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
            gone = self._entries.pop(version_id, None)
            self._weight -= _version_weight(gone) if gone is not None else 0


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
        author: user id at the portal; None: the command line.
        expected_number: the version that the author saw.

    Raises:
        Conflict
    """
    _lock_portal(portal)
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
    facts: dict[str, Any] = {"version": version.number}
    audit.record(portal.id, author, source, "settings saved", **facts)
    return version


def _lock_portal(portal: Portal) -> None:
    """One at a time for a portal: others wait here, and then see what was saved meanwhile."""
    db.session.refresh(portal, attribute_names=["settings_version_id"], with_for_update=True)


def _discard_on_rollback(version_id: int) -> None:
    """A version that was read before its commit must not outlive a rollback: the next one may get the same id."""
    held = _parsed_versions()

    def discard_version(session: Session, previous: Any) -> None:
        held.discard(version_id)

    event.listen(db.session(), "after_soft_rollback", discard_version)


def _update_pbxs(portal: Portal, settings: Settings, keys: dict[str, tuple[str | None, str | None]]) -> None:
    """PBX rows: made with an unguessable hook key, kept with their secrets, put aside when the document drops them."""
    rows = _load_pbxs(portal)
    for position, pbx in enumerate(settings.pbxs):
        row = rows.pop(pbx.key, None)
        if row is None:
            row = Pbx(portal_id=portal.id, key=pbx.key, hook_key=hook_keys.generate_key(), refused_count=0)
            db.session.add(row)
        row.position, row.dialects, row.removed_at = position, ",".join(pbx.dialects), None
        api_key, api_salt = keys.get(pbx.key, (None, None))
        row.api_key, row.api_salt = api_key or row.api_key, api_salt or row.api_salt
    for gone in rows.values():
        gone.removed_at = gone.removed_at or utcnow()
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


def import_yaml(
    portal: Portal,
    text: str,
    *,
    allow_delete: bool = False,
    known_users: set[int] | None = None,
    offered: CrmDictionaries | None = None,
    author: int | None = None,
    source: str = "cli",
) -> list[LeafChange]:
    """Check all of a YAML document, then apply it. The caller commits. Returns what changed.

    Args:
        known_users: the portal's active users; None: not checked.
        offered: the portal's pipelines, stages, sources; None: not checked.

    Raises:
        bx24app.domain.document.DocumentError: with every fault; nothing was changed.
    """
    data = document.load_yaml(text)
    _lock_portal(portal)
    old = current(portal)
    parsed = document.parse(
        data, old, known_users=known_users, offered=offered, keyed=pbxs_with_keys(portal), allow_delete=allow_delete
    )
    changes = document.list_changes(old, parsed.settings)
    changes += [LeafChange(f"pbxs.{key}.api_key", None, "(new)") for key in _pbxs_with_new_keys(portal, parsed.keys)]
    if changes or portal.settings_version_id is None:
        save(portal, parsed.settings, parsed.keys, author=author, source=source)
    return changes


def _pbxs_with_new_keys(portal: Portal, keys: dict[str, tuple[str | None, str | None]]) -> list[str]:
    """PBXs whose API key or salt would become another one."""
    rows = _load_pbxs(portal)
    stored = {key: (row.api_key, row.api_salt) for key, row in rows.items()}
    return [key for key, pair in keys.items() if pair[0] is not None and stored.get(key) != pair]


def history(portal: Portal, limit: int = 50) -> list[SettingsVersion]:
    """The newest versions first."""
    rows = select(SettingsVersion).where(SettingsVersion.portal_id == portal.id)
    return list(db.session.scalars(rows.order_by(SettingsVersion.number.desc()).limit(limit)))


def roll_back(
    portal: Portal, number: int, *, author: int | None, expected_number: int | None = None
) -> SettingsVersion | None:
    """Save an earlier version anew; None where there is none of that number. The caller commits.

    Raises:
        Conflict
    """
    wanted = select(SettingsVersion.id).where(SettingsVersion.portal_id == portal.id, SettingsVersion.number == number)
    version_id = db.session.scalar(wanted)
    if version_id is None:
        return None
    note = f"back to version {number}"
    old = of_version(version_id)
    return save(portal, old, author=author, source="rollback", note=note, expected_number=expected_number)
