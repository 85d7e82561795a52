"""The portal's CRM dictionaries: asked daily and by the import, kept, and what rules name is held against them."""

from __future__ import annotations

from typing import Any

from bx24app.domain import crm_dictionaries as domain
from bx24app.domain.crm_dictionaries import CrmDictionaries
from bx24app.domain.settings import Rule, Settings
from bx24app.models import db
from bx24app.portals import crm_dictionaries, sync
from bx24app.sandbox.bitrix.state import SpaType
from tests.cli.test_settings import Office, office
from tests.support.installations import installed, w
from tests.support.stack import World

__all__ = ["office", "w"]

KNOWN = CrmDictionaries(
    {
        "types": [{"id": 1038, "name": "Requests"}],
        "pipelines": {
            "2": [{"id": 0, "name": "General", "default": True}, {"id": 9, "name": "Missed"}],
            "1038": [{"id": 12, "name": "Requests", "default": True}],
        },
        "statuses": {
            "SOURCE": [{"id": "CALL", "name": "Call"}],
            "STATUS": [{"id": "NEW", "name": "New"}],
            "DEAL_STAGE": [{"id": "NEW", "name": "New"}],
            "DEAL_STAGE_9": [{"id": "C9:NEW", "name": "New"}],
            "DYNAMIC_1038_STAGE_12": [{"id": "DT1038_12:NEW", "name": "Begin"}],
        },
    }
)


def faults(known: CrmDictionaries = KNOWN, **parts: Any) -> dict[str, str]:
    rule = Rule(name="r", do=({"nothing": {}}, {"create": parts}))
    found = domain.find_faults(Settings(rules=(Rule(name="first"), rule)), known)
    return {fault.path.removeprefix("rules[1].do[1].create."): fault.message for fault in found}


def test_what_the_portal_has_is_no_fault() -> None:
    for parts in (
        {"entity": "deal", "category_id": 0, "stage_id": "NEW", "source_id": "CALL"},
        {"entity": "deal", "stage_id": "NEW"},
        {"entity": "deal", "category_id": 9, "stage_id": "C9:NEW"},
        {"entity": "lead", "stage_id": "NEW"},
        {"entity": 1038, "category_id": 12, "stage_id": "DT1038_12:NEW"},
        {"entity": "1038", "stage_id": "DT1038_12:NEW"},
        {"entity": "contact", "source_id": "CALL"},
    ):
        assert faults(**parts) == {}


def test_what_the_portal_does_not_have_is_told_at_its_place() -> None:
    assert list(faults(entity="deal", category_id=3, stage_id="NEW", source_id="X")) == ["category_id", "source_id"]
    assert faults(entity="deal", category_id=9, stage_id="NEW") == {"stage_id": "the pipeline has no stage NEW"}
    assert list(faults(entity="deal", stage_id="C9:NEW")) == ["stage_id"]
    assert list(faults(entity="lead", stage_id="OLD")) == ["stage_id"]
    assert faults(entity=1040, stage_id="X") == {"entity": "the portal has no smart process 1040"}


def test_what_was_never_told_is_no_fault() -> None:
    assert faults(CrmDictionaries(), entity="deal", category_id=3, stage_id="Q", source_id="X") == {}
    assert faults(CrmDictionaries({"types": []}), entity="deal", category_id=3, stage_id="Q", source_id="X") == {}


def test_the_daily_look_reads_them_and_an_import_asks_anew(w: World) -> None:
    portal_id = installed(w)
    sync.sync_portal(portal_id)
    found = crm_dictionaries.load(portal_id)
    assert [one.name for one in found.pipelines_of("deal") or ()] == ["Общая", "Пропущенные"]
    assert next(one.id for one in found.stages_of("deal", 9) or ()) == "C9:NEW"
    assert found.default_pipeline(1038) == 12
    assert [one.name for one in found.smart_processes or ()] == ["Заявки"]
    assert "CALL" in {one.id for one in found.sources or ()}
    assert crm_dictionaries.last_read_at(portal_id) is not None
    db.session.rollback()
    assert w.portal.violations == []


def test_more_smart_processes_than_one_page(w: World) -> None:
    portal_id = installed(w)
    w.portal.types = [SpaType(number, 1100 + number, f"Process {number}") for number in range(1, 61)]
    found = crm_dictionaries.fetch(portal_id)
    assert len(found.smart_processes or ()) == 60
    db.session.rollback()


def test_what_is_not_told_stays(w: World) -> None:
    portal_id = installed(w)
    before = crm_dictionaries.fetch(portal_id)
    db.session.rollback()
    w.portal.statuses, w.portal.categories = [], []
    after = crm_dictionaries.fetch(portal_id)
    assert after.sources == before.sources
    assert after.pipelines_of("deal") == before.pipelines_of("deal")
    db.session.rollback()


def test_an_import_names_what_the_portal_does_not_have(office: Office) -> None:
    rule = "{name: %s, when: {outcome: missed}, do: [{create: {entity: deal, category_id: %s, stage_id: '%s', source_id: %s}}]}"  # noqa: E501
    result = office.imported(f"rules: [{rule % ('a', 9, 'C9:NEW', 'CALL')}, {rule % ('b', 9, 'C9:GONE', 'NOWHERE')}]")
    assert result.exit_code == 2
    assert "  rules[1].do[0].create.stage_id: the pipeline has no stage C9:GONE\n" in result.stderr
    assert "  rules[1].do[0].create.source_id: the portal has no source NOWHERE\n" in result.stderr
    assert "rules[0]" not in result.stderr
    assert office.versions() == 0
    assert office.imported(f"rules: [{rule % ('a', 9, 'C9:NEW', 'CALL')}]").exit_code == 0


def test_an_import_without_such_names_asks_for_none(office: Office) -> None:
    office.world.portal.commands.clear()
    assert office.imported("calls: {missed: nothing}").exit_code == 0
    assert office.world.portal.commands["crm.status.list"] == 0
