"""A minimal third dialect: unsigned plain text `<step>;<entry>;<client>;<extension>;<epoch seconds>`.

The steps are `ring`, `answer` and `end`. A test enters `registered()`; the program then needs nothing else to deliver
calls of this dialect to the portal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bx24app.domain.calls.events import CallEnded, LegAnswered, LegEnded, LegRinging, Party, PbxEvent
from bx24app.domain.dialects import DIALECT_TRAITS, DialectTraits
from bx24app.mango import dialects
from bx24app.mango.dialects import Dialect
from bx24app.mango.notification import MalformedNotification, NotificationIdentity, make_dedup_key

NAME = "tiny"


def split(text: str) -> list[str]:
    fields = text.strip().split(";")
    if len(fields) != 5 or not fields[4].isdecimal():
        raise MalformedNotification("The line does not have five fields.")
    return fields


def identify(name: str, text: str, received_at: int) -> NotificationIdentity:
    return NotificationIdentity(name, split(text)[1], None, make_dedup_key(name, {"line": text.strip()}))


def parse(name: str, text: str, received_at: int) -> list[PbxEvent]:
    _, entry, client, extension, time = split(text)
    at, sides = int(time), {"caller": Party(None, client), "callee": Party(extension, None), "line": None}
    leg = {"at": at, "leg": entry, "leg_kind": "person", **sides}
    if name == "ring":
        return [LegRinging(seq=1, **leg)]  # type: ignore[arg-type]
    if name == "answer":
        return [LegAnswered(seq=2, **leg)]  # type: ignore[arg-type]
    times = {"started_at": at - 60, "forwarded_at": None, "talk_at": at - 50, "ended_at": at}
    ended = CallEnded(at=at, direction="in", reason=1100, **sides, **times)  # type: ignore[arg-type]
    return [LegEnded(seq=3, reason=1100, **leg), ended]  # type: ignore[arg-type]


def find_name(text: str) -> str | None:
    step = text.partition(";")[0]
    return step if step in ("ring", "answer", "end") else None


TINY = Dialect(
    traits=DialectTraits(needs_keys=False, has_legs=False, may_omit_line=True, has_statistics=False),
    recognise=lambda post: post.content_type == "text/plain",
    is_probe=lambda post: not post.body,
    read_text=lambda post: post.body.decode(),
    find_name=lambda post: find_name(post.body.decode()),
    path_name=lambda post: "line",
    identify=identify,
    parse=parse,
)


@contextmanager
def registered() -> Iterator[None]:
    dialects.register(NAME, TINY)
    try:
        yield
    finally:
        del dialects.DIALECTS[NAME], DIALECT_TRAITS[NAME]
