"""Which calls of one client may leave side by side. The whole way: tests/end_to_end/test_same_client.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bx24app.calls.outbox.client_order import MAX_WAIT, select_sendable
from bx24app.domain.calls.record_queries import FIND_CLIENT_KEY
from bx24app.models import Delivery

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CLIENT, ANOTHER = "+79160000001", "+79160000002"


def row(call: int, kind: str, number: str = CLIENT, key: str = "", state: str = "waiting", ago: float = 0) -> Delivery:
    at = NOW - timedelta(seconds=ago)
    return Delivery(
        call_id=call, kind=kind, key=key or kind, state=state, command={"number": number}, created_at=at,
        sent_at=at if state == "sent" else None,
    )  # fmt: skip


def free(due: list[Delivery], others: tuple[Delivery, ...] = (), *, shared: bool = False) -> list[int]:
    return [rows[0].call_id for rows in select_sendable([[one] for one in due], [*due, *others], NOW, shared=shared)]


def look(call: int, number: str = CLIENT, state: str = "waiting", ago: float = 0) -> Delivery:
    return row(call, "ReadClient", number, FIND_CLIENT_KEY, state, ago)


def test_one_after_the_other() -> None:
    assert free([row(1, "Register"), row(2, "Register"), row(3, "Register", ANOTHER)]) == [1, 3]
    assert free([look(1), look(2), look(3, ANOTHER)]) == [1, 3]


def test_a_look_up_waits_for_what_another_call_makes() -> None:
    assert free([look(2)], (row(1, "CreateRecord", state="sent"),)) == []
    assert free([look(2)], (row(1, "CreateRecord"),)) == []
    assert free([look(2)], (look(1, state="sent"),)) == []


def test_in_one_batch_only_look_ups_wait() -> None:
    assert free([row(1, "Register"), row(2, "Register")], shared=True) == [1, 2]
    assert free([look(1), look(2), row(3, "Register")], shared=True) == [1, 3]
    under_way = row(3, "Register", state="sent")
    assert free([row(1, "Register"), row(2, "Register")], (under_way,), shared=True) == [], "that is another batch"


def test_other_look_ups_decide_nothing() -> None:
    """What rides along with finish for later is read whenever it comes."""
    assert free([row(1, "ReadClient", key="read-client"), row(2, "ReadClient", key="read-client")]) == [1, 2]


def test_nobody_waits_for_ever() -> None:
    late = MAX_WAIT.total_seconds() + 1
    assert free([look(2)], (row(1, "CreateRecord", state="sent", ago=late),)) == [2]
