"""The rules page: the list and its editors, the matrix, saving, faults at their fields."""

from __future__ import annotations

import gc
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bx24app.bitrix24.errors import AnswerLost
from bx24app.domain.crm_dictionaries import CrmDictionaries
from bx24app.domain.rules import ACTIONS, CONDITIONS, missed_matrix
from bx24app.domain.settings import LineSettings, PbxSettings, Rule, Settings
from bx24app.models import Call, Portal, db, utcnow
from bx24app.models import Pbx as PbxRow
from bx24app.portals import crm_dictionaries, sync
from tests.portals.test_crm_dictionaries import KNOWN
from tests.support.frame_pages import FakeMango, Frame, frame, has, mango, wrong
from tests.support.rule_forms import form, with_fields

__all__ = ["frame", "mango"]
PAGE = "/frame/rules"
LINE = LineSettings(number="74951234567", name="Moscow", line_number="+7 495")
PBX = PbxSettings(key="moscow", name="Moscow office", lines=(LINE,))
FULL: list[dict[str, Any]] = [
    {
        "name": "Everything",
        "when": {
            "direction": ["in", "out"], "outcome": "missed", "client": "new", "hours": "off", "pbx": "moscow",
            "line": "74951234567", "number": ["+7495", "+7812"], "min_seconds": 5, "moment": "answer",
            "client_has_open": ["deal", "lead"], "repeat_within_minutes": 30, "rang": ["101", "300"],
            "weekday": ["sat", "sun"], "day_of_month": [1, "last"],
        },
        "do": [
            {
                "create": {
                    "entity": "deal", "category_id": 9, "stage_id": "C9:NEW", "title": "Missed {{ client.number }}",
                    "responsible": 12, "source_id": "CALL", "fields": {"UF_A": "{{ line.name }}", "UF_B": ["1", 2]},
                    "duplicate": "allow", "if_absent": "next",
                }
            },
            {
                "todo": {
                    "deadline_minutes": 15, "working": True, "responsible": "line", "title": "Call",
                    "if_absent": "next",
                }
            },
            {"comment": {"text": "Two\nlines"}},
            {"notify": {"user": 11, "text": "Ring"}},
        ],
    },
    {"name": "Process", "when": {}, "do": [{"create": {"entity": 1038, "category_id": 12}}]},
    {"name": "Last", "when": {"outcome": "failed"}, "do": [{"nothing": {}}]},
]  # fmt: skip


@pytest.fixture
def ready(frame: Frame, mango: FakeMango) -> Frame:
    """The rules above are saved, and the portal's dictionaries are known."""
    frame.save(Settings(pbxs=(PBX,), rules=tuple(Rule.model_validate(rule) for rule in FULL)))
    with frame.site.app_context():
        crm_dictionaries.store_answers(frame.portal, KNOWN.content)
        db.session.commit()
    return frame


def rules_of(frame: Frame) -> list[dict[str, Any]]:
    return [rule.model_dump(mode="json") for rule in frame.settings().rules]


def opened(frame: Frame, *tokens: str) -> str:
    """The page with rules opened, as htmx puts their editors in."""
    page = frame.get(PAGE)
    for token in tokens:
        part = frame.post(PAGE + "/rule", with_fields(page, op="open", token=token))
        start = page.index(f'<li class="rule" data-rule="{token}"')
        page = page[:start] + part + page[page.index("</li>", start) + 5 :]
    return page


def test_the_list_reads_each_rule_in_words(ready: Frame) -> None:
    said = ready.get(PAGE)
    assert "If a call is not answered by the client: make nothing." in said
    assert "create an item of “Requests” in the pipeline “Requests”" in said
    assert "falls on a Saturday or Sunday" in said
    assert "responsible: Petrov Ivan" in said
    assert "Answered: Lead. Missed: Lead. Outgoing: only the call." in said


def test_rules_that_nobody_touched_are_saved_as_they_were(ready: Frame) -> None:
    said = ready.post(PAGE, form(ready.get(PAGE)))
    assert has(said, "nothing")
    assert rules_of(ready) == FULL


