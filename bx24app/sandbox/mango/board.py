"""A working PBX: the product, the facts of its calls, its outgoing queue, the calls that are going on."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bx24app.sandbox.mango import events_dialect, sequences, signing
from bx24app.sandbox.mango.call_log import CallLog
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
    """A sequence that was played: the entry it made and the true notices, before any fault."""

    entry_id: str
    notifications: list[PbxNotification] = field(default_factory=list)


class Board:
    """Everything of one product that moves."""

    def __init__(
        self, pbx: Pbx, ids: IdFactory, log: deque[DeliveryAttempt], changed: Callable[[], None], links: LinkFactory, boards: dict[str, Board]
    ) -> None:
        self.pbx = pbx
        self.ids = ids
        self.call_log = CallLog()
        self.on_change = changed
        self.sender = NotificationSender(pbx, log, changed)
        self.calls: dict[str, Call] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self._boards = boards
        self.plan = Plan()
        self.portal_click: ClickHandler | None = None
        """Somebody clicks on a number in the portal beside this sandbox: (extension, number, line). None: no portal there."""
        self._translator = events_dialect.EventsTranslator(pbx, self.call_log, lambda recording_id: links(self, recording_id))

    def copy_plan(self) -> Plan:
        """A copy of `plan`: how calls go that were ordered by a command (who answers, how long they talk, how fast)."""
        plan = self.plan
        return replace(plan, parties=dict(plan.parties), signals=list(plan.signals), to=list(plan.to))

    def other_boards(self) -> list[Board]:
        """The other products of the cloud."""
        return [board for board in self._boards.values() if board is not self]

    def use_faults(self, faults: Faults) -> None:
        """Changes the weather of this PBX."""
        self.sender.use_faults(faults)

    def emit_notification(self, path: str, body: dict[str, Any], *, at: float | None = None, exact: bool = False) -> PbxNotification:
        """Something happened: it becomes a fact, and a notification sets out.

        Args:
            exact: send the body as it is, without this PBX's dressing (SIP ids, version, types).
        """
        self.call_log.add_notification(path, body)
        notice = PbxNotification(path, time.time() if at is None else at, body if exact else format_body(self.pbx, body))
        if self.pbx.dialect == "events":
            for name, told in self._translator.translate_notification(path, body):
                self.sender.submit(PbxNotification(name, notice.at, told))
        else:
            self.sender.submit(notice)
        self.on_change()
        return notice

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
        """Plays a ready sequence and returns when its last notification has left the queue.

        Args:
            name: `S1` … `S7`.
            speed: how many times faster than life; infinity leaves out all pauses.
            rebase: False sends the reference's own text; True makes it a new call of this PBX's people that ends now.
            start: epoch seconds of the first notification; default: so that the last one is due when it is sent.

        Raises:
            KeyError: no such sequence.
        """
        notices = sequences.load_sequence(name)
        if rebase:
            length = max(notice.at for notice in notices) - notices[0].at
            begin = time.time() - length * (1 - 1 / speed) if start is None else start
            cast = sequences.Participants.from_pbx(self.pbx, client, line)
            notices = sequences.rebase_notifications(notices, self.pbx, self.ids, begin, cast)
        played = PlayedSequence(next(str(notice.body["entry_id"]) for notice in notices if "entry_id" in notice.body))
        before = notices[0].at
        for notice in notices:
            if notice.at > before:
                await asyncio.sleep((notice.at - before) / speed)
                before = notice.at
            played.notifications.append(self.emit_notification(notice.path, notice.body, at=notice.at, exact=not rebase))
        await self.sender.wait_until_idle()
        return played

    async def check_connection(self) -> tuple[bool, list[DeliveryAttempt]]:
        """The button of the personal account: an empty form to the base, then a `ping`; both must get 2xx."""
        empty = await self.sender.post_text("", "", data=b"", headers={"Content-Type": "application/x-www-form-urlencoded"})
        ping = await self.sender.post_text("ping", "{}", data=signing.build_form(self.pbx.api_key, self.pbx.api_salt, "{}"))
        return all(200 <= sent.status < 300 for sent in (empty, ping)), [empty, ping]

    async def close(self) -> None:
        """Hangs up everything and stops sending."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.sender.close()
