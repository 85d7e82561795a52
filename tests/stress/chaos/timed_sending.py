"""Sends notifications one by one and times each; a program of its own, so that the test's threads cannot delay it.

Input: JSON with `port`, `gap` (seconds between two) and `posts` (path and body). Output: JSON, for each the status (0:
no answer within TIMEOUT_SECONDS) and the seconds. A notification is sent once, as Mango does. After MAX_SILENT without
an answer the rest is not sent and counts as unanswered.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
TIMEOUT_SECONDS = 10.0
MAX_SILENT = 3


@dataclass(frozen=True)
class Timed:
    """Statuses and seconds of the notifications, in the order in which they were sent."""

    statuses: list[int]
    seconds: list[float]

    def quantile(self, share: float) -> float:
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(len(self.seconds) * share))]


def send_timed(port: int, posts: list[tuple[str, str]], gap: float = 0.02) -> Timed:
    """Send all in a new process and wait for it."""
    command = [sys.executable, "-m", "tests.stress.chaos.timed_sending"]
    text = json.dumps({"port": port, "gap": gap, "posts": posts})
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode != 0:
        raise RuntimeError(f"the sender ended with {done.returncode}: {done.stderr[-1000:]}")
    answer = json.loads(done.stdout)
    return Timed(answer["statuses"], answer["seconds"])


def _post(connection: http.client.HTTPConnection, path: str, body: str) -> int:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return 0
    return answer.status


def main() -> None:
    order = json.load(sys.stdin)
    statuses, seconds = [], []
    connection = http.client.HTTPConnection("127.0.0.1", order["port"], timeout=TIMEOUT_SECONDS)
    for path, body in order["posts"]:
        if statuses.count(0) >= MAX_SILENT:
            statuses.append(0)
            seconds.append(TIMEOUT_SECONDS)
            continue
        started = time.perf_counter()
        statuses.append(_post(connection, path, body))
        seconds.append(time.perf_counter() - started)
        time.sleep(order["gap"])
    print(json.dumps({"statuses": statuses, "seconds": seconds}))


if __name__ == "__main__":
    main()
