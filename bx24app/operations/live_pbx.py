"""`bx24app doctor --live`: what a real PBX answers, beside what the program assumed. Nothing in the PBX changes.

The order protects the key: the balance first, whose failure ends the questions, and whatever may answer 3xxx last.
After any error nothing more is asked of this PBX (Mango counts wrong requests, D26 1.4.1). Nothing is downloaded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from bx24app.calls.recordings.download import is_allowed_host
from bx24app.infra.runtime import runtime
from bx24app.mango import statistics_shape
from bx24app.mango.api_types import TRUNK
from bx24app.mango.client import MangoClient
from bx24app.mango.errors import MangoError, NotPermitted
from bx24app.mango.statistics_zone import DEFAULT_ZONE
from bx24app.models import utcnow
from bx24app.operations.findings import Finding

DAY: Final = 86400
POLL_SECONDS: Final = 5.0
MAX_POLLS: Final = 12
SETTLED_SECONDS: Final = 900
"""A recording of a call that is older has its file."""


class _HostSeen(Exception):
    """The address of the file is known; it is not opened."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host


def ask_pbx(subject: str, client: MangoClient, learnt_zone: str | None) -> Iterator[Finding]:
    """The findings about one PBX, up to the first error. `learnt_zone`: of its statistics; None: not known yet."""
    part = "balance"
    try:
        try:
            balance = client.fetch_balance()
            yield Finding(f"{subject}: key", True, f"accepted, account in {balance.currency}")
        except NotPermitted:
            yield Finding(f"{subject}: key", True, "accepted; the balance may not be asked")
        part = "employees"
        yield _describe_users(subject, client)
        part = "statistics"
        end = int(utcnow().timestamp())
        zone = learnt_zone or DEFAULT_ZONE
        answer = _fetch_day(client, end, zone)
        yield from _describe_statistics(subject, answer, end, zone)
        part = "lines"
        yield _describe_lines(subject, client)
        part = "recordings"
        yield _judge_host(subject, client, statistics_shape.find_recording(answer or {}, end - SETTLED_SECONDS))
    except MangoError as error:
        yield Finding(f"{subject}: {part}", False, f"{error} Nothing more is asked, to keep the key unlocked.")


def _describe_users(subject: str, client: MangoClient) -> Finding:
    users = client.fetch_users()
    extensions, ids = sum(bool(user.extension) for user in users), sum(bool(user.user_id) for user in users)
    text = f"{len(users)}, with an extension {extensions}, with user_id {ids}; assumed user_id on each"
    return Finding(f"{subject}: employees", ids == len(users), text)


def _describe_lines(subject: str, client: MangoClient) -> Finding:
    lines = client.fetch_lines()
    trunks = sum(line.region == TRUNK for line in lines)
    text = f"{len(lines) - trunks} numbers, {trunks} SIP trunks; assumed at least one"
    return Finding(f"{subject}: lines", bool(lines), text)


def _describe_statistics(
    subject: str, answer: dict[str, Any] | None, end: int, zone: str
) -> Iterator[Finding]:
    if answer is None:
        yield Finding(f"{subject}: statistics", False, "not ready within a minute; assumed seconds")
        return
    is_read, form = statistics_shape.describe_data(answer)
    yield Finding(f"{subject}: statistics", is_read, f"data is {form}; both forms are read")
    yield Finding(f"{subject}: legs", True, statistics_shape.describe_legs(answer))
    outside, count = statistics_shape.count_outside(answer, end - DAY, end)
    text = f"{outside} of {count} calls of a day begin outside the window that was ordered; assumed {zone}"
    yield Finding(f"{subject}: zone of statistics", outside == 0, text)


def _fetch_day(client: MangoClient, end: int, zone: str) -> dict[str, Any] | None:
    key = client.request_calls(end - DAY, end, limit=100, zones=(zone,))
    for _ in range(MAX_POLLS):
        time.sleep(POLL_SECONDS)
        answer = client.fetch_calls_answer(key)
        if answer is not None:
            return answer
    return None


def _judge_host(subject: str, client: MangoClient, recording: str | None) -> Finding:
    part = f"{subject}: recordings"
    if recording is None:
        return Finding(part, True, "none in the last day: the host of the files stays unknown")
    try:
        client.open_recording(recording, _note_host).close()
    except _HostSeen as seen:
        hosts = ", ".join(runtime().config.recording_hosts)
        return Finding(part, is_allowed_host(seen.host), f"files are at {seen.host}; assumed {hosts}")
    return Finding(part, False, "Mango sends the file itself, without an address; assumed a redirect")


def _note_host(url: str) -> None:
    raise _HostSeen((urlsplit(url).hostname or "").lower())
