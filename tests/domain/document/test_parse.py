"""The settings document: every fault with its path, sections replaced as a whole, nothing lost by accident."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from bx24app.domain import document
from bx24app.domain.document import DocumentError, load_yaml, parse, yaml_text
from bx24app.domain.rules import templates
from bx24app.domain.settings import Settings

GOOD = """
version: 1
portal: {default_user_id: 1, timezone: Europe/Moscow}
calls: {answered: lead, missed: activity, recordings: {attach: upload, min_seconds: 3}}
pbxs:
  - key: moscow
    name: Moscow office
    dialects: [vpbx]
    api_key: key
    api_salt: salt
    default_user_id: 12
    lines:
      - number: "74950000001"
        name: Moscow
        responsible: {users: [12, 8], strategy: round_robin}
        working_hours: {days: [mon, tue], from: "09:00", to: "18:00"}
    employees:
      - {extension: "101", user_id: 12, numbers: ["79160000101"], recordings: upload}
    webhook_url: https://example.ru/mango/x
rules:
  - name: Missed
    when: {direction: in, outcome: missed, pbx: moscow, line: "74950000001", client: new, hours: any}
    do:
      - create: {entity: deal, category_id: 0, stage_id: NEW, title: "Missed {{ client.number }}", responsible: line,
          source_id: CALL}
      - todo: {deadline_minutes: 30, responsible: line, title: "Call back {{ client.number }}"}
"""


def good() -> Settings:
    return parse(load_yaml(GOOD), known_users={1, 8, 12}).settings


def faults(text: str, **how: object) -> dict[str, str]:
    with pytest.raises(DocumentError) as caught:
        parse(load_yaml(text), **how)  # type: ignore[arg-type]
    return {fault.path: fault.message for fault in caught.value.faults}


def test_the_contracts_example_is_good() -> None:
    parsed = parse(load_yaml(GOOD), known_users={1, 8, 12})
    assert parsed.keys == {"moscow": ("key", "salt")}
    [pbx] = parsed.settings.pbxs
    assert pbx.lines[0].working_hours[0].to == "18:00"
    assert pbx.lines[0].bitrix_number == "74950000001"


def test_what_is_dumped_is_read_again_the_same() -> None:
    text = yaml.safe_dump(document.dump(good()))
    assert parse(load_yaml(text), keyed=frozenset({"moscow"})).settings == good()


def test_ten_faults_report_ten_paths() -> None:
    found = faults(
        """
portal: {default_user_id: 0, timezone: Europe/Atlantis}
calls: {answered: deal, colour: red}
pbxs:
  - key: Moscow!
    dialects: [vpbx]
    api_key: k
    api_salt: s
    lines:
      - {number: "74950000001", working_hours: {days: [mon], from: "9:00"}}
      - {number: "+7 495 000-00-01"}
      - {name: no number}
    employees:
      - {extension: 101, user_id: 12}
      - {extension: "101", user_id: 77}
      - {extension: "102", user_id: nobody}
rules:
  - {name: A, when: {direction: sideways}, do: [{nothing: {}}]}
  - {name: A, do: [{comment: {text: "{{ client.nummer }}"}}]}
""",
        known_users={1, 12},
    )
    assert set(found) >= {
        "portal.default_user_id",
        "portal.timezone",
        "calls.answered",
        "calls.colour",
        "pbxs[0].key",
        "pbxs[0].lines[0].working_hours[0].from",
        "pbxs[0].lines[1].number",
        "pbxs[0].lines[2].number",
        "pbxs[0].employees[1].extension",
        "pbxs[0].employees[1].user_id",
        "pbxs[0].employees[2].user_id",
        "rules[0].when.direction",
        "rules[1].name",
        "rules[1].do[0].comment.text",
    }


def test_a_section_is_replaced_the_others_stay() -> None:
    base = good()
    changed = parse(load_yaml("calls: {missed: nothing}"), base).settings
    assert changed.calls.missed == "nothing"
    assert changed.calls.recordings.min_seconds == 0
    assert changed.pbxs == base.pbxs
    assert changed.rules == base.rules


def test_a_section_that_loses_something_needs_a_word() -> None:
    text = "pbxs: []\nrules: []"
    lost = faults(text, base=good(), allow_delete=False)
    assert set(lost) == {"pbxs.moscow", "pbxs.moscow.lines.74950000001", "pbxs.moscow.employees.101", "rules.Missed"}
    assert parse(load_yaml(text), good()).settings.pbxs == ()


def test_a_line_belongs_to_one_pbx() -> None:
    found = faults(
        """
