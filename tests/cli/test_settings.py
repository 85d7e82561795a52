"""`bx24app settings` against a sandbox portal: users are asked for there, any fault changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import Result

from bx24app import settings
from bx24app.cli.settings import describe_changes
from bx24app.domain.document import load_yaml, parse
from bx24app.models import Pbx, db
from bx24app.settings.save import SaveOutcome
from tests.support import commands
from tests.support.installations import change, installed, row, w
from tests.support.stack import World, until

__all__ = ["w"]

DOCUMENT = """
portal: {default_user_id: 1, timezone: Europe/Moscow}
calls: {missed: activity}
pbxs:
  - key: moscow
    name: Moscow office
    api_key: the key
    api_salt: the salt
    lines:
      - number: 74950000001
        name: Moscow
        responsible: {users: [1]}
        working_hours: {days: [mon], from: 09:00, to: 18:00}
    employees: [{extension: 101, user_id: 1}]
rules:
  - {name: Missed, when: {outcome: missed, hours: off}, do: [{todo: {title: "Call {{ client.number }}"}}]}
"""


class Office:
    """An installed portal and the command line beside it."""

    def __init__(self, w: World, tmp_path: Path) -> None:
        self.world, self.id, self.file = w, installed(w), tmp_path / "document.yaml"
        self.member_id = w.portal.member_id
        self.environ = commands.environment_of(w.config)

    def run(self, *arguments: str, text: str | None = None) -> Result:
        return commands.run(self.environ, *arguments, text=text)

    def imported(self, text: str, *flags: str) -> Result:
        self.file.write_text(text)
        return self.run("settings", "import", "--portal", self.member_id, *flags, str(self.file))

    def versions(self) -> int:
        count = len(settings.history(self.id))
        db.session.rollback()
        return count


@pytest.fixture
def office(w: World, tmp_path: Path) -> Iterator[Office]:
    yield Office(w, tmp_path)
    assert w.portal.violations == []


def test_import_and_export(office: Office) -> None:
    result = office.imported(DOCUMENT)
    assert result.exit_code == 0, result.output
    added = "{key: moscow, name: Moscow office, dialects: [vpbx], lines: 1, employees: 1}"
    assert f"+ pbxs.moscow: {added}" in result.output
    assert "+ pbxs.moscow.api_key: (new)" in result.output
    assert "the salt" not in result.output
    text = office.run("settings", "export", "--portal", office.member_id).output
    [pbx] = yaml.safe_load(text)["pbxs"]
    hook = db.session.query(Pbx).filter_by(portal_id=office.id).one().hook_key
    db.session.rollback()
    assert (pbx["api_key"], pbx["api_salt"]) == (None, None)
    assert pbx["webhook_url"] == f"{office.world.url}/mango/{hook}"
    again = office.imported(text)
    assert (again.exit_code, again.output) == (0, "nothing to change\n")
    assert office.versions() == 1
    through = office.run("settings", "import", "--portal", office.member_id, "-", text="calls: {missed: nothing}")
    assert through.output.splitlines() == ["~ calls.missed: activity -> nothing", "1 change"]


def test_a_pbx_is_connected_once(office: Office) -> None:
    assert office.imported(DOCUMENT).exit_code == 0
    second = "{key: second, name: Second, api_key: \"\\u200bthe key\", api_salt: another}"
    twice = DOCUMENT.replace("pbxs:\n", f"pbxs:\n  - {second}\n")
    result = office.imported(twice)
    assert result.exit_code == 2
    text = "pbxs[0].api_key: the PBX Moscow office of this portal has this API key already; a PBX is connected once"
    assert text in result.output
    assert office.versions() == 1


def changes(old: str, new: str) -> list[str]:
    before, after = (parse(load_yaml(text), keyed=frozenset({"moscow"})).settings for text in (old, new))
    return list(describe_changes(SaveOutcome(before, after, 1)))


def test_changes_are_listed_by_names() -> None:
    text = DOCUMENT.replace("extension: 101, user_id: 1", "extension: 101, user_id: 8")
    text = text.replace("missed: activity", "missed: lead")
    text = text.replace(
        "        name: Moscow\n        responsible: {users: [1]}", "        responsible: {users: [1, 8]}"
    )
    assert changes(DOCUMENT, text) == [
        "~ calls.missed: activity -> lead",
        "- pbxs.moscow.lines.74950000001.name: Moscow",
        "~ pbxs.moscow.lines.74950000001.responsible.users: [1] -> [1, 8]",
        "~ pbxs.moscow.employees.101.user_id: 1 -> 8",
    ]
    other = DOCUMENT.replace("number: 74950000001", "number: 74950000002").replace("extension: 101", "extension: 102")
    assert changes(DOCUMENT, other)[-2:] == [
        "- pbxs.moscow.employees.101: {extension: '101', user_id: 1}",
        "+ pbxs.moscow.employees.102: {extension: '102', user_id: 1}",
    ]


def test_another_order_is_a_change() -> None:
    pbxs = "pbxs: [{key: a, dialects: [events]}, {key: b, dialects: [events]}]"
    rules = "rules: [{name: one, do: [{nothing: {}}]}, {name: two, do: [{nothing: {}}]}]"
    settings = parse(load_yaml(f"{pbxs}\n{rules}")).settings
    new = settings.model_copy(update={"pbxs": settings.pbxs[::-1], "rules": settings.rules[::-1]})
    assert list(describe_changes(SaveOutcome(settings, new, 1))) == ["~ pbxs.b: moved", "~ rules.two: moved"]
    assert list(describe_changes(SaveOutcome(settings, settings, None))) == []


def test_every_fault_with_its_path_and_nothing_changed(office: Office) -> None:
    result = office.imported(
        """
