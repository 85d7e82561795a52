"""The naive flow on one portal: one request per step of a call, with the same pool and keep-alive, within the portal's
limit.
"""

from __future__ import annotations

import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from benchmarks.rig import Rig
from bx24app.sandbox.mango import mp3

STEPS = 6
AT_ONCE = 4
TELEPHONY = "telephony.externalCall."


class Naive:
    """Makes several calls at once and keeps their requests to the portal's rate."""

    def __init__(self, made: Rig, number: int, rate: float, recording: int) -> None:
        self.base, token = made.cloud.ask("grant", number)
        self.session = requests.Session()
        self.session.mount("http://", HTTPAdapter(pool_connections=64, pool_maxsize=64))
        self.session.headers["Authorization"] = f"Bearer {token}"
        self.content = base64.b64encode(b"".join(mp3.stream_bytes(recording))).decode()
        self.rate, self.next, self.lock = rate, time.monotonic(), threading.Lock()
        self.numbers, self.request_count = count(1), 0

    def calls_a_second(self, seconds: float) -> float:
        """The rate, starting from an empty store. A call in progress at the end counts by its steps."""
        end = time.monotonic() + seconds
        self.next = time.monotonic() + 1 / self.rate
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for future in [pool.submit(self._calls, end) for _ in range(AT_ONCE)]:
                future.result()
        return self.request_count / STEPS / seconds

    def _calls(self, end: float) -> None:
        while time.monotonic() < end:
            number = f"+7926{next(self.numbers):07d}"
            self._ask(end, "searchCrmEntities", {"PHONE_NUMBER": number})
            register = {"USER_ID": 11, "PHONE_NUMBER": number, "TYPE": 2, "CRM_CREATE": 1, "SHOW": 1}
            registered = self._ask(end, "register", register)
            if registered is None:
                return
            known = {"CALL_ID": registered["CALL_ID"]}
            self._ask(end, "show", {**known, "USER_ID": [12]})
            self._ask(end, "hide", {**known, "USER_ID": [12]})
            self._ask(end, "finish", {**known, "USER_ID": 11, "DURATION": 84, "STATUS_CODE": "200"})
            file = {"FILENAME": f"naive-{number[1:]}.mp3", "FILE_CONTENT": self.content}
            self._ask(end, "attachRecord", {**known, **file})

    def _ask(self, end: float, method: str, params: dict[str, Any]) -> Any:
        """The result of a request, or None when the time is over.

        Raises:
            requests.HTTPError: the portal refused.
        """
        with self.lock:
            at = max(self.next, time.monotonic())
            if at > end:
                return None
            self.next = at + 1 / self.rate
            self.request_count += 1
        time.sleep(max(0.0, at - time.monotonic()))
        answer = self.session.post(f"{self.base}{TELEPHONY}{method}", json=params, timeout=30)
        answer.raise_for_status()
        return answer.json()["result"]