def test_an_opened_rule_loses_nothing(ready: Frame) -> None:
    said = ready.post(PAGE, form(opened(ready, "r0", "r1", "r2")))
    assert rules_of(ready) == FULL
    assert has(said, "nothing")


def test_every_condition_and_every_part_has_a_field(ready: Frame) -> None:
    names = set(form(opened(ready, "r0", "r2")))
    assert {f"r0-{key}" for key in CONDITIONS} <= names
    renamed = {"entity": "target", "category_id": "target", "fields": "field"}
    for place, kind in enumerate(("create", "todo", "comment", "notify")):
        assert {f"r0-a{place}-{renamed.get(part, part)}" for part in ACTIONS[kind]} <= names


def test_the_order_of_the_form_is_the_order_of_the_rules(ready: Frame) -> None:
    said = ready.post(PAGE, with_fields(ready.get(PAGE), rule=["r2", "r0"]))
    assert has(said, "saved")
    assert [rule["name"] for rule in rules_of(ready)] == ["Last", "Everything"]


def test_a_new_rule_and_a_copy(ready: Frame) -> None:
    page = ready.get(PAGE)
    part = ready.post(PAGE + "/rule", with_fields(page, op="add"))
    assert has(part, "rule-r3")
    assert form(part)["r3-name"] == "Rule 4"
    copied = ready.post(PAGE + "/rule", with_fields(page, op="copy", token="r0"))
    assert form(copied)["r3-name"] == "Everything (2)"
    act = ready.post(PAGE + "/rule", with_fields(part, op="act:todo", token="r3"))
    saved = ready.post(PAGE, with_fields(page + act, rule=["r0", "r1", "r2", "r3"]))
    assert has(saved, "saved"), wrong(saved)
    assert rules_of(ready)[3] == {"name": "Rule 4", "when": {}, "do": [{"todo": {"deadline_minutes": 30}}]}


def test_actions_and_fields_come_and_go(ready: Frame) -> None:
    page = opened(ready, "r0")
    part = ready.post(PAGE + "/rule", with_fields(page, op="drop:1", token="r0"))
    assert form(part).getlist("r0-do") == ["a0", "a1", "a2"]
    assert form(part)["r0-a1-kind"] == "comment"
    part = ready.post(PAGE + "/rule", with_fields(page, op="field:0", token="r0"))
    assert form(part).getlist("r0-a0-field") == ["f0", "f1", "f2"]
    part = ready.post(PAGE + "/rule", with_fields(page, op="drop:77", token="r0"))
    assert len(form(part).getlist("r0-do")) == 4


def test_another_pipeline_has_other_stages(ready: Frame) -> None:
    page = with_fields(opened(ready, "r0"), op="target", token="r0", **{"r0-a0-target": "1038:12"})
    part = ready.post(PAGE + "/rule", page)
    assert "Begin" in part
    assert form(part)["r0-a0-stage_id"] == ""
    contact = ready.post(PAGE + "/rule", with_fields(page, **{"r0-a0-target": "contact"}))
    assert "r0-a0-stage_id" not in form(contact)


def test_a_stage_that_is_gone_is_shown_by_its_id(ready: Frame) -> None:
    page = with_fields(opened(ready, "r0"), op="open", token="r0", **{"r0-a0-stage_id": "C9:GONE"})
    part = ready.post(PAGE + "/rule", page)
    assert "C9:GONE (not in Bitrix24)" in part
    assert form(part)["r0-a0-stage_id"] == "C9:GONE"


def test_groups_may_have_spaces_in_their_names(ready: Frame) -> None:
    page = with_fields(opened(ready, "r2"), **{"r2-rang": "Sales and service, 300", "r2-number": "+7 495"})
    said = ready.post(PAGE, page)
    assert wrong(said) == {"r2-number": "Enter the beginning of a number, such as +7495. (rules[2].when.number)"}
    assert form(said)["r2-rang"] == "Sales and service, 300"


