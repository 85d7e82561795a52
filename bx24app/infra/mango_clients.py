"""The Mango client of a PBX, built in one place for calls, pages and the doctor.

Every client uses the configured address and the process's pooled session, which checks addresses and carries
`BX24APP_CA_BUNDLE`. What is known of its key is shared by all clients of the key (`key_guard`).
"""

from __future__ import annotations

from bx24app.infra.key_guard import RememberedKey
from bx24app.infra.runtime import runtime
from bx24app.mango.client import MangoClient


def build_client(api_key: str | None, api_salt: str | None) -> MangoClient:
    """A client with this key and salt. Building one costs nothing; without key or salt each request raises
    `WrongKey`."""
    process = runtime()
    guard = RememberedKey(process, api_key) if api_key else None
    url, session = process.config.mango_api_url, process.http_session
    return MangoClient(url, api_key or "", api_salt or "", session=session, guard=guard)
