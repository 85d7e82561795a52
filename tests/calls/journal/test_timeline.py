"""The steps of a call: one list, from which the export and the page are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bx24app.calls.journal import timeline
from bx24app.models import Call, Delivery, Notification, Recording

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def delivery(kind: str, created: float, done: float | None = None) -> Delivery:
    row = Delivery(id=int(created * 100), kind=kind, command={"key": kind}, attempts=1, created_at=after(created))
    row.state, row.done_at = ("done", after(done)) if done is not None else ("waiting", None)
    return row


def test_the_cause_stands_before_its_effect_and_the_export_leaves_out_what_only_people_need() -> None:
    call = Call(id=1, started_at=AT)
    came = Notification(id=1, pbx_id=1, name="events/call", body="{}", state="handled", received_at=AT)
    recording = Recording(recording_id="R1", state="attached", tries=0, noticed_at=after(9), attached_at=after(10))
    deliveries = [delivery("Register", 0.1, 1), delivery("ShowCard", 0.2), delivery("Finish", 5, 6)]
    steps = timeline.build_timeline(call, [came], deliveries, [recording])
    assert [(step.kind, step.state) for step in steps] == [
        ("notification", "handled"), ("decision", "decided"), ("delivery", "waiting"), ("delivery", "done"),
        ("decision", "decided"), ("delivery", "done"), ("recording_ready", "handled"), ("recording", "attached"),
    ]  # fmt: skip
    assert [len(step.rows) for step in steps if step.kind == "decision"] == [2, 1], (
        "what was decided at once is one step"
    )
    rows = timeline.exported_rows(steps)
    assert [row["from"] for row in rows] == ["pbx", "app", "app", "app", "app"]
    assert rows[-1]["request"] == timeline.ATTACH_METHOD
    assert "tries" not in rows[0]


def test_a_command_of_another_version_is_a_step_without_a_method() -> None:
    [decision, step] = timeline.build_timeline(Call(id=1, started_at=AT), [], [delivery("Unheard", 0, 1)], [])
    assert (decision.kind, step.kind, step.request) == ("decision", "delivery", "")
