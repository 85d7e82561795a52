"""Strategies for bad inputs: requests from docs/openapi.yaml (schemathesis), and from grammars of our own.

The grammars cover what schemathesis cannot know: right signatures over wrong content, PHP keys, and sessions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import requests
import schemathesis
import yaml
from hypothesis import strategies as st
from schemathesis import GenerationMode

from scripts.openapi import PATH
from tests.conftest import KEY, SALT
from tests.stress.fuzz.target import Shot

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
NASTY = (
    "", " ", "0", "-1", "1e400", "NaN", "9" * 30, "9" * 5000, "٣", "²", "\x00", "\x00\x01", "\ud800", "'", '"', "--",
    "';DROP TABLE call;--", "%", "%00", "%s", "{{7*7}}", "{{ ''.__class__.__mro__ }}",
    "{% for x in range(9**9) %}{% endfor %}", "<script>alert(1)</script>", "../../../etc/passwd", "..\\..",
    "http://169.254.169.254/", "http://127.0.0.1:1/", "file:///etc/passwd", "\r\nX-Evil: 1", "ａ", "🙂", "é", "A" * 300,
    "a" * 70_000, "[" * 5000, '{"a":' * 500, "true", "null", "[]", "{}", "0001-01-01", "9999-12-31", "2026-02-30",
    "9999-12-31T23:59:59+14:00 7", "0001-01-01T00:00:00+14:00~1", "+79160000001", "74950000001", "101", "moscow", "1",
    "2", "lead", "in", "Connected", "ringing", "1705308600",
)  # fmt: skip
EDGE_VALUES = ("\0", *(str(number) for number in (2**31 - 1, 2**31, 10**15 - 1, 10**18 - 1, 2**63)))
"""What a column of PostgreSQL cannot hold, and what is just below."""
texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=40))
numbers = st.one_of(
    st.integers(), st.sampled_from((0, -1, 2**31, 2**63, 2**64, 10**30, 1705308600, 1705308600000)), st.floats()
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
EVENTS = (
    "events/call", "events/summary", "events/recording", "events/record/added", "result/callback",
    "result/call/hangup", "ping", "", "events/dtmf", "events/call/../call", "call_start", "call_answer", "call_end",
    "call_record", "call_transfer", "events/call_end", "%00", "%ff%fe", "//", "é",
)  # fmt: skip
FIELDS = (
    "entry_id", "call_id", "timestamp", "seq", "call_state", "location", "from", "to", "disconnect_reason",
    "transfer", "command_id", "call_direction", "line_number", "create_time", "forward_time", "talk_time", "end_time",
    "recording_id", "recording_state", "completion_code", "recipient", "result", "uuid", "start_time", "finish_time",
    "duration", "record_url", "event",
)  # fmt: skip
GOOD: dict[str, Any] = {
    "entry_id": "e1", "call_id": "l1", "timestamp": 1705308600, "seq": 1, "call_state": "Appeared", "location": "ivr",
    "from": {"number": "79161234567"},
    "to": {"number": "74950000001", "line_number": "74950000001", "extension": "101"}, "uuid": "u1",
    "start_time": 1705308600, "recording_id": "r1", "recording_state": "Completed", "call_direction": 1,
    "create_time": 1705308600, "forward_time": 0, "talk_time": 1705308610, "end_time": 1705308620, "command_id": "c1",
    "result": 1000,
}  # fmt: skip


@st.composite
def objects(draw: Callable[[Any], Any]) -> str:
    """The text of a notification with wrong fields; sometimes no JSON at all."""
    if draw(st.integers(0, 9)) == 0:
        return str(draw(texts))
    content = dict(GOOD)
    content["entry_id"] = f"e{draw(st.integers(0, 300))}"
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=4)):
        content[name] = draw(values)
        if draw(st.booleans()) and name in ("from", "to"):
            content[name] = {draw(st.sampled_from(("number", "extension", "line_number"))): draw(values)}
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=3)):
        content.pop(name, None)
    return json.dumps(content, ensure_ascii=draw(st.booleans()))


def _encoded(pairs: list[tuple[str, str]]) -> bytes:
    return urlencode(pairs, errors="surrogatepass").encode()


@st.composite
def notifications(draw: Callable[[Any], Any], hook: str) -> Shot:
    """A notification with a right signature, in the unsigned dialect, or with a forged signature."""
    raw, suffix = draw(objects()), draw(st.sampled_from(EVENTS))
    if draw(st.booleans()):
        return Shot("POST", f"{hook}/{suffix}", "", raw.encode("utf-8", "surrogatepass"), JSON)
    clean = raw.encode("utf-8", "replace").decode()
    sign = hashlib.sha256(f"{KEY}{clean}{SALT}".encode()).hexdigest()
    if draw(st.integers(0, 5)) == 0:
        sign = draw(texts)
    pairs = [("vpbx_api_key", KEY if draw(st.integers(0, 5)) else draw(texts)), ("sign", sign), ("json", clean)]
    query = ""
    if draw(st.integers(0, 5)) == 0:
        query = urlencode({draw(st.sampled_from(("pbx", "event", "x"))): draw(texts)}, errors="surrogatepass")
    return Shot("POST", f"{hook}/{suffix}", query, _encoded(pairs), FORM)


@st.composite
def events(draw: Callable[[Any], Any], member_id: str, token: str) -> Shot:
    """An event of Bitrix24, usually with the right token."""
    names = ("ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART", "ONAPPUPDATE", "ONCRMLEADADD", "onexternalcallstart", "")
    pairs = [
        ("event", draw(st.one_of(st.sampled_from(names), texts))),
        ("auth[member_id]", member_id if draw(st.integers(0, 4)) else draw(texts)),
        ("auth[application_token]", token if draw(st.integers(0, 4)) else draw(texts)),
        ("ts", draw(texts)),
    ]
    keys = (
        "PHONE_NUMBER",
        "PHONE_NUMBER_INTERNATIONAL",
        "CALL_ID",
        "USER_ID",
        "LINE_NUMBER",
        "CRM_ENTITY_ID",
        "EXTENSION_GROUP_ID",
        "a][b",
        "x[y][z",
    )
    pairs += [(f"data[{draw(st.sampled_from(keys))}]", draw(texts)) for _ in range(draw(st.integers(0, 5)))]
    pairs += [(draw(texts), draw(texts)) for _ in range(draw(st.integers(0, 2)))]
    return Shot("POST", "/bitrix24/events", "", _encoded(pairs), FORM)


def operations() -> list[Any]:
    """Every operation of the description."""
    schema = schemathesis.openapi.from_dict(yaml.safe_load(PATH.read_text("utf-8")))
    return [result.ok() for result in schema.get_all_operations()]


def claim_of(operation: Any) -> str:
    """The session that an operation requires: `frame`, `place` or an empty string."""
    wanted = operation.definition.raw.get("security") or [{}]
    return str(next(iter(wanted[0]), ""))


def described(operation: Any) -> st.SearchStrategy[Shot]:
    """Requests of schemathesis for one operation; half of them violate its schema."""

    def shot(case: Any) -> Shot | None:
        given = case.as_transport_kwargs(base_url="http://fuzz")
        given = {name: given[name] for name in ("method", "url", "params", "data", "json", "files") if name in given}
        try:
            ready = requests.Request(**given, headers={"Content-Type": case.media_type or ""}).prepare()
        except (ValueError, TypeError, UnicodeError):
            return None  # no client can send this
        split = urlsplit(ready.url or "")
        body = ready.body or b""
        body = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body)
        return Shot(
            ready.method or "GET", split.path, split.query, body, case.media_type or "", (), claim_of(operation)
        )

    both = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )
    return both.map(shot).filter(lambda shot: shot is not None)  # type: ignore[return-value]


@st.composite
def forms(draw: Callable[[Any], Any], operation: Any) -> Shot:
    """Requests of one operation with nasty values in its fields and in its path."""
    raw = operation.definition.raw
    path = operation.path
    for parameter in raw.get("parameters", ()):
        if parameter["in"] == "path":
            choice = parameter["schema"].get("enum") or ("1", "2", "moscow")
            value = draw(st.sampled_from(choice)) if draw(st.integers(0, 2)) else draw(texts)
            path = path.replace("{" + parameter["name"] + "}", quote(value.encode("utf-8", "surrogatepass"), safe=""))
    query = [
        (parameter["name"], draw(texts))
        for parameter in raw.get("parameters", ())
        if parameter["in"] == "query" and draw(st.booleans())
    ]
    content = raw.get("requestBody", {}).get("content", {})
    names = [name for kind in content.values() for name in kind["schema"].get("properties", {})]
    pairs = [
        (name, "1" if name == "version" and draw(st.booleans()) else draw(texts))
        for name in names
        if draw(st.booleans())
    ]
    method = operation.method.upper()
    body, kind = (_encoded(pairs), FORM) if method == "POST" else (b"", "")
    return Shot(method, path, urlencode(query, errors="surrogatepass"), body, kind, (), claim_of(operation))


def edge_values(operation: Any) -> list[Shot]:
    """Requests of one operation with each of `EDGE_VALUES` in all fields of its path, query and form."""
    raw, shots = operation.definition.raw, []
    content = raw.get("requestBody", {}).get("content", {})
    names = [name for kind in content.values() for name in kind["schema"].get("properties", {})]
    parameters = raw.get("parameters", ())
    for value in EDGE_VALUES:
        path = operation.path
        for parameter in parameters:
            if parameter["in"] == "path":
                choice = parameter["schema"].get("enum")
                path = path.replace("{" + parameter["name"] + "}", quote(choice[0] if choice else value, safe=""))
        query = urlencode({parameter["name"]: value for parameter in parameters if parameter["in"] == "query"})
        body, kind = (_encoded([(name, value) for name in names]), FORM) if names else (b"", "")
        shots.append(Shot(operation.method.upper(), path, query, body, kind, (), claim_of(operation)))
    return shots


@st.composite
def strangers(draw: Callable[[Any], Any]) -> Shot:
    """Requests with addresses, methods, headers and bodies that the description does not have."""
    path = "/" + "/".join(
        quote(draw(texts).encode("utf-8", "surrogatepass"), safe="") for _ in range(draw(st.integers(0, 4)))
    )
    kinds = (
        "",
        FORM,
        JSON,
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "text/xml",
        "application/json; charset=utf-16",
        "\x7f",
    )
    headers = (
        ("X-Frame-Session", "a.b.c"),
        ("X-Forwarded-For", "1, ::, x"),
        ("Range", "bytes=9-1"),
        ("HX-Request", "true"),
        ("Accept-Language", "*;q=x"),
        ("Accept-Encoding", "gzip;q=-1"),
    )
    method = draw(st.sampled_from(("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW")))
    body = draw(st.one_of(st.binary(max_size=60), texts.map(lambda text: text.encode("utf-8", "surrogatepass"))))
    chosen = tuple(draw(st.lists(st.sampled_from(headers), max_size=3)))
    known = (
        "/",
        "/install",
        "/frame",
        "/frame/pbxs",
        "/bitrix24/events",
        "/mango",
        "/media/recording/1",
        "/place/lead",
        "/frame/open",
    )
    path = draw(st.sampled_from(known)) if draw(st.booleans()) else path
    query = quote(draw(texts).encode("utf-8", "surrogatepass"), safe="=&")
    return Shot(method, path, query, body, draw(st.sampled_from(kinds)), chosen)
