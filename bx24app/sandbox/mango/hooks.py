"""Sends the notifications of a PBX to the external system and logs the answers.

It stands for Mango's side of the notifications: forms signed with key and salt, one after the other, no repetition
after an error. `faults` can change all of this.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from bx24app.sandbox.mango import signing
from bx24app.sandbox.mango.faults import FaultInjector, Faults
from bx24app.sandbox.mango.model import Pbx
from bx24app.sandbox.mango.sequences import PbxNotification

HOLD_SECONDS = 2.0
"""A delayed notification leaves after this time at the latest."""
_INTEGERS = ("timestamp", "seq", "disconnect_reason", "completion_code", "product_id", "user_id", "result")


@dataclass
class DeliveryAttempt:
    """One attempt to deliver. `status` is 0 when no answer came; `error` then says why."""

    number: int
    at: float
    pbx: str
    path: str
    url: str
    text: str
    status: int = 0
    answer: str = ""
    seconds: float = 0.0
    error: str = ""


def join_address(base: str, suffix: str) -> str:
    """Mango appends the suffix to the address exactly as it was entered, even after a query."""
    return f"{base.rstrip('/')}/{suffix}" if suffix else base


def format_body(pbx: Pbx, body: dict[str, Any]) -> dict[str, Any]:
    """The body as this PBX sends it: version 1 or 2, with or without SIP ids, whole numbers as strings or not."""
    out: dict[str, Any] = {
        key: {inner: part for inner, part in value.items() if pbx.version >= 2 or not _is_version_two(inner)}
        if isinstance(value, dict)
        else value
        for key, value in body.items()
        if pbx.version >= 2 or key != "transfer"
    }
    if pbx.sip_call_ids and "call_state" in out:
        out["sip_call_id"] = f"{out['call_id'].rstrip('=').lower()[-16:]}@{pbx.domain}"
    if pbx.numbers_as_text:
        out = {key: str(value) if key in _INTEGERS else value for key, value in out.items()}
    return out


def _is_version_two(key: str) -> bool:
    return key in ("was_transferred", "hold_initiator")


class NotificationSender:
    """The outgoing queue of one PBX. Sends one notification after the other, unless the faults say otherwise."""

    def __init__(self, pbx: Pbx, log: deque[DeliveryAttempt], on_change: Callable[[], None]) -> None:
        self.pbx = pbx
        self.log = log
        self.on_change = on_change
        self.fault_injector = FaultInjector(Faults())
        self.keep_log = True
        self._queue: asyncio.Queue[PbxNotification] = asyncio.Queue()
        self._open_count = 0
        self._is_closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._worker: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._numbers = itertools.count(1)

    def use_faults(self, faults: Faults) -> None:
        """Applies new faults from the next notification on. Delayed ones leave at once."""
        for notification in self.fault_injector.release_all():
            self._spawn_task(self._deliver_notification(notification))
        self.fault_injector = FaultInjector(faults)

    def submit(self, notification: PbxNotification) -> None:
        """Queues a notification. Without a hook address, or when its path is suppressed, it is dropped, as at Mango."""
        if self._is_closed or not self.pbx.hook_url or notification.path in self.pbx.suppressed_paths:
            return
        self._open_count += 1
        delay = self.fault_injector.faults.record_delay if notification.path == "events/record/added" else (0.0, 0.0)
        if delay[1] > 0:
            self._spawn_task(self._submit_later(notification, self.fault_injector.random.uniform(*delay)))
        else:
            self._queue.put_nowait(notification)
        if self._worker is None:
            self._worker = asyncio.create_task(self._run_queue())

    async def wait_until_idle(self) -> None:
        """Waits until every queued notification was delivered or lost."""
        while self._open_count or self._tasks or self.fault_injector.is_holding:
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        """Stops at once. Later notifications are dropped."""
        self._is_closed = True
        for task in [*self._tasks, *([self._worker] if self._worker else [])]:
            task.cancel()
        await asyncio.gather(*self._tasks, *([self._worker] if self._worker else []), return_exceptions=True)
        if self._session:
            await self._session.close()
        self._worker = self._session = None

    async def _submit_later(self, notification: PbxNotification, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._queue.put_nowait(notification)

    async def _run_queue(self) -> None:
        while True:
            try:
                timeout = HOLD_SECONDS if self.fault_injector.is_holding else None
                notification = await asyncio.wait_for(self._queue.get(), timeout)
            except TimeoutError:
                due = self.fault_injector.release_all()
            else:
                due = self.fault_injector.push_notification(notification)
                self._open_count -= 1
            for released in due:
                if self.fault_injector.faults.parallel:
                    self._spawn_task(self._deliver_notification(released))
                else:
                    await self._count_open(self._deliver_notification(released))

    async def _count_open(self, work: Any) -> None:
        self._open_count += 1
        try:
            await work
        finally:
            self._open_count -= 1

    def _spawn_task(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver_notification(self, notification: PbxNotification) -> None:
        attempt = await self._post_notification(notification)
        if self.fault_injector.faults.retry and not 200 <= attempt.status < 300:
            await self._post_notification(notification)

    async def _post_notification(self, notification: PbxNotification) -> DeliveryAttempt:
        pbx, injector = self.pbx, self.fault_injector
        text = signing.JSON_STYLES[pbx.code_style](notification.body)
        if pbx.dialect == "events":
            headers = {"Content-Type": "application/json"}
            return await self.post_text(notification.path, text, data=text.encode(), headers=headers)
        fields = signing.build_form(pbx.api_key, pbx.api_salt, text)
        if injector.draw_hit(injector.faults.wrong_sign):
            fields["sign"] = signing.sign_text(pbx.api_key, text, "another salt")
        if injector.draw_hit(injector.faults.unknown_key):
            fields["vpbx_api_key"] = "0" * 32
        return await self.post_text(notification.path, text, data=fields)

    async def post_text(self, suffix: str, text: str, **request: Any) -> DeliveryAttempt:
        """Posts a text to the hook address and logs the answer. Never raises."""
        url = join_address(self.pbx.hook_url, suffix)
        attempt = DeliveryAttempt(next(self._numbers), time.time(), self.pbx.name, suffix, url, text)
        self._session = self._session or aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False))
        started_at = time.perf_counter()
        try:
            timeout = aiohttp.ClientTimeout(total=self.fault_injector.faults.timeout)
            async with self._session.post(URL(url, encoded=True), timeout=timeout, **request) as answer:
                attempt.status, attempt.answer = answer.status, (await answer.text(errors="replace"))[:300]
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            attempt.error = f"{type(error).__name__}: {error}".rstrip(": ")
        attempt.seconds = time.perf_counter() - started_at
        if self.keep_log:
            self.log.append(attempt)
            self.on_change()
        return attempt
