"""Everything that the events of a call say about each of its recordings."""

from __future__ import annotations

from dataclasses import dataclass

from bx24app.domain.calls.events import RecordingEvent


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """One recording. Times are epoch seconds of the PBX's clock."""

    id: str
    extension: str | None
    """The recorded employee; None: the PBX does not say."""
    leg: str | None
    started_at: int | None
    completed_at: int | None
    code: int | None
    """The PBX's code of the completion; 1000: stored."""
    is_in_cloud: bool
    """False: sent by mail alone."""
    is_added: bool
    """The PBX has said that the file is there."""
    url: str | None
    """Only from the dialect `events`; good for 24 h."""
    first_at: int
    """When the PBX mentioned the recording first."""

    @property
    def is_unrecoverable(self) -> bool:
        """The file will never be there: not stored (too short, over a limit), or sent by mail alone."""
        return not self.is_added and ((self.code is not None and self.code != 1000) or not self.is_in_cloud)

    @property
    def is_fetchable(self) -> bool:
        """The PBX has said that the file is there, or will be soon."""
        return self.is_added or (self.code == 1000 and self.is_in_cloud)


def collect_recordings(events: list[RecordingEvent]) -> tuple[RecordingFacts, ...]:
    """One `RecordingFacts` for each recording, in the order in which they began. The order of the events does not
    matter."""
    grouped: dict[str, list[RecordingEvent]] = {}
    for event in events:
        grouped.setdefault(event.recording_id, []).append(event)
    recordings = []
    for recording_id, steps in grouped.items():
        steps.sort(key=lambda step: (step.state == "added", step.seq, step.at))
        completed = next((step for step in steps if step.state == "completed"), None)
        recordings.append(
            RecordingFacts(
                id=recording_id,
                extension=next((step.extension for step in reversed(steps) if step.extension), None),
                leg=next((step.leg for step in reversed(steps) if step.leg), None),
                started_at=next((step.at for step in steps if step.state == "started"), None),
                completed_at=completed.at if completed else None,
                code=completed.code if completed else None,
                is_in_cloud=completed.is_in_cloud if completed else True,
                is_added=any(step.state == "added" for step in steps),
                url=next((step.url for step in reversed(steps) if step.url), None),
                first_at=min(step.at for step in steps),
            )
        )
    return tuple(sorted(recordings, key=lambda facts: (facts.started_at or facts.first_at, facts.id)))
