"""What is known of each recording, gathered from all that was told of it."""

from __future__ import annotations

from dataclasses import dataclass

from bx24app.domain.calls.events import RecordingEvent


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """Everything known of one recording."""

    id: str
    extension: str | None
    leg: str | None
    started_at: int | None
    completed_at: int | None
    code: int | None
    is_in_cloud: bool
    is_added: bool
    url: str | None
    first_at: int

    @property
    def is_unrecoverable(self) -> bool:
        """It will never be fetchable: not kept (too short, limits), or sent by mail only."""
        return not self.is_added and ((self.code is not None and self.code != 1000) or not self.is_in_cloud)

    @property
    def is_fetchable(self) -> bool:
        """The PBX said that the file is, or should soon be, there."""
        return self.is_added or (self.code == 1000 and self.is_in_cloud)


def collect_recordings(events: list[RecordingEvent]) -> tuple[RecordingFacts, ...]:
    """One `RecordingFacts` a recording, first heard first; the order of arrival means nothing."""
    grouped: dict[str, list[RecordingEvent]] = {}
    for event in events:
        grouped.setdefault(event.recording_id, []).append(event)
    found = []
    for name, steps in grouped.items():
        steps.sort(key=lambda step: (step.state == "added", step.seq, step.at))
        done = next((step for step in steps if step.state == "completed"), None)
        found.append(
            RecordingFacts(
                id=name,
                extension=next((step.extension for step in reversed(steps) if step.extension), None),
                leg=next((step.leg for step in reversed(steps) if step.leg), None),
                started_at=next((step.at for step in steps if step.state == "started"), None),
                completed_at=done.at if done else None,
                code=done.code if done else None,
                is_in_cloud=done.is_in_cloud if done else True,
                is_added=any(step.state == "added" for step in steps),
                url=next((step.url for step in reversed(steps) if step.url), None),
                first_at=min(step.at for step in steps),
            )
        )
    return tuple(sorted(found, key=lambda facts: (facts.started_at or facts.first_at, facts.id)))