def test_the_sentence_follows_what_is_typed(ready: Frame) -> None:
    page = with_fields(opened(ready, "r2"), token="r2", **{"r2-outcome": "missed"})
    assert ready.post(PAGE + "/words", page) == "If a call is missed: make nothing."


def test_a_faulty_draft_tells_every_fault_at_its_field(ready: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "fetch_users", lambda portal_id: {11, 12})
    monkeypatch.setattr(crm_dictionaries, "fetch", lambda portal_id: KNOWN)
    draft = [
        FULL[0] | {"do": [{"create": {"entity": "deal", "category_id": 9, "stage_id": "C9:GONE", "source_id": "X"}}]},
        {"name": "Everything", "when": {"line": "5", "min_seconds": "many"}, "do": []},
        {"name": "", "when": {}, "do": [{"todo": {"responsible": 999, "title": "{{ nobody.name }}"}}]},
    ]
    sent = {f"r{index}-json": json.dumps(rule) for index, rule in enumerate(draft)}
    said = ready.post(PAGE, {"rule": ["r0", "r1", "r2"], **sent})
    assert has(said, "wrong")
    assert wrong(said) == {
        "r0-a0-stage_id": "This pipeline has no such stage. Choose another one. (rules[0].do[0].create.stage_id)",
        "r0-a0-source_id": "This source no longer exists in Bitrix24. Choose another one. (rules[0].do[0].create.source_id)",  # noqa: E501
        "r1-name": "Another rule has this name. (rules[1].name)",
        "r1-line": "There is no such line. (rules[1].when.line)",
        "r1-min_seconds": "Enter a whole number, 0 or above. (rules[1].when.min_seconds)",
        "r1-do": "Add at least one action. (rules[1].do)",
        "r2-name": "Fill this in. (rules[2].name)",
        "r2-a0-responsible": "There is no such active employee in your Bitrix24. (rules[2].do[0].todo.responsible)",
        "r2-a0-title": "nobody is unknown here. Possible: call, client, line, pbx, user. (rules[2].do[0].todo.title)",
    }
    assert rules_of(ready) == FULL
    again = form(said)
    assert (again["r1-min_seconds"], again["r2-a0-title"]) == ("many", "{{ nobody.name }}")


