"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was checked, whether it is in order, and how it is or what to do."""

    subject: str
    is_ok: bool
    message: str

    def __str__(self) -> str:
        return f"{'ok   ' if self.is_ok else 'WRONG'} {self.subject}: {self.message}"
