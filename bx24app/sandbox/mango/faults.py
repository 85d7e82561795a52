"""Delivery faults between the PBX and the receiver: notifications lost, duplicated, delayed, reordered or forged.

`hooks` passes each notification through a `FaultInjector`. Each fault is a probability of its own, drawn from one
seeded generator, so a run can be repeated.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from bx24app.sandbox.mango.sequences import PbxNotification


@dataclass
class Faults:
    """Probabilities from 0 to 1, and a few switches.

    Attributes:
        drop_paths: notifications with these paths are lost.
        drop_numbers: notifications with these numbers are lost, counted from 1 since the faults were set.
        record_delay: range in seconds by which `record/added` is delayed.
        timeout: seconds to wait for an answer.
        retry: sends once more after a timeout or an error status; otherwise nothing is repeated.
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
    """The faults that the control API can switch, with titles for people."""
    return {
        "parallel": "sent without waiting for earlier answers",
        "reorder_leg": "two notifications of one leg swapped",
        "reorder_any": "notifications overtake each other",
        "summary_early": "summary before the last Disconnected",
        "duplicate": "sent twice",
        "drop": "lost",
        "no_record_added": "record/added never sent",
        "wrong_sign": "signature wrong",
        "unknown_key": "key of another product",
        "retry": "one repetition after an error",
    }


@dataclass
class _DelayedNotification:
    notification: PbxNotification
    release: Callable[[PbxNotification], bool]


class FaultInjector:
    """Decides which notifications leave now and which are delayed."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.random = random.Random(faults.seed)
        self.count = 0
        self._delayed: list[_DelayedNotification] = []

    def draw_hit(self, probability: float) -> bool:
        """Draws once; True with this probability."""
        return probability > 0 and self.random.random() < probability

    def push_notification(self, notification: PbxNotification) -> list[PbxNotification]:
        """Takes the next notification. Returns those that leave now, with the delayed ones that it releases at the end.
        """
        self.count += 1
        if self._is_dropped(notification):
            return self._release_after(notification)
        copies = [notification, notification] if self.draw_hit(self.faults.duplicate) else [notification]
        if release := self._release_condition(notification):
            released = self._release_after(notification)
            self._delayed += [_DelayedNotification(copy, release) for copy in copies]
            return released
        return copies + self._release_after(notification)

    def release_all(self) -> list[PbxNotification]:
        """Returns all delayed notifications and forgets them."""
        released = [delayed.notification for delayed in self._delayed]
        self._delayed.clear()
        return released

    @property
    def is_holding(self) -> bool:
        """Whether a notification is delayed."""
        return bool(self._delayed)

    def _is_dropped(self, notification: PbxNotification) -> bool:
        faults = self.faults
        return (
            notification.path in faults.drop_paths
            or self.count in faults.drop_numbers
            or self.draw_hit(faults.drop)
            or (notification.path == "events/record/added" and self.draw_hit(faults.no_record_added))
        )

    def _release_after(self, passed: PbxNotification) -> list[PbxNotification]:
        released = [delayed for delayed in self._delayed if delayed.release(passed)]
        self._delayed = [delayed for delayed in self._delayed if delayed not in released]
        return [delayed.notification for delayed in released]

    def _release_condition(self, notification: PbxNotification) -> Callable[[PbxNotification], bool] | None:
        """Why the notification must wait, as a test of each later one; None when it leaves now."""
        body = notification.body
        if body.get("call_state") == "Disconnected" and self.draw_hit(self.faults.summary_early):
            return lambda passed: passed.path == "events/summary" and passed.body["entry_id"] == body["entry_id"]
        if "call_id" in body and self.draw_hit(self.faults.reorder_leg):
            return lambda passed: passed.body.get("call_id") == body["call_id"]
        if self.draw_hit(self.faults.reorder_any):
            release_count = self.count + self.random.randint(1, 3)
            return lambda _passed: self.count >= release_count
        return None
