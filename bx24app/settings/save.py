"""Use case: save a settings document.

Every page that edits settings (by `bx24app.web.settings.saving`) and `bx24app settings import` call it.

The whole document is checked, the portal is asked about the users and CRM items that it names, and a new version is
written in one transaction. Either everything is saved, or nothing is and the error holds every fault with its path. No
transaction is open while the portal is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from bx24app.bitrix24.errors import PortalError
from bx24app.domain import crm_dictionaries, document
from bx24app.domain.crm_dictionaries import CrmDictionaries
from bx24app.domain.document import DocumentDraft, DocumentError
from bx24app.domain.faults import Fault
from bx24app.domain.settings import Settings
from bx24app.models import Portal, db
from bx24app.settings import api_keys, versions


class PortalDirectory(Protocol):
    """The portal's users and what its CRM offers.

    Both methods may end the database transaction and may raise `PortalError`.
    """

    def find_unknown_users(self, user_ids: Collection[int]) -> set[int]:
        """Those of `user_ids` who are no active users of the portal."""

    def offered_dictionaries(self, suffice: Callable[[CrmDictionaries], bool]) -> CrmDictionaries:
        """Pipelines, stages, sources. `suffice`: do the stored ones contain everything that the document names?"""


@dataclass(frozen=True, slots=True)
class SaveOutcome:
    """`number`: of the new version; None: nothing was changed. `new_keys`: PBXs that got another API key or salt."""

    old: Settings
    new: Settings
    number: int | None
    new_keys: tuple[str, ...] = ()


def save_document(
    portal_id: int,
    data: dict[str, Any],
    directory: PortalDirectory,
    *,
    author: int | None,
    source: str,
    note: str = "",
    base_number: int | None = None,
    is_import: bool = False,
    allow_delete: bool = True,
) -> SaveOutcome:
    """Check a document, save it as a new version. Sections that `data` does not name stay as they are. Commits.

    Args:
        directory: asked about the users that `data` names and the present settings do not, and about changed rules.
        author: user id at the portal; None: the command line.
        note: names the change in the history, in the author's words.
        base_number: the version that the author saw; None: any.
        is_import: ask about everything that `data` names, and write a first version even if it changes nothing.
        allow_delete: False refuses a section that would lose a PBX, line, employee or rule.

    Raises:
        DocumentError: with every fault; nothing was changed.
        versions.VersionConflict: somebody else saved a version after `base_number`; nothing was changed.
    """
    try:
        portal = _get_portal(portal_id)
        base_id, draft = portal.settings_version_id, _read_draft(portal, data, allow_delete)
        faults, offered = _ask_portal(draft, directory, is_import=is_import)
        portal = _get_portal(portal_id)
        versions.lock_portal(portal)
        if portal.settings_version_id != base_id:  # somebody saved while the portal was asked
            draft = _read_draft(portal, data, allow_delete)
        repeats = api_keys.find_repeats(portal_id, draft)
        parsed = draft.finish([*faults, *draft.dictionary_faults(offered), *repeats])
        new_keys = versions.find_new_keys(portal, parsed.keys)
        number = None
        if parsed.settings != draft.base or new_keys or (is_import and portal.settings_version_id is None):
            version = versions.save_version(
                portal,
                parsed.settings,
                parsed.keys,
                author=author,
                source=source,
                note=note,
                expected_number=base_number,
            )
            number = version.number
        db.session.commit()
    except (DocumentError, versions.VersionConflict):
        db.session.rollback()
        raise
    return SaveOutcome(draft.base, parsed.settings, number, tuple(new_keys))


def _get_portal(portal_id: int) -> Portal:
    return db.session.get_one(Portal, portal_id)


def _read_draft(portal: Portal, data: dict[str, Any], allow_delete: bool) -> DocumentDraft:
    keyed = versions.pbxs_with_keys(portal)
    return document.read_draft(data, versions.current(portal), keyed=keyed, allow_delete=allow_delete)


def _ask_portal(
    draft: DocumentDraft, directory: PortalDirectory, *, is_import: bool
) -> tuple[list[Fault], CrmDictionaries | None]:
    """Faults of users, and what the CRM offers (None: nothing to compare with it)."""
    present = {user for _, user in document.referenced_users(draft.base)}
    named = [
        (path, user)
        for path, user in draft.named_users()
        if is_import or user not in present or (draft.has_new_rules and path.startswith("rules"))
    ]
    needs_dictionaries = (is_import or draft.has_new_rules) and crm_dictionaries.needs_dictionaries(draft.written_rules)
    offered = None
    try:
        unknown = directory.find_unknown_users({user for _, user in named})
        if needs_dictionaries:
            offered = directory.offered_dictionaries(lambda stored: not draft.dictionary_faults(stored))
    except PortalError as error:
        db.session.rollback()
        return [Fault("portal_silent", {"reason": str(error) or type(error).__name__})], offered
    return [Fault("unknown_user", {"user": user}, path) for path, user in named if user in unknown], offered
