"""Which stages of a pipeline are final: by the portal's SEMANTICS, or by its own names where none are stored."""

from __future__ import annotations

from bx24app.domain.crm_dictionaries import CrmDictionaries

PIPELINES = {"1038": [{"id": 12, "name": "Requests", "default": True}, {"id": 14, "name": "Repairs"}]}


def _stage(name: str, semantics: str | None = None) -> dict[str, str]:
    return {"id": name, "name": name} | ({"semantics": semantics} if semantics is not None else {})


def test_a_stage_that_somebody_added_is_lost_by_its_semantics() -> None:
    stages = [_stage("DT1038_12:NEW", ""), _stage("DT1038_12:SUCCESS", "S"), _stage("DT1038_12:UC_7A", "F")]
    known = CrmDictionaries({"pipelines": PIPELINES, "statuses": {"DYNAMIC_1038_STAGE_12": stages}})
    assert known.final_stages("1038", 12) == ("DT1038_12:SUCCESS", "DT1038_12:UC_7A")


def test_a_stage_with_a_final_name_may_be_open() -> None:
    known = CrmDictionaries({"statuses": {"DYNAMIC_1038_STAGE_12": [_stage("DT1038_12:FAIL", "")]}})
    assert known.final_stages("1038", 12) == ()


def test_without_semantics_the_names_tell() -> None:
    stages = [_stage("DT1038_12:NEW"), _stage("DT1038_12:SUCCESS"), _stage("DT1038_12:UC_7A")]
    known = CrmDictionaries({"statuses": {"DYNAMIC_1038_STAGE_12": stages}})
    assert known.final_stages("1038", 12) == ("DT1038_12:SUCCESS",)


def test_without_a_pipeline_those_of_all_count() -> None:
    statuses = {f"DYNAMIC_1038_STAGE_{number}": [_stage(f"DT1038_{number}:FAIL", "F")] for number in (12, 14)}
    known = CrmDictionaries({"pipelines": PIPELINES, "statuses": statuses})
    assert known.final_stages("1038", None) == ("DT1038_12:FAIL", "DT1038_14:FAIL")
    assert known.final_stages("lead", None) == ()
