"""The ledger: all commands of one call with their states and answers. It is the outbox as the fold sees it.

A decision reads what was sent, and adds what is missing at the end. `calls.outbox.ledger.build_ledger` builds it from
the deliveries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from bx24app.domain.calls.commands import AnyCommand, Finish, HideCard, Ref, Register, ShowCard

UNREADABLE = "UNREADABLE"
"""Code of a command that was carried out, but whose answer could not be read or stored: a verification comes before a
repeat."""
USER_INACTIVE = "USER_INACTIVE"
"""Code of a refusal because the user in the command is dismissed or unknown. The fold then adds the command again for
another user."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One command, its state and its answer.

    `answer` holds the facts that `bitrix24.commands` reads from the response: `call_id`, `created`, `record`, `id`,
    `activity_id` and so on.
    """

    command: AnyCommand
    state: Literal["waiting", "sent", "done", "dead"]
    answer: dict[str, Any] = field(default_factory=dict)
    code: str | None = None

    @property
    def must_be_repeated(self) -> bool:
        """The portal refused the user; another command takes the place of this one."""
        return self.state == "dead" and self.code == USER_INACTIVE


class Ledger:
    """The commands of one call in the order of their sending."""

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
        """The newest command of a kind; None if there is none, or if the newest must be repeated."""
        for entry in reversed(self._entries):
            if isinstance(entry.command, kind) and entry.command.part == part:
                return None if entry.must_be_repeated else entry
        return None

    def count_commands(self, kind: type[AnyCommand], part: int = 1) -> int:
        return sum(1 for entry in self._entries if isinstance(entry.command, kind) and entry.command.part == part)

    def next_key(self, base: str, kind: type[AnyCommand], part: int = 1) -> str:
        """A free key for a command: `base`, or `base~2`, `base~3` … if commands of this kind exist."""
        count = self.count_commands(kind, part)
        return base if count == 0 else f"{base}~{count + 1}"

    def resolve_ref(self, ref: Ref) -> Any:
        """The value that `ref` stands for, from the newest repetition of its command; None: there is no answer yet."""
        for entry in reversed(self._entries):
            if entry.state == "done" and entry.command.key.partition("~")[0] == ref.key and ref.fact in entry.answer:
                return entry.answer[ref.fact]
        return None

    def register_entry(self, part: int = 1) -> LedgerEntry | None:
        return self.find_latest(Register, part)

    def finish_entry(self, part: int = 1) -> LedgerEntry | None:
        return self.find_latest(Finish, part)

    def shown_users(self) -> frozenset[int]:
        """The users on whose screens the card is, once all commands so far are carried out."""
        users: set[int] = set()
        for entry in self._entries:
            if entry.state == "dead" or entry.command.part != 1:
                continue
            match entry.command:
                case Register(show=True, user_id=user):
                    users.add(user)
                case ShowCard(users=shown):
                    users.update(shown)
                case HideCard(users=hidden):
                    users.difference_update(hidden)
                case Finish(user_id=user):
                    users.discard(user)
        return frozenset(users)