portal: {default_user_id: 999, timezone: Mars}
calls: {missed: deal}
pbxs:
  - {key: A, lines: [{number: "1"}, {number: "1"}], employees: [{extension: "1", user_id: 999},
     {extension: "1", user_id: 1}]}
rules: [{name: x, when: {line: "5"}, do: [{comment: {text: "{{ x }}"}}]}]
extra: 1
"""
    )
    assert result.exit_code == 2
    for path in (
        "portal.default_user_id: the portal has no active user 999",
        "portal.timezone",
        "calls.missed",
        "pbxs[0].key",
        "pbxs[0].lines[1].number",
        "pbxs[0].employees[0].user_id: the portal has no active user 999",
        "pbxs[0].employees[1].extension",
        "rules[0].when.line",
        "rules[0].do[0].comment.text",
        "extra",
    ):
        assert f"  {path}" in result.stderr
    assert result.stdout == ""
    assert office.versions() == 0


def test_a_dismissed_user_is_not_taken(office: Office) -> None:
    office.world.sandbox.call(lambda: setattr(office.world.portal.users[1], "active", True))
    other = next(number for number in office.world.portal.users if number != 1)
    office.world.portal.users[other].active = False
    result = office.imported(f"portal: {{default_user_id: {other}}}")
    assert (result.exit_code, "portal.default_user_id" in result.stderr) == (2, True)


def test_a_section_that_loses_something(office: Office) -> None:
    assert office.imported(DOCUMENT).exit_code == 0
    refused = office.imported("pbxs: []\nrules: []")
    assert refused.exit_code == 2
    assert "pbxs.moscow.employees.101: would be deleted; say --allow-delete" in refused.stderr
    assert office.versions() == 1
    allowed = office.imported("pbxs: []\nrules: []", "--allow-delete")
    assert allowed.exit_code == 0
    assert "- pbxs.moscow: " in allowed.output
    assert "- rules.Missed: " in allowed.output


def test_a_portal_that_cannot_be_asked(office: Office) -> None:
    change(office.id, client_endpoint="http://127.0.0.1:9/rest/")
    result = office.imported("calls: {missed: deal}")
    assert result.exit_code == 2
    assert "the portal cannot be asked for its users" in result.stderr
    assert "calls.missed" in result.stderr
    assert office.imported(DOCUMENT).exit_code == 2
    assert office.versions() == 0


def test_without_redis_the_lines_follow_at_once(office: Office) -> None:
    office.environ["BX24APP_REDIS_URL"] = "redis://127.0.0.1:9"
    result = office.imported(DOCUMENT)
    assert result.exit_code == 0, result.output
    assert "74950000001" in str(office.world.portal.lines), (result.output, result.stderr)


def test_with_redis_the_lines_follow_by_a_worker(office: Office) -> None:
    office.world.work(calls=1, recordings=1)
    assert office.imported(DOCUMENT).exit_code == 0
    until(lambda: "74950000001" in str(office.world.portal.lines), "no line was added")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"calls: {", b"- 1", b""])
def test_a_file_that_is_no_document(office: Office, content: bytes) -> None:
    office.file.write_bytes(content)
    result = office.run("settings", "import", "--portal", office.member_id, str(office.file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert row(office.id).settings_version_id is None
