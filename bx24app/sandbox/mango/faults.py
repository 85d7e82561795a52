"""Bad weather between the PBX and the receiver: what may be lost, doubled, late, out of order or forged on the way.

Each fault is a probability of its own, drawn from one seeded generator, so a run can be repeated.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from bx24app.sandbox.mango.sequences import PbxNotification


@dataclass
class Faults:
    """Probabilities from 0 to 1, and a few plain switches.

    `drop_paths` and `drop_numbers` (counted from 1 since the faults were set) lose exactly those notices. `record_delay`
    is a range in seconds by which `record/added` comes later. `timeout` is how long an answer is waited for; after it,
    or after an error status, nothing is repeated, unless `retry` asks for one repetition.
    """

    parallel: bool = False
    reorder_leg: float = 0.0
    reorder_any: float = 0.0
    summary_early: float = 0.0
    duplicate: float = 0.0
    drop: float = 0.0
    drop_paths: set[str] = field(default_factory=set)
    drop_numbers: set[int] = field(default_factory=set)
    record_delay: tuple[float, float] = (0.0, 0.0)
    no_record_added: float = 0.0
    wrong_sign: float = 0.0
    unknown_key: float = 0.0
    retry: bool = False
    timeout: float = 5.0
    seed: int = 1


def fault_titles() -> dict[str, str]:
    """What can be switched from outside, with a word for people."""
    return {
        "parallel": "sent without waiting for earlier answers",
        "reorder_leg": "two notices of one leg swapped",
        "reorder_any": "notices overtake each other",
        "summary_early": "summary before the last Disconnected",
        "duplicate": "sent twice",
        "drop": "lost",
        "no_record_added": "record/added never sent",
        "wrong_sign": "signature wrong",
        "unknown_key": "key of another product",
        "retry": "one repetition after an error",
    }


@dataclass
class _HeldNotification:
    notification: PbxNotification
    release: Callable[[PbxNotification], bool]


class FaultInjector:
    """Decides which notices go out now; holds some of them back."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.random = random.Random(faults.seed)
        self.count = 0
        self._delayed: list[_HeldNotification] = []

    def draw_hit(self, probability: float) -> bool:
        """Draws once."""
        return probability > 0 and self.random.random() < probability

    def push_notification(self, notice: PbxNotification) -> list[PbxNotification]:
        """What leaves now that this notice is due; those that it lets go come behind it."""
        self.count += 1
        if self._is_dropped(notice):
            return self._release_after(notice)
        copies = [notice, notice] if self.draw_hit(self.faults.duplicate) else [notice]
        if release := self._release_condition(notice):
            let_go = self._release_after(notice)
            self._delayed += [_HeldNotification(copy, release) for copy in copies]
            return let_go
        return copies + self._release_after(notice)

    def release_all(self) -> list[PbxNotification]:
        """Everything that is still held back."""
        rest = [held.notification for held in self._delayed]
        self._delayed.clear()
        return rest

    @property
    def is_holding(self) -> bool:
        """Whether something is held back."""
        return bool(self._delayed)

    def _is_dropped(self, notice: PbxNotification) -> bool:
        faults = self.faults
        return (
            notice.path in faults.drop_paths
            or self.count in faults.drop_numbers
            or self.draw_hit(faults.drop)
            or (notice.path == "events/record/added" and self.draw_hit(faults.no_record_added))
        )

    def _release_after(self, passed: PbxNotification) -> list[PbxNotification]:
        free = [held for held in self._delayed if held.release(passed)]
        self._delayed = [held for held in self._delayed if held not in free]
        return [held.notification for held in free]

    def _release_condition(self, notice: PbxNotification) -> Callable[[PbxNotification], bool] | None:
        body = notice.body
        if body.get("call_state") == "Disconnected" and self.draw_hit(self.faults.summary_early):
            return lambda passed: passed.path == "events/summary" and passed.body["entry_id"] == body["entry_id"]
        if "call_id" in body and self.draw_hit(self.faults.reorder_leg):
            return lambda passed: passed.body.get("call_id") == body["call_id"]
        if self.draw_hit(self.faults.reorder_any):
            free_at = self.count + self.random.randint(1, 3)
            return lambda _passed: self.count >= free_at
        return None
