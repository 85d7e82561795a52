"""Reads a scenario folder: payload files, scenario.toml (the portal's side) and expected.txt (the transcript).

A scenario is one call; a new folder is a new test, without code. The number of a payload file is its order of arrival,
and its name contains the notification's path (`01_events-call__appeared_ivr.json` was posted to `events/call`).
A test gets scenarios from `all_scenarios()` or by folder, and `play`s them to the fold.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from bx24app.domain.calls.call_view import OpenTodo
from bx24app.domain.calls.commands import Record
from bx24app.domain.calls.policy import Policy
from bx24app.domain.settings import Settings
from bx24app.mango import events_dialect, statistics, statistics_users, vpbx
from tests.support import scenario_statistics
from tests.support.statistics_shapes import Shape, user_id, write_entry
from tests.support.transcript import WORDS, Answers, Play

FIXTURES = Path(__file__).parents[1] / "mango" / "fixtures"
RECEIVED = 1_705_309_000
"""The time of receipt for notifications that contain no time."""
NAMES = {"events-record-added": "events/record/added"}
SHORT = {"call_start", "call_answer", "call_end", "call_record", "call_transfer"}


@dataclass(frozen=True)
class Notice:
    """One notification of a scenario."""

    file: str
    name: str
    raw: str

    @property
    def dialect(self) -> str:
        return "events" if self.name in SHORT else "vpbx"

    @property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.raw)
        return content

    def events(self) -> tuple[Any, ...]:
        return parsed(self)


@cache
def parsed(notice: Notice) -> tuple[Any, ...]:
    """The notification's events. Cached, because each weather of a scenario replays the same notifications."""
    if notice.name == statistics.CALLS:
        return tuple(statistics.parse(notice.name, notice.raw))
    parse = events_dialect.parse if notice.dialect == "events" else vpbx.parse
    return tuple(parse(notice.name, notice.raw, RECEIVED))


def began_at(notices: list[Notice]) -> int:
    """The earliest time in the notifications."""
    every = [int(event.at) for notice in notices for event in notice.events()]
    return min((at for at in every if at != RECEIVED), default=RECEIVED)


QUIET = Notice("", "quiet", "")
"""A pause: nothing arrives until the fold waits for nothing."""


@dataclass(frozen=True)
class Scenario:
    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        return tomllib.loads((self.folder / "scenario.toml").read_text())

    @cached_property
    def settings(self) -> Settings:
        own, rules = self.folder / "settings.yaml", self.folder / "rules.yaml"
        shared = FIXTURES / self.config.get("document", "settings.yaml")
        document = yaml.safe_load((own if own.exists() else shared).read_text())
        if rules.exists():
            document["rules"] = yaml.safe_load(rules.read_text())
        for section, values in self.config.get("settings", {}).items():
            document[section] = {**document.get(section, {}), **values}
        return Settings.model_validate(document)

    @cached_property
    def notices(self) -> list[Notice]:
        source = self.folder / self.config.get("payloads", ".")
        files = sorted(source.glob("[0-9][0-9]_*.json"))
        return [Notice(file.name, self._name(file), file.read_text().rstrip("\n")) for file in files]

    @staticmethod
    def _name(file: Path) -> str:
        plain = file.stem.partition("_")[2].partition("__")[0]
        return NAMES.get(plain, plain if plain in SHORT else plain.replace("-", "/"))

    @property
    def entry_id(self) -> str:
        return next(
            n.content.get("entry_id") or n.content["uuid"]
            for n in self.notices
            if "command_id" not in n.content or "entry_id" in n.content
        )

    @property
    def expected(self) -> str:
        return (self.folder / "expected.txt").read_text()

    def statistics(self) -> Notice:
        """The entry of Mango's statistics for this call, as a notification."""
        raw = scenario_statistics.entry([(notice.name, notice.content) for notice in self.notices])
        return Notice("statistics", statistics.CALLS, raw)

    def statistics_as(self, shape: Shape) -> Notice:
        """The same entry in another shape, as the program stores it: ids of employees completed by extensions."""
        entry = write_entry(json.loads(self.statistics().raw), shape)
        extensions = {str(user_id(str(extension))): str(extension) for extension in range(100, 1000)}
        completed = statistics_users.add_extensions(entry, extensions, extensions)
        return Notice("statistics", statistics.CALLS, json.dumps(completed))

    def policy(self) -> Policy:
        pbx = self.settings.by_key[self.config.get("pbx", "moscow")]
        return Policy(
            self.settings,
            pbx,
            WORDS,
            crm_mode=self.config.get("crm_mode", 1),
            has_timeman=self.config.get("timeman", False),
        )

    def answers(self, client: str | None = None) -> Answers:
        """The portal's answers. `client`: the client's number if the scenario is replayed with another one."""
        known = {client or number: tuple(record) for number, record in self.config.get("known", {}).items()}
        return Answers(
            known,
            crm_mode=self.config.get("crm_mode", 1),
            inner=frozenset(client or number for number in self.config.get("inner", ())),
            client=self.config.get("client", {}),
            open=self.config.get("open", {}),
            days={int(user): day for user, day in self.config.get("days", {}).items()},
            done=frozenset(self.config.get("done", ())),
            refuses=self.config.get("refuses", []),
        )

    def past(self, began: int) -> dict[str, Any]:
        """Fields of the fold context for a call that began at `began`."""
        ago = self.config.get("minutes_since_last")
        flags = {"may_create_records": "makes", "may_notify": "tells"}
        todos = tuple(
            OpenTodo(todo["activity_id"], Record(*todo["record"]), todo["title"], began + 60, todo.get("misses", 1))
            for todo in self.config.get("todos", ())
        )
        return {
            **{field: self.config[key] for field, key in flags.items() if key in self.config},
            "is_form_callback": self.config.get("form_callback", False),
            "open_todos": todos,
            "previous_call_at": float("-inf") if ago is None else began - 60 * ago,
        }

    def play(self, notices: list[Notice] | None = None, client: str | None = None) -> Play:
        """Play the notifications to the fold (`QUIET` pauses), then let time pass until nothing is due."""
        began = began_at(notices if client and notices else self.notices)
        play = Play(self.policy(), self.entry_id, self.answers(client), **self.past(began))
        for second, notice in enumerate(self.notices if notices is None else notices):
            if notice == QUIET:
                rest(play)
            elif notice.name == statistics.CALLS:
                play.receive_all(list(notice.events()), float(second) / 100)
            else:
                for event in notice.events():
                    play.receive(event, float(second) / 100)
        rest(play)
        return play


def rest(play: Play) -> None:
    """Let time pass until the fold waits for nothing."""
    for _ in range(5):
        if not play.tick():
            return
    raise AssertionError("the fold never stops waiting")


def all_scenarios() -> list[Scenario]:
    return [Scenario(file.parent) for file in sorted(FIXTURES.glob("*/scenario.toml"))]