def test_a_stage_that_was_added_just_now_is_asked_for(ready: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = json.loads(json.dumps(KNOWN.content))
    fresh["statuses"]["DEAL_STAGE_9"].append({"id": "C9:LATE", "name": "Late"})
    asked: list[int] = []

    def fetch(portal_id: int) -> CrmDictionaries:
        asked.append(portal_id)
        return CrmDictionaries(fresh)

    monkeypatch.setattr(crm_dictionaries, "fetch", fetch)
    page = opened(ready, "r0")
    said = ready.post(PAGE, with_fields(page, **{"r0-a0-stage_id": "C9:LATE"}))
    assert has(said, "saved"), wrong(said)
    assert asked == [ready.portal]


def test_a_dismissed_employee_stops_changed_rules_but_no_other_page(
    ready: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "fetch_users", lambda portal_id: {11, 12})
    rule = Rule.model_validate({"name": "Old", "do": [{"notify": {"user": 13, "text": "x"}}]})
    ready.save(Settings(pbxs=(PBX,), rules=(rule,)))
    assert has(ready.post("/frame/policy", {"missed": "nothing"}), "saved")
    said = ready.post(PAGE, with_fields(opened(ready, "r0"), **{"r0-name": "New"}))
    assert list(wrong(said)) == ["r0-a0-user"]


def test_a_conflict_keeps_what_was_typed(ready: Frame) -> None:
    page = with_fields(opened(ready, "r2"), **{"r2-name": "Mine"})
    ready.save(Settings(pbxs=(PBX,)))
    said = ready.post(PAGE, page, status=409)
    assert has(said, "conflict")
    assert "Mine" in said
    assert rules_of(ready) == []
    assert has(ready.post(PAGE, form(said)), "saved")
    assert [rule["name"] for rule in rules_of(ready)] == ["Everything", "Process", "Mine"]


def test_a_rule_tells_how_many_calls_it_decided(ready: Frame) -> None:
    with ready.site.app_context():
        pbx = db.session.query(PbxRow).filter_by(portal_id=ready.portal).one()
        for number, (rule, problem, days) in enumerate(
            (("Last", None, 0), ("Last", "refused", 1), ("Process", None, 9), (None, "refused", 0))
        ):
            at = utcnow() - timedelta(days=days)
            more: dict[str, Any] = {"rule": rule, "problem": problem, "started_at": at, "updated_at": at}
            db.session.add(
                Call(
                    portal_id=ready.portal,
                    pbx_id=pbx.id,
                    pbx_key="moscow",
                    entry_id=f"e{number}",
                    direction="in",
                    **more,
                )
            )
        db.session.commit()
    said = ready.get(PAGE)
    assert said.count('data-testid="rule-used"') == 1
    assert "2 calls in the last 7 days" in said
    assert "1 with a problem" in said
    page = form(said)
    page.setlist("rule", [token for token in page.getlist("rule") if token != "r2"])
    assert ready.post(f"{PAGE}/numbers", page).startswith(
        "1 rule will be removed, which applied to 2 calls in the last 7 days."
    )
    renamed = with_fields(opened(ready, "r2"), **{"r2-name": "Another name"})
    assert "will be removed" not in ready.post(f"{PAGE}/numbers", renamed)


# --- the matrix ------------------------------------------------------------------------------------------------------


def test_a_preset_makes_rules_and_the_matrix_shows_them(ready: Frame) -> None:
    body = ready.post(PAGE + "/body", with_fields(ready.get(PAGE), preset="deals"))
    sent = form(body)
    assert sent["m-known-off-make"] == "deal"
    assert sent["m-known-off-responsible"] == "owner"
    assert len(sent.getlist("rule")) == 7
    saved = ready.post(PAGE, sent)
    assert has(saved, "saved"), wrong(saved)
    assert rules_of(ready)[3:] == missed_matrix.to_rules(missed_matrix.MATRIX_PRESETS["deals"])
    assert "Missed call: known client, outside working hours" in saved


def test_a_cell_changes_its_rule_alone(ready: Frame) -> None:
    body = ready.post(PAGE + "/body", with_fields(ready.get(PAGE), preset="log"))
    changed = {"m-new-off-make": "deal", "m-new-off-category_id": "9", "m-new-off-deadline_minutes": "45"}
    body = ready.post(PAGE + "/body", with_fields(body, **changed, **{"m-known-off-make": ""}))
    found = form(body)
    rules = [json.loads(found[f"{token}-json"]) for token in found.getlist("rule")]
    assert len(rules) == 6
    assert rules[4]["do"] == [{"create": {"entity": "deal", "category_id": 9}}, {"todo": {"deadline_minutes": 45}}]
    assert rules[:3] == FULL


def test_a_rule_changed_by_hand_is_left_alone(ready: Frame) -> None:
    made = missed_matrix.to_rules(missed_matrix.MATRIX_PRESETS["log"])
    made[0] = made[0] | {"do": [{"comment": {"text": "mine"}}]}
    ready.save(Settings(pbxs=(PBX,), rules=tuple(Rule.model_validate(rule) for rule in made)))
    page = ready.get(PAGE)
    assert "m-new-working-make" not in form(page)
    body = form(ready.post(PAGE + "/body", with_fields(page, preset="leads")))
    assert json.loads(body["r0-json"])["do"] == [{"comment": {"text": "mine"}}]


def test_what_is_typed_wrong_into_the_matrix_stays_and_is_told(ready: Frame) -> None:
    body = ready.post(PAGE + "/body", with_fields(ready.get(PAGE), preset="deals"))
    body = ready.post(PAGE + "/body", with_fields(body, **{"m-new-off-deadline_minutes": "soon"}))
    assert form(body)["m-new-off-deadline_minutes"] == "soon"
    said = ready.post(PAGE, form(body))
    assert list(wrong(said).values()) == ["Enter a whole number above 0. (rules[4].do[1].todo.deadline_minutes)"]


# --- names -----------------------------------------------------------------------------------------------------------


def test_names_are_read_again_and_the_draft_stays(ready: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(portal_id: int) -> CrmDictionaries:
        fresh = json.loads(json.dumps(KNOWN.content))
        fresh["types"][0]["name"] = "Renamed"
        crm_dictionaries.store_answers(portal_id, fresh)
        db.session.commit()
        return crm_dictionaries.load(portal_id)

    monkeypatch.setattr(crm_dictionaries, "fetch", fetch)
    said = ready.post(PAGE + "/names", with_fields(ready.get(PAGE), rule=["r1"]))
    assert "create an item of “Renamed”" in said
    assert form(said).getlist("rule") == ["r1"]


def test_a_portal_that_does_not_answer(ready: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(portal_id: int) -> CrmDictionaries:
        raise AnswerLost("no answer")

    monkeypatch.setattr(crm_dictionaries, "fetch", silent)
    said = ready.post(PAGE + "/names", form(ready.get(PAGE)))
    assert has(said, "names-trouble")
    assert "Requests" in said


def test_what_is_no_form_breaks_nothing(ready: Frame) -> None:
    odd = {"rule": ["r0", "<x>", "r9"], "r0-json": "[" * 5000, "r9-open": "1", "r9-do": ["a0", "zz"]}
    said = ready.post(PAGE, odd)
    assert has(said, "wrong")
    assert rules_of(ready) == FULL
    ready.post(PAGE + "/rule", {"op": "open", "token": "nowhere"}, status=404)


# --- the dry run -----------------------------------------------------------------------------------------------------


def past(frame: Frame, *calls: dict[str, Any]) -> list[int]:
    """Finished calls as the worker leaves them, with what it kept for the dry run; their ids, in this order."""
    with frame.site.app_context():
        portal = db.session.get_one(Portal, frame.portal)
        pbx = db.session.query(PbxRow).filter_by(portal_id=frame.portal).one()
        rows = []
        for number, more in enumerate(calls):
            client = more.pop("client", "new")
            values: dict[str, Any] = {
                "direction": "in", "outcome": "missed", "client_number": "+79161234567", "state": "finished",
                "started_at": utcnow() - timedelta(minutes=90 - number),
                "settings_version_id": portal.settings_version_id,
            }  # fmt: skip
            values |= more
            seen = {"moment": "end", "direction": "in", "outcome": values["outcome"], "pbx": "moscow", "client": client}
            facts = {
                "seen": seen | {"number": values["client_number"], "talk_seconds": 0},
                "case": {"raw_line": "74951234567"},
            }
            row = Call(
                portal_id=frame.portal, pbx_id=pbx.id, pbx_key="moscow", entry_id=f"t{number}", facts=facts, **values
            )
            db.session.add(row)
            rows.append(row)
        db.session.commit()
        return [row.id for row in rows]


@pytest.fixture
def tried(ready: Frame) -> Frame:
    """No rules are saved: missed calls made a lead."""
    ready.save(Settings(pbxs=(PBX,)))
    return ready


def draft(frame: Frame, *rules: dict[str, Any]) -> dict[str, Any]:
    sent = {f"r{index}-json": json.dumps(rule) for index, rule in enumerate(rules)}
    return {"rule": [f"r{index}" for index in range(len(rules))], **sent}


MISSED = {
    "name": "Missed",
    "when": {"outcome": "missed", "client": "new"},
    "do": [{"create": {"entity": "deal", "category_id": 9, "title": "Missed {{ client.number }}", "responsible": 11}}],
}


def test_the_draft_beside_what_happened(tried: Frame) -> None:
    first, second = past(tried, {}, {"outcome": "answered"})
    said = tried.post(PAGE + "/try", draft(tried, MISSED))
    assert "1 of the last 2 calls would be handled differently" in said
    assert said.index(f'data-testid="trial-{second}"') < said.index(f'data-testid="trial-{first}"')
    assert said.count('class="different"') == 1
    assert "create a deal in the pipeline “Missed” named “Missed +79161234567”, responsible: Anna Smirnova" in said
    assert tried.settings().rules == ()


def test_the_numbers_before_saving(tried: Frame) -> None:
    assert tried.post(PAGE + "/numbers", draft(tried, MISSED)) == ""
    past(tried, {}, {"outcome": "answered"})
    said = tried.post(PAGE + "/numbers", draft(tried, MISSED))
    assert said == "These rules would handle 1 of the last 2 calls differently."
    same = tried.post(PAGE + "/numbers", draft(tried))
    assert same == "These rules would handle all of the last 2 calls in the same way."
    assert tried.post(PAGE + "/numbers", draft(tried, MISSED | {"do": []})) == ""


def test_the_trace_of_a_call(tried: Frame) -> None:
    [call] = past(tried, {})
    known = {"name": "Known", "when": {"client": "known", "min_seconds": 5}, "do": [{"nothing": {}}]}
    said = tried.post(PAGE + "/why", draft(tried, known, MISSED) | {"call": str(call)})
    text = re.sub(r"<[^>]+>|\s+", " ", said)
    text = re.sub(r"\s+", " ", text)
    assert "1. Known does not match" in text
    assert "not met: Client: known · this call: new" in text
    assert "2. Missed applies" in text
    assert "met: Outcome: missed · this call: missed" in text
    assert "→ create a deal in the pipeline" in text
    other = tried.post(PAGE + "/why", draft(tried, known) | {"call": str(call)})
    assert "Everything else" in other


def test_the_trace_tells_the_day_of_the_month(tried: Frame) -> None:
    [call] = past(tried, {"started_at": datetime(2024, 2, 29, 20, 30, tzinfo=UTC)})
    rule = {"name": "Day", "when": {"day_of_month": [1, "last"]}, "do": [{"nothing": {}}]}
    why = tried.post(PAGE + "/why", draft(tried, rule) | {"call": str(call)})
    assert "Day of the month: 1 or last day" in why
    assert "this call: 29, last day" in why
    assert 'class="trial-rule matched"' in why


def test_a_faulty_draft_is_not_tried(tried: Frame) -> None:
    [call] = past(tried, {})
    assert has(tried.post(PAGE + "/try", draft(tried, MISSED | {"do": []})), "trial-faulty")
    tried.post(PAGE + "/why", draft(tried, MISSED | {"do": []}) | {"call": str(call)}, status=404)


def test_calls_of_another_portal_are_not_shown(tried: Frame) -> None:
    [call] = past(tried, {})
    with tried.site.app_context():
        other = Portal(member_id="o" * 32, domain="o", client_endpoint="o", server_endpoint="o", client_id="o")
        db.session.add(other)
        db.session.flush()
        db.session.get_one(Call, call).portal_id = other.id
        db.session.commit()
    assert has(tried.post(PAGE + "/try", draft(tried, MISSED)), "trial-empty")
    tried.post(PAGE + "/why", draft(tried, MISSED) | {"call": str(call)}, status=404)
    tried.post(PAGE + "/why", draft(tried, MISSED) | {"call": "x"}, status=404)


def test_a_draft_is_not_kept_when_it_was_tried(tried: Frame) -> None:
    """A page tries one with every change; a document may hold ten thousand employees."""
    past(tried, {})
    tried.post(PAGE + "/numbers", draft(tried, MISSED))
    gc.collect()
    before = sum(isinstance(one, Settings) for one in gc.get_objects())
    for number in range(5):
        tried.post(PAGE + "/numbers", draft(tried, MISSED | {"name": f"Draft {number}"}))
    gc.collect()
    assert sum(isinstance(one, Settings) for one in gc.get_objects()) <= before + 1
