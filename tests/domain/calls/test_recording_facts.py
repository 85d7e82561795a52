"""Which recordings can never be fetched: Mango is not asked for them, since each wrong question counts for its lock."""

from __future__ import annotations

import pytest

from bx24app.domain.calls.events import RecordingEvent
from bx24app.domain.calls.recording_facts import collect_recordings


def completed(code: int = 1000, is_in_cloud: bool = True) -> RecordingEvent:
    return RecordingEvent(at=2, recording_id="r", state="completed", code=code, is_in_cloud=is_in_cloud, seq=2)


@pytest.mark.parametrize(
    ("event", "is_lost", "is_fetchable"),
    [
        (completed(), False, True),
        (completed(4002), True, False),
        (completed(is_in_cloud=False), True, False),
        (RecordingEvent(at=1, recording_id="r", state="started", seq=1), False, False),
    ],
)
def test_what_was_not_stored_in_the_cloud_is_not_asked_for(
    event: RecordingEvent, is_lost: bool, is_fetchable: bool
) -> None:
    [facts] = collect_recordings([event])
    assert (facts.is_unrecoverable, facts.is_fetchable) == (is_lost, is_fetchable)


def test_statistics_that_list_it_all_the_same_change_nothing() -> None:
    [facts] = collect_recordings([completed(4002), RecordingEvent(2, "r", "completed", code=1000, seq=10**9)])
    assert (facts.is_unrecoverable, facts.is_fetchable) == (True, False)
