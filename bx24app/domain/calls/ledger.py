"""What has been told to Bitrix24 for one call so far, and what it answered: the outbox as the fold sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from bx24app.domain.calls.commands import AnyCommand, Finish, HideCard, Ref, Register, ShowCard

USER_INACTIVE = "USER_INACTIVE"
"""Code of a refusal because the named user is dismissed or unknown: the command is made again for somebody else."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One command with what became of it. `answer` holds normalised facts (``call_id``, ``created``, ``id``, ``activity_id`` …)."""

    command: AnyCommand
    state: Literal["waiting", "sent", "done", "dead"]
    answer: dict[str, Any] = field(default_factory=dict)
    code: str | None = None

    @property
    def must_be_repeated(self) -> bool:
        return self.state == "dead" and self.code == USER_INACTIVE


class Ledger:
    """The commands of one call in their order. Grows only at its end."""

    def __init__(self, entries: list[LedgerEntry] | None = None) -> None:
        self._entries = list(entries or [])

    def __iter__(self) -> Iterator[LedgerEntry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add_command(self, command: AnyCommand) -> None:
        self._entries.append(LedgerEntry(command, "waiting"))

    def find_by_key(self, key: str) -> LedgerEntry | None:
        return next((entry for entry in self._entries if entry.command.key == key), None)

    def find_latest(self, kind: type[AnyCommand], part: int = 1) -> LedgerEntry | None:
        """The newest command of a kind; None where there is none, or where the newest must be made again."""
        for entry in reversed(self._entries):
            if isinstance(entry.command, kind) and entry.command.part == part:
                return None if entry.must_be_repeated else entry
        return None

    def count_commands(self, kind: type[AnyCommand], part: int = 1) -> int:
        return sum(1 for entry in self._entries if isinstance(entry.command, kind) and entry.command.part == part)

    def next_key(self, base: str, kind: type[AnyCommand], part: int = 1) -> str:
        """`base`, or `base~2`, `base~3` … where the same command had to be made again."""
        made = self.count_commands(kind, part)
        return base if made == 0 else f"{base}~{made + 1}"

    def resolve_ref(self, ref: Ref) -> Any:
        """What the command that `ref` names was answered, its newest repetition first; None: nothing (yet)."""
        for entry in reversed(self._entries):
            if entry.state == "done" and entry.command.key.partition("~")[0] == ref.key and ref.fact in entry.answer:
                return entry.answer[ref.fact]
        return None

    def register_entry(self, part: int = 1) -> LedgerEntry | None:
        return self.find_latest(Register, part)

    def finish_entry(self, part: int = 1) -> LedgerEntry | None:
        return self.find_latest(Finish, part)

    def shown_users(self) -> frozenset[int]:
        """On whose screens the card is, by what we told so far."""
        users: set[int] = set()
        for entry in self._entries:
            if entry.state == "dead" or entry.command.part != 1:
                continue
            match entry.command:
                case Register(show=True, user_id=user):
                    users.add(user)
                case ShowCard(users=some):
                    users.update(some)
                case HideCard(users=some):
                    users.difference_update(some)
                case Finish(user_id=user):
                    users.discard(user)
        return frozenset(users)
