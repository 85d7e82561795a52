"""Decides which worker is dead, from how often each has counted. Pure.

A worker is silent when its count stood still through several observations in a row. Observations are compared, not
times: while the database is away nobody observes, and a clock that jumps changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SILENT_OBSERVATIONS = 8
"""Observations, one every 5 s, through which a count must stand still."""


@dataclass(slots=True)
class SilenceWatch:
    """What one observer has seen of the others."""

    _seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Name -> its count, and through how many observations it has stood still."""

    def observe(self, counts: Mapping[str, int]) -> list[str]:
        """Take one observation, name -> count; returns who is silent."""
        seen = {}
        for name, count in counts.items():
            last, unchanged = self._seen.get(name, (None, 0))
            seen[name] = (count, unchanged + 1 if count == last else 0)
        self._seen = seen
        return sorted(name for name, (_, unchanged) in seen.items() if unchanged >= SILENT_OBSERVATIONS)
