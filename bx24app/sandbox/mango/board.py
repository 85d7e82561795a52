"""One working PBX: the product, the log of its calls, its queue of notifications, and the calls in progress.

Simulated calls and ready sequences both send through `Board.emit_notification`, which first adds the notification to
the call log. So statistics and recordings always agree with what was sent.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bx24app.sandbox.mango import events_dialect, sequences, signing
from bx24app.sandbox.mango.call_log import CallLog
from bx24app.sandbox.mango.entry_report import StatisticsShape
from bx24app.sandbox.mango.faults import Faults
from bx24app.sandbox.mango.hooks import DeliveryAttempt, NotificationSender, format_body
from bx24app.sandbox.mango.ids import IdFactory
from bx24app.sandbox.mango.model import Pbx
from bx24app.sandbox.mango.plans import Plan
from bx24app.sandbox.mango.sequences import PbxNotification

if TYPE_CHECKING:
    from bx24app.sandbox.mango.calls import Call

LinkFactory = Callable[["Board", str], str]
ClickHandler = Callable[[str, str, str], None]


@dataclass
class PlayedSequence:
    """A sequence that was played: its entry, and its notifications before any fault was applied."""

    entry_id: str
    notifications: list[PbxNotification] = field(default_factory=list)


class Board:
    """The running state of one product.

    Attributes:
        plan: how calls proceed that a command or a click orders; tests and scenarios set it.
        calls: the calls in progress by `entry_id`.
        sender: sends the notifications and applies the faults.
    """

    def __init__(
        self, pbx: Pbx, ids: IdFactory, log: deque[DeliveryAttempt], on_change: Callable[[], None],
        make_link: LinkFactory, boards: dict[str, Board],
    ) -> None:  # fmt: skip
        self.pbx = pbx
        self.ids = ids
        self.call_log = CallLog()
        self.on_change = on_change
        self.sender = NotificationSender(pbx, log, on_change)
        self.calls: dict[str, Call] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self._boards = boards
        self.plan = Plan()
        self.statistics_shape = StatisticsShape()
        self.refuses_routes_by_result = False
        """A route that is not possible is accepted, and its `result/route` says 4100; D26 leaves that open."""
        self.portal_click: ClickHandler | None = None
        """Clicks a number in the sandbox portal for an employee: (extension, number, line). None: no portal."""
        self._translator = events_dialect.EventsTranslator(
            pbx, self.call_log, lambda recording_id: make_link(self, recording_id)
        )

    def copy_plan(self) -> Plan:
        """A copy of `plan` for one ordered call, which may change it."""
        plan = self.plan
        return replace(plan, parties=dict(plan.parties), signals=list(plan.signals), to=list(plan.to))

    def other_boards(self) -> list[Board]:
        """The boards of the cloud's other products."""
        return [board for board in self._boards.values() if board is not self]

    def use_faults(self, faults: Faults) -> None:
        """Sets the delivery faults of this PBX."""
        self.sender.use_faults(faults)

    def emit_notification(
        self, path: str, body: dict[str, Any], *, at: float | None = None, exact: bool = False
    ) -> PbxNotification:
        """Adds a notification to the call log and puts it in the queue.

        Args:
            at: epoch seconds at which it happened; default: now.
            exact: send the body unchanged, without the settings of this PBX (SIP ids, version, types).
        """
        self.call_log.add_notification(path, body)
        due_at = time.time() if at is None else at
        notification = PbxNotification(path, due_at, body if exact else format_body(self.pbx, body))
        if self.pbx.dialect == "events":
            for name, event in self._translator.translate_notification(path, body):
                self.sender.submit(PbxNotification(name, notification.at, event))
        else:
            self.sender.submit(notification)
        self.on_change()
        return notification

    async def play_sequence(
        self,
        name: str,
        *,
        speed: float = float("inf"),
        rebase: bool = True,
        client: str | None = None,
        line: str | None = None,
        start: float | None = None,
    ) -> PlayedSequence:
        """Plays a ready sequence. Returns when its last notification has left the queue.

        Args:
            name: `S1` … `S7`.
            speed: how many times faster than real time; infinity leaves out all pauses.
            rebase: True makes it a new call of this PBX's people that ends now; False sends the reference unchanged.
            start: epoch seconds of the first notification; by default the last one is due when it is sent.

        Raises:
            KeyError: there is no such sequence.
        """
        notifications = sequences.load_sequence(name)
        if rebase:
            length = max(notification.at for notification in notifications) - notifications[0].at
            begin = time.time() - length * (1 - 1 / speed) if start is None else start
            participants = sequences.Participants.from_pbx(self.pbx, client, line)
            notifications = sequences.rebase_notifications(notifications, self.pbx, self.ids, begin, participants)
        bodies = (notification.body for notification in notifications)
        played = PlayedSequence(next(str(body["entry_id"]) for body in bodies if "entry_id" in body))
        before = notifications[0].at
        for notification in notifications:
            if notification.at > before:
                await asyncio.sleep((notification.at - before) / speed)
                before = notification.at
            played.notifications.append(
                self.emit_notification(notification.path, notification.body, at=notification.at, exact=not rebase)
            )
        await self.sender.wait_until_idle()
        return played

    async def check_connection(self) -> tuple[bool, list[DeliveryAttempt]]:
        """The button "check connection" of Mango's account pages: posts an empty form to the base address, then a
        `ping`.

        Returns:
            Whether both answers were 2xx, and the two attempts.
        """
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        empty = await self.sender.post_text("", "", data=b"", headers=headers)
        form = signing.build_form(self.pbx.api_key, self.pbx.api_salt, "{}")
        ping = await self.sender.post_text("ping", "{}", data=form)
        return all(200 <= attempt.status < 300 for attempt in (empty, ping)), [empty, ping]

    async def close(self) -> None:
        """Cancels all calls and stops sending."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.sender.close()
