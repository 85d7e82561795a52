"""What a portal's CRM offers to choose from: pipelines, stages, sources and smart processes, with their names.

`bx24app.portals.crm_dictionaries` asks the portal and stores the answers; pages show the names, a save checks what
rules name against them. A part that the portal has never answered is None: it is not checked, and its ids are shown
without names. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bx24app.domain.faults import Fault
from bx24app.domain.settings import Settings

DEAL, INVOICE = 2, 31
"""Entity type ids; smart processes have theirs from 128 on."""
DICTIONARY_KEYS = ("category_id", "stage_id", "source_id")
"""Parts of `create` that name something of the portal's dictionaries."""


@dataclass(frozen=True, slots=True)
class DictionaryItem:
    """One thing to choose: its id as rules write it, and its name."""

    id: str
    name: str
    is_default: bool = False


@dataclass(frozen=True)
class CrmDictionaries:
    """`content`: as stored.

    `types`: [{id, name}] of smart processes; `pipelines`: {entity type id: [{id, name, default}]};
    `statuses`: {ENTITY_ID: [{id, name, semantics}]}, sources and stages; semantics is S (won), F (lost)
    or "". Each in the portal's order.
    """

    content: dict[str, Any] = field(default_factory=dict)

    @property
    def has_content(self) -> bool:
        """Has the portal answered anything yet?"""
        return bool(self.content)

    @cached_property
    def smart_processes(self) -> tuple[DictionaryItem, ...] | None:
        """Smart processes by entity type id."""
        return _parse_items(self.content.get("types"))

    @cached_property
    def sources(self) -> tuple[DictionaryItem, ...] | None:
        return self._statuses_of("SOURCE")

    def pipelines_of(self, entity: str | int) -> tuple[DictionaryItem, ...] | None:
        """Pipelines of a deal or smart process; empty for a lead or contact."""
        number = entity_type_id(entity)
        if number is None:
            return ()
        return _parse_items((self.content.get("pipelines") or {}).get(str(number)))

    def stages_of(self, entity: str | int, category: int | None) -> tuple[DictionaryItem, ...] | None:
        """Stages of a pipeline (None: the default one), or of leads; empty for a contact."""
        if entity == "contact":
            return ()
        if entity == "lead":
            return self._statuses_of("STATUS")
        number = entity_type_id(entity)
        pipeline = self.default_pipeline(entity) if category is None else category
        if number is None or pipeline is None:
            return None
        return self._statuses_of(_stage_entity_id(number, pipeline))

    def final_stages(self, entity: str | int, category: int | None) -> tuple[str, ...]:
        """Stages that are won or lost, of a pipeline of a deal or smart process; of all its pipelines if `category` is
        None.

        Where the portal was asked by an older version, which stored no semantics, the portal's own names tell.
        """
        number = entity_type_id(entity)
        if number is None:
            return ()
        pipelines = [category] if category is not None else [int(one.id) for one in self.pipelines_of(entity) or ()]
        rows = [row for one in pipelines for row in self._status_rows(_stage_entity_id(number, one))]
        return tuple(str(row["id"]) for row in rows if _is_final(row))

    def default_pipeline(self, entity: str | int) -> int | None:
        """The pipeline of a record whose rule names none."""
        pipelines = self.pipelines_of(entity) or ()
        chosen = next((pipeline for pipeline in pipelines if pipeline.is_default), None)
        return int(chosen.id) if chosen is not None else (0 if entity_type_id(entity) == DEAL else None)

    def _statuses_of(self, entity_id: str) -> tuple[DictionaryItem, ...] | None:
        return _parse_items((self.content.get("statuses") or {}).get(entity_id))

    def _status_rows(self, entity_id: str) -> list[dict[str, Any]]:
        return (self.content.get("statuses") or {}).get(entity_id) or []


def _is_final(row: dict[str, Any]) -> bool:
    if "semantics" in row:
        return row["semantics"] in ("S", "F")
    return is_final_stage(str(row["id"]))


def is_final_stage(stage_id: str) -> bool:
    """Is this one of the portal's own won or lost stages, by its name? A portal may have further lost ones."""
    return stage_id.rpartition(":")[2] in ("SUCCESS", "FAIL", "WON", "LOSE", "APOLOGY")


def entity_type_id(entity: str | int) -> int | None:
    """Entity type id of a deal or a smart process; None: the entity has no pipelines."""
    if entity == "deal":
        return DEAL
    return int(entity) if str(entity).isdecimal() else None


def _stage_entity_id(number: int, category: int) -> str:
    """ENTITY_ID of a pipeline's stages in `crm.status.list`."""
    if number == DEAL:
        return f"DEAL_STAGE_{category}" if category else "DEAL_STAGE"
    return f"SMART_INVOICE_STAGE_{category}" if number == INVOICE else f"DYNAMIC_{number}_STAGE_{category}"


def _parse_items(rows: Any) -> tuple[DictionaryItem, ...] | None:
    if rows is None:
        return None
    return tuple(DictionaryItem(str(row["id"]), str(row["name"]), bool(row.get("default"))) for row in rows)


# --- faults ----------------------------------------------------------------------------------------------------------


def find_faults(settings: Settings, known: CrmDictionaries) -> Iterator[Fault]:
    """What rules name and the portal does not have."""
    for index, rule in enumerate(settings.rules):
        for position, action in enumerate(rule.do):
            parts = action.get("create")
            if isinstance(parts, dict):
                path = f"rules[{index}].do[{position}].create."
                yield from (fault.at(path) for fault in _create_faults(parts, known))


def _create_faults(parts: dict[str, Any], known: CrmDictionaries) -> Iterator[Fault]:
    entity, category = parts.get("entity"), parts.get("category_id")
    if isinstance(entity, str | int) and not isinstance(entity, bool):
        number = entity_type_id(entity)
        if number not in (None, DEAL, INVOICE) and _is_missing(known.smart_processes, number):
            yield Fault("unknown_smart_process", {"value": number}, "entity")
            return
        if category is not None and _is_missing(known.pipelines_of(entity) or None, category):
            yield Fault("unknown_pipeline", {"value": category}, "category_id")
        elif category is None or isinstance(category, int):
            stage = parts.get("stage_id")
            if stage is not None and _is_missing(known.stages_of(entity, category) or None, stage):
                yield Fault("unknown_stage", {"value": stage}, "stage_id")
    source = parts.get("source_id")
    if source is not None and _is_missing(known.sources, source):
        yield Fault("unknown_source", {"value": source}, "source_id")


def _is_missing(offered: tuple[DictionaryItem, ...] | None, wanted: Any) -> bool:
    return offered is not None and str(wanted) not in {item.id for item in offered}


def needs_dictionaries(rules: Any) -> bool:
    """Do the `rules` of a document, unchecked, name anything that only the portal's dictionaries have?"""
    for rule in rules if isinstance(rules, list) else ():
        do = rule.get("do") if isinstance(rule, dict) else None
        for action in do if isinstance(do, list) else [do]:
            parts = action.get("create") if isinstance(action, dict) else None
            if isinstance(parts, dict) and (set(DICTIONARY_KEYS) & set(parts) or str(parts.get("entity")).isdecimal()):
                return True
    return False
