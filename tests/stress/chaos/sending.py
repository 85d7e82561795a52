"""Sends notifications as a PBX behind a proxy does: repeats each until a web process acknowledges it.

The app promises to keep only what it acknowledged (contract, section 5: 503 with Retry-After while the database does
not answer). A restart of PostgreSQL may take longer than the six seconds that a web process waits; without the repeat
it would look like a lost call.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import requests

from bx24app.mango import vpbx
from tests.end_to_end.test_random_calls import KEYS
from tests.support.random_calls import DrawnCall

PATIENCE_SECONDS = 90


def send_until_acknowledged(hook: str, call: DrawnCall, other_web: Sequence[str] = ()) -> None:
    """Send all notifications of one call in order of arrival, each until one web process answers 200.

    Args:
        hook: the hook address of the PBX.
        other_web: base addresses of further web processes on the same database.

    Raises:
        AssertionError: an answer other than 200 or 503, or no 200 within PATIENCE_SECONDS.
    """
    key, salt = KEYS[call.scene.office.key]
    path = urlsplit(hook).path
    hooks = [*(f"{base}{path}" for base in other_web), hook]
    with requests.Session() as session:
        for name, content in call.arrivals:
            raw = json.dumps(content)
            form = {"vpbx_api_key": key, "json": raw, "sign": vpbx.sign_text(key, salt, raw)}
            _post(session, [f"{address}/{name}" for address in hooks], form)


def _post(session: requests.Session, urls: Sequence[str], form: dict[str, str]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        for url in urls:
            try:
                answer = session.post(url, data=form, timeout=60)
            except requests.ConnectionError:
                continue
            if answer.status_code == 200:
                return
            assert answer.status_code == 503, answer.status_code
            assert answer.headers.get("Retry-After"), "503 says when to come back"
        time.sleep(0.5)
    raise AssertionError(f"no web process acknowledged within {PATIENCE_SECONDS} s: {urls}")
