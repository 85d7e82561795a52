"""Who is who: extension -> user, line -> responsible. The settings document as the fold sees it for one PBX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from bx24app.domain import phone
from bx24app.domain.calls.events import Party
from bx24app.domain.settings import CallSettings, EmployeeSettings, LineSettings, PbxSettings, Settings


@dataclass(frozen=True)
class CallTexts:
    """Sentences that only the edges know: what a PBX's code means. Handed in, so that the fold stays pure."""

    describe_reason: Callable[[int], str]
    """Code of the PBX -> words in the portal's language."""
    failed_status: Callable[[int], str]
    """Code of an unanswered outgoing call -> STATUS_CODE of Bitrix24."""
    make_title: Callable[[str, str], str]
    """(what: in, out, missed, todo; number) -> title of what a call makes."""


@dataclass(frozen=True)
class Policy:
    """What one call is decided by: pinned settings, its PBX, the portal's CRM mode, users known to be dismissed."""

    settings: Settings
    pbx: PbxSettings
    texts: CallTexts
    crm_mode: int = 1
    dismissed_users: frozenset[int] = frozenset()
    quiet_seconds: int = 120
    todo_minutes: int = 30
    has_timeman: bool = False
    """Was the scope granted that tells whose working day is open?"""
    user_name: Callable[[int], str] = str
    """User id -> name, for templates."""

    @property
    def calls(self) -> CallSettings:
        return self.settings.calls

    def find_employee(self, party: Party) -> Party | None:
        """The employee behind a party: by extension, by a mobile of the mapping, else by a device's ``sip:`` address."""
        if party.extension:
            return Party(extension=party.extension)
        if not party.number:
            return None
        normal = phone.normalise(party.number)
        if normal is None:
            return Party(number=party.number) if party.number.lower().startswith("sip:") else None
        extension = self.pbx.by_mobile.get(normal)
        return Party(extension=extension) if extension else None

    def find_mapping(self, extension: str | None) -> EmployeeSettings | None:
        """The mapping's row of an extension; None where it has none.

        An extension unknown here and known in exactly one other PBX of the portal is looked up there: an office may
        hand a client to a colleague of another one.
        """
        if not extension:
            return None
        own = self.pbx.by_extension.get(extension)
        if own is not None:
            return own
        others = [
            found
            for pbx in self.settings.pbxs
            if pbx.key != self.pbx.key and (found := pbx.by_extension.get(extension)) is not None
        ]
        return others[0] if len(others) == 1 else None

    def find_user(self, party: Party) -> int | None:
        """The user whom the mapping names for this employee; None where it names none (or one who was dismissed)."""
        found = self.find_mapping(party.extension)
        return None if found is None or found.user_id in self.dismissed_users else found.user_id

    @cached_property
    def default_user(self) -> int:
        """Answers where nobody else does: the PBX's default, else the portal's."""
        wanted = self.pbx.default_user_id
        if wanted and wanted not in self.dismissed_users:
            return wanted
        return self.settings.portal.default_user_id

    def find_line(self, raw: str | None) -> LineSettings | None:
        """The line of this PBX that a notification names, with or without plus, as number or as ``sip:`` address."""
        if not raw:
            return None
        return self.pbx.by_line.get(phone.digits_only(raw) or raw) or self.pbx.by_line.get(raw)

    def line_number(self, raw: str | None) -> str | None:
        """LINE_NUMBER: the line's; a line that the document does not name goes as the PBX names it (50 characters at most)."""
        line = self.find_line(raw)
        return line.bitrix_number if line else (raw[:50] if raw else None)

    def line_responsible(self, line: LineSettings | None, pick: int | None) -> int | None:
        """The line's responsible by its strategy; `pick` is this call's place in the round robin.

        Returns None where the line has no users. Dismissed ones are passed over.
        """
        return next(iter(self.users_in_turn(line, pick)), None)

    def users_in_turn(self, line: LineSettings | None, pick: int | None) -> list[int]:
        """The line's users, whose turn it is first. Dismissed ones are passed over."""
        users = [user for user in line.responsible.users if user not in self.dismissed_users] if line else []
        if not users or line is None or line.responsible.strategy == "first" or pick is None:
            return users
        place = pick % len(users)
        return users[place:] + users[:place]

    def needs_pick(self, line: LineSettings | None) -> bool:
        """Does this line take turns, so that a place in the round robin must be drawn?"""
        return line is not None and line.responsible.strategy == "round_robin" and len(line.responsible.users) > 1
