"""The policy: the settings as the fold sees them for one call of one PBX: which extension is which user, who answers
for a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from bx24app.domain import phone
from bx24app.domain.calls.events import Party
from bx24app.domain.phone import NumberKind
from bx24app.domain.settings import (
    CallSettings,
    EmployeeSettings,
    LineSettings,
    PbxSettings,
    Settings,
    cut_line_number,
)


@dataclass(frozen=True)
class CallTexts:
    """Texts in the portal's language. `calls.fold.titles` makes them, so the domain holds no language and no codes of a
    PBX."""

    describe_reason: Callable[[int], str]
    """Code of the PBX -> what it means, in words."""
    failed_status: Callable[[int], str]
    """Code of an unanswered outgoing call -> STATUS_CODE of Bitrix24."""
    make_title: Callable[[str, str], str]
    """(in, out, todo, click or callback; number) -> title of a lead or a to-do, or text of a message."""


@dataclass(frozen=True)
class Policy:
    """The settings version with which the call began, its PBX, and what the portal has said about itself."""

    settings: Settings
    pbx: PbxSettings
    texts: CallTexts
    crm_mode: int = 1
    """1: with leads (classic CRM), 2: without (simple CRM)."""
    dismissed_users: frozenset[int] = frozenset()
    quiet_seconds: int = 120
    todo_minutes: int = 30
    has_timeman: bool = False
    """The portal granted the scope `timeman`, which tells whose working day is open."""
    user_name: Callable[[int], str] = str
    """User id -> name, for templates of rules."""
    final_stages: Callable[[str, int | None], tuple[str, ...]] = lambda _entity, _category: ()
    """(smart process, pipeline or None) -> its stages that are won or lost."""

    @property
    def calls(self) -> CallSettings:
        return self.settings.calls

    def find_employee(self, party: Party) -> Party | None:
        """The employee behind a party: by extension, by a mobile in the mapping, or by the ``sip:`` address of a
        device; None: not an employee."""
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
        """The row of an extension in the mapping; None: there is none.

        An extension that this PBX does not have, and exactly one other PBX of the portal has, is taken from there: one
        office may transfer a client to a colleague in another.
        """
        if not extension:
            return None
        own = self.pbx.by_extension.get(extension)
        if own is not None:
            return own
        others = [
            row
            for pbx in self.settings.pbxs
            if pbx.key != self.pbx.key and (row := pbx.by_extension.get(extension)) is not None
        ]
        return others[0] if len(others) == 1 else None

    def find_user(self, party: Party) -> int | None:
        """The user of this employee by the mapping; None: there is none, or the user is dismissed."""
        row = self.find_mapping(party.extension)
        return None if row is None or row.user_id in self.dismissed_users else row.user_id

    @cached_property
    def default_user(self) -> int:
        """The default responsible: the PBX's, else the portal's."""
        user = self.pbx.default_user_id
        if user and user not in self.dismissed_users:
            return user
        return self.settings.portal.default_user_id

    def find_line(self, raw: str | None) -> LineSettings | None:
        """The line of this PBX that a notification names: a telephone in any spelling, or a ``sip:`` address. A trunk
        may be named by an address with its number as the user (Mango's documents leave that open)."""
        if not raw:
            return None
        lines = self.pbx.by_line
        line = lines.get(raw) or lines.get(phone.line_key(raw))
        if line is None and raw.lower().startswith("sip:"):
            number = phone.read_number(raw)
            line = lines.get(number.sip_user if number.kind is NumberKind.SIP else number.text)
        return line

    def line_number(self, raw: str | None) -> str | None:
        """LINE_NUMBER of Bitrix24. A line that is not in the settings keeps the name that the PBX gives it."""
        line = self.find_line(raw)
        return line.bitrix_number if line else (cut_line_number(raw) if raw else None)

    def line_responsible(self, line: LineSettings | None, pick: int | None) -> int | None:
        """The responsible of a line by its strategy; None: the line has no users who are not dismissed.

        `pick` is the call's turn in the round robin.
        """
        return next(iter(self.users_in_turn(line, pick)), None)

    def users_in_turn(self, line: LineSettings | None, pick: int | None) -> list[int]:
        """The users of a line without the dismissed, beginning with the one whose turn it is."""
        users = [user for user in line.responsible.users if user not in self.dismissed_users] if line else []
        if not users or line is None or line.responsible.strategy == "first" or pick is None:
            return users
        turn = pick % len(users)
        return users[turn:] + users[:turn]

    def needs_pick(self, line: LineSettings | None) -> bool:
        """Whether the users of this line take turns, so that a turn must be drawn."""
        return line is not None and line.responsible.strategy == "round_robin" and len(line.responsible.users) > 1