pbxs:
  - {key: a, dialects: [events], lines: [{number: "74950000001"}]}
  - {key: b, dialects: [events], lines: [{number: "+7 (495) 000-00-01"}]}
"""
    )
    assert found == {"pbxs[1].lines[0].number": "+7 (495) 000-00-01 is already a line of PBX a"}


def test_a_pbx_of_the_signed_dialect_needs_a_key() -> None:
    assert "pbxs[0].api_key" in faults("pbxs: [{key: a}]")
    assert "pbxs[0].api_salt" in faults("pbxs: [{key: a, api_key: k}]")
    assert parse(load_yaml("pbxs: [{key: a}]"), keyed=frozenset({"a"})).keys == {"a": (None, None)}
    assert parse(load_yaml("pbxs: [{key: a, dialects: [events]}]"))


@pytest.mark.parametrize(
    "text",
    [
        "- 1",
        "a: &x [1]\nb: *x",
        "calls: {}\ncalls: {}",
        "{",
        "!!python/object:os.system {}",
        "x" * 100,
        "? [1]\n: 2",
        "[" * 5000,
    ],
)
def test_what_is_no_document(text: str) -> None:
    with pytest.raises(DocumentError):
        parse(load_yaml(text))


def test_unknown_users_only_in_the_named_sections() -> None:
    assert set(faults("portal: {default_user_id: 99}", base=good(), known_users={1})) == {"portal.default_user_id"}


def test_words_stay_as_they_were_written() -> None:
    """YAML 1.1 would read false, 65, 600 and a date."""
    text = """
pbxs:
  - key: moscow
    name: 2024
    dialects: [events]
    lines:
      - number: 74950000001
        working_hours: {days: [mon], from: 10:00, to: 19:30, holidays: [2026-01-01]}
    employees:
      - {extension: 0101, user_id: 12, numbers: [79160000101, +7 916 000-01-02]}
rules:
  - {name: 7, when: {hours: off, line: 74950000001}, do: {nothing: }}
