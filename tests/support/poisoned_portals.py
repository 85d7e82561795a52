"""Portals each of which has something that once ended a job for all: an answer, or a secret that no key decrypts.

One scripted server answers for all of them; a portal's REST base holds the name of its poison.
"""

from __future__ import annotations

import json
from datetime import timedelta

from cryptography.fernet import Fernet
from sqlalchemy import LargeBinary, Table, type_coerce, update

from bx24app.models import Base, Grant, Pbx, Portal, db, utcnow
from tests.conftest import make_portal
from tests.support.scripted_server import ReceivedRequest, ScriptedAnswer, json_answer

SECRETS = {
    "access_token": Grant,
    "refresh_token": Grant,
    "application_token": Portal,
    "api_key": Pbx,
    "api_salt": Pbx,
    "hook_sealed": Pbx,
}
"""Secret column -> its table; each of them gets a portal whose secret no key decrypts."""
ANSWERS = ("huge-number", "own-key", "over-large")
POISONS = (*ANSWERS, *SECRETS)


def answer_for(request: ReceivedRequest) -> ScriptedAnswer:
    """What the portal named in the request's path answers."""
    poison, method = request.path.split("/")[1], request.path.rsplit("/", 1)[1]
    if poison == "over-large":
        return ScriptedAnswer(200, b'{"result":[' + b"[]," * 2_000_000 + b"[]]}")
    if poison == "huge-number":
        return json_answer({"error": "OPERATION_TIME_LIMIT", "operating_reset_at": 10**400}, 429)
    if method != "batch":
        return json_answer({"result": {"ID": "1", "ADMIN": True}, "time": {"operating": 0.1}})
    keys = list(json.loads(request.body)["cmd"])
    if poison == "own-key":
        keys = ["obody"]
    return json_answer({"result": {"result": dict.fromkeys(keys, 1), "result_error": [], "result_time": []}})


def make_tenant(url: str, name: str) -> int:
    """An active portal with a grant and a PBX whose REST base is `url` and this name; returns its id."""
    portal = make_portal(member_id=name.ljust(32, "0"), state="active")
    portal.client_endpoint = f"{url}{name}/rest/"
    portal.domain = f"{name}.example"
    now = utcnow()
    db.session.add(
        Grant(portal_id=portal.id, user_id=1, access_token="a", refresh_token="r", expires_at=now + timedelta(days=1))
    )
    db.session.commit()
    return portal.id


def make_poisoned(url: str) -> dict[str, int]:
    """Poison -> id of its portal. They are the first of all portals."""
    ids = {name: make_tenant(url, name) for name in POISONS}
    for column in SECRETS:
        spoil_secret(ids[column], column)
    return ids


def spoil_secret(portal_id: int, column: str) -> None:
    """Encrypt this secret of the portal with a key that is thrown away."""
    table: Table = SECRETS[column].__table__  # type: ignore[assignment]
    owner = table.c.id if column == "application_token" else table.c.portal_id
    foreign = Fernet(Fernet.generate_key()).encrypt(b"nobody knows")
    value = type_coerce(foreign, LargeBinary)
    db.session.execute(update(table).where(owner == portal_id).values({table.c[column]: value}))
    db.session.commit()
    db.session.expire_all()


def secret_columns() -> set[str]:
    """Every secret of a portal in the tables."""
    from bx24app.infra.encryption import EncryptedText

    tables = [table for table in Base.metadata.sorted_tables if table.name != "registration"]
    return {column.name for table in tables for column in table.columns if isinstance(column.type, EncryptedText)}
