"""What is known of each recording, gathered from all that was told of it."""

from __future__ import annotations

from dataclasses import dataclass

from bx24app.domain.calls.events import Recorded


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """Everything known of one recording."""

    id: str
    extension: str | None
    leg: str | None
    started: int | None
    completed: int | None
    code: int | None
    in_cloud: bool
    added: bool
    url: str | None
    first_at: int

    @property
    def hopeless(self) -> bool:
        """It will never be fetchable: not kept (too short, limits), or sent by mail only."""
        return not self.added and ((self.code is not None and self.code != 1000) or not self.in_cloud)

    @property
    def fetchable(self) -> bool:
        """The PBX said that the file is, or should soon be, there."""
        return self.added or (self.code == 1000 and self.in_cloud)


def gather(events: list[Recorded]) -> tuple[RecordingFacts, ...]:
    """One `RecordingFacts` a recording, first heard first; the order of arrival means nothing."""
    grouped: dict[str, list[Recorded]] = {}
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
                started=next((step.at for step in steps if step.state == "started"), None),
                completed=done.at if done else None,
                code=done.code if done else None,
                in_cloud=done.in_cloud if done else True,
                added=any(step.state == "added" for step in steps),
                url=next((step.url for step in reversed(steps) if step.url), None),
                first_at=min(step.at for step in steps),
            )
        )
    return tuple(sorted(found, key=lambda facts: (facts.started or facts.first_at, facts.id)))