"""
    settings = parse(load_yaml(text)).settings
    [pbx] = settings.pbxs
    assert (pbx.name, pbx.lines[0].number, pbx.employees[0].extension) == ("2024", "74950000001", "0101")
    assert pbx.employees[0].numbers == ("79160000101", "+7 916 000-01-02")
    [block] = pbx.lines[0].working_hours
    assert (block.from_, block.to, str(block.holidays[0])) == ("10:00", "19:30", "2026-01-01")
    [rule] = settings.rules
    assert (rule.name, rule.when["hours"], rule.do) == ("7", "off", ({"nothing": None},))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("portal: {default_user_id: true}", "portal.default_user_id: must not be true or false"),
        ('portal: {timezone: "a\\0b"}', "portal.timezone: holds characters that are no text"),
        ("pbxs:", "pbxs: must be a list"),
        ("pbxs: [{key: a, dialects: [events], api_key: [1], api_salt: {}}]", "pbxs[0].api_key: must be a text"),
        ("pbxs: [{key: a, dialects: []}]", "pbxs[0].dialects: must name vpbx, events, or both"),
        ("pbxs: [nothing]", "pbxs[0]: must be a mapping, not 'nothing'"),
        ("1: 2", "[1]: is not a known key"),
        ("version: 2", "version: must be one of 1, not '2'"),
        (
            "pbxs: [{key: a, dialects: [events], "
            "lines: [{number: '1', line_number: '74950000002'}, {number: '74950000002'}]}]",
            "pbxs[0].lines[1].number: 74950000002 is already a line of PBX a",
        ),
        (
            "pbxs: [{key: a, dialects: [events], lines: [{number: '1', working_hours: {from: '24:00', to: '09:00'}}]}]",
            "pbxs[0].lines[0].working_hours[0].from: must be a time such as 09:00, not '24:00'",
        ),
        (
            "pbxs: [{key: a, dialects: [events], lines: [{number: '1', working_hours: {holidays: [soon]}}]}]",
            "pbxs[0].lines[0].working_hours[0].holidays[0]: must be a valid date such as 2026-01-31, not 'soon'",
        ),
        (
            "rules: [{name: x, when: {pbx: {a: 1}, direction: }, do: [{nothing: {}}]}]",
            "rules[0].when.pbx: there is no PBX {'a': 1}",
        ),
    ],
)  # fmt: skip
def test_odd_values(text: str, fault: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(load_yaml(text))
    assert fault in [str(one) for one in caught.value.faults]


def test_a_wrong_key_does_not_hide_its_secrets() -> None:
    assert set(faults("pbxs: [{key: Moscow!, api_key: k, api_salt: s}]")) == {"pbxs[0].key"}


def test_what_would_be_lost_is_told_with_the_other_faults() -> None:
    found = faults("pbxs: []\nrules: []\ncalls: {missed: perhaps}", base=good(), allow_delete=False)
    assert {"calls.missed", "pbxs.moscow", "rules.Missed"} <= set(found)


def test_a_misspelt_name_is_no_loss() -> None:
    """Which PBX it was meant to be is not clear before the fault is mended."""
    found = faults(GOOD.replace("key: moscow", "key: Moscow!", 1), base=good(), allow_delete=False)
    assert not [path for path in found if path.startswith("pbxs.")]


def test_depth_and_size_are_bounded() -> None:
    for text in ("[" * 100 + "]" * 100, "a: " + "{b: " * 60 + "1" + "}" * 60, "a: " + "x" * yaml_text.MAX_LENGTH):
        with pytest.raises(DocumentError):
            load_yaml(text)
    with pytest.raises(DocumentError, match="tags are not allowed"):
        load_yaml("a: !!binary aGVsbG8=")


def test_what_is_exported_is_imported_the_same() -> None:
    text = yaml_text.dump_yaml(document.dump(good()), {"moscow": "https://x.ru/mango/h"})
    assert parse(load_yaml(text), keyed=frozenset({"moscow"})).settings == good()
    data = yaml.safe_load(text)
    assert list(data) == ["version", "portal", "calls", "pbxs", "rules"]
    [pbx] = data["pbxs"]
    assert list(pbx) == [
        "key",
        "name",
        "dialects",
        "api_key",
        "api_salt",
        "default_user_id",
        "lines",
        "employees",
        "webhook_url",
    ]
    assert (pbx["api_key"], pbx["api_salt"], pbx["webhook_url"]) == (None, None, "https://x.ru/mango/h")
    assert pbx["lines"][0]["working_hours"] == {"days": ["mon", "tue"], "from": "09:00", "to": "18:00"}


DOCS = (Path(__file__).parents[3] / "docs/settings.md").read_text()


def test_the_documented_example_is_good_and_has_everything() -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    settings = parse(load_yaml(example), known_users={1, 8, 12}).settings
    told = set(re.findall(r"(\w+):", example))
    dumped = document.dump(settings)
    parts = [dumped["portal"], dumped["calls"], *dumped["pbxs"]]
    parts += [part for pbx in dumped["pbxs"] for part in (*pbx["lines"], *pbx["employees"])]
    assert {key for part in parts for key in part} <= told


def test_the_documented_names_are_the_known_ones() -> None:
    tabled = {
        name: set(re.findall(r"`(\w+)`", rest))
        for name, rest in re.findall(r"^\| `(\w+)` \|(.*)\|$", DOCS, re.MULTILINE)
    }
    assert tabled == {name: set(attributes) for name, attributes in templates.TEMPLATE_NAMES.items()}
    assert set(re.findall(r"`(\w+)`", DOCS.partition("Filters:")[2].partition(". ")[0])) == templates.FILTERS


def test_a_mobile_that_is_no_telephone_is_refused_at_its_field_and_an_old_one_may_stay() -> None:
    with pytest.raises(DocumentError) as raised:
        parse(load_yaml(GOOD.replace('["79160000101"]', '["79160000101", "Anna\'s"]')))
    assert [fault.path for fault in raised.value.faults] == ["pbxs[0].employees[0].numbers[1]"]
    assert "telephone" in raised.value.faults[0].message
    held = good().model_dump(mode="json", by_alias=True)
    held["pbxs"][0]["employees"][0]["numbers"] = ["Anna's"]
    old = Settings.model_validate(held)  # stored before mobiles were looked at
    assert parse(load_yaml("calls: {card: never}"), old).settings.pbxs[0].employees[0].numbers == ("Anna's",)
    assert parse(document.dump(old), old, keyed=frozenset({"moscow"})).settings.pbxs == old.pbxs
    with pytest.raises(DocumentError):
        parse(load_yaml(GOOD.replace('["79160000101"]', '["Ann"]')), old)
