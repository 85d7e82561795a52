"""Checks of a settings document that its types cannot make: unique names, keys, time zones, telephones.

`parse` calls them after the types; each yields a fault with its path.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from zoneinfo import available_timezones

from bx24app.domain import phone, rules
from bx24app.domain.faults import Fault
from bx24app.domain.settings import HoursBlock, Settings

KeyPair = tuple[str | None, str | None]
"""(api_key, api_salt) as a document brings them; None: the stored one stays."""


def find_faults(settings: Settings, pairs: list[KeyPair], keyed: frozenset[str], sections: set[str]) -> list[Fault]:
    """What does not fit together in a document.

    Args:
        pairs: what the document brings for each PBX, in their order.
        keyed: PBX keys whose API key and salt are stored already.
        sections: those that the document names.
    """
    faults = [*_zone_faults(settings), *_duplicate_faults(settings), *_line_faults(settings)]
    if "pbxs" in sections:
        faults += _key_faults(settings, pairs, keyed)
    return [*faults, *rules.find_faults(settings)]


@lru_cache(maxsize=1)
def _known_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone_faults(settings: Settings) -> Iterator[Fault]:
    if settings.portal.timezone not in _known_zones():
        yield Fault("unknown_timezone", {"value": settings.portal.timezone}, "portal.timezone")
    for path, block in _hours_blocks(settings):
        if block.timezone is not None and block.timezone not in _known_zones():
            yield Fault("unknown_timezone", {"value": block.timezone}, f"{path}.timezone")
        if block.from_ == block.to:
            yield Fault("empty_hours", path=f"{path}.to")
        if block.from_ == "24:00":
            yield Fault("not_time", {"value": block.from_}, f"{path}.from")


def _hours_blocks(settings: Settings) -> Iterator[tuple[str, HoursBlock]]:
    for p, pbx in enumerate(settings.pbxs):
        for n, line in enumerate(pbx.lines):
            for h, block in enumerate(line.working_hours):
                yield f"pbxs[{p}].lines[{n}].working_hours[{h}]", block


def _duplicate_faults(settings: Settings) -> Iterator[Fault]:
    """PBX keys, extensions of a PBX and names of rules must be unique."""
    yield from _faults_of_repeats("repeated_pbx", "pbxs[{}].key", [pbx.key for pbx in settings.pbxs])
    for p, pbx in enumerate(settings.pbxs):
        extensions = [employee.extension for employee in pbx.employees]
        yield from _faults_of_repeats("repeated_extension", f"pbxs[{p}].employees[{{}}].extension", extensions)
    yield from _faults_of_repeats("repeated_rule", "rules[{}].name", [rule.name for rule in settings.rules])


def _faults_of_repeats(code: str, path: str, values: list[str]) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield Fault(code, {"name": value}, path.format(index))
        seen.add(value)


def _line_faults(settings: Settings) -> Iterator[Fault]:
    """A line belongs to one PBX, and one LINE_NUMBER to one line; lines are compared as telephones where both are."""
    numbers: dict[str, str] = {}
    known: dict[str, str] = {}
    for p, pbx in enumerate(settings.pbxs):
        for n, line in enumerate(pbx.lines):
            own, path = phone.line_key(line.number), f"pbxs[{p}].lines[{n}]"
            shown = phone.line_key(line.bitrix_number)
            if own in numbers:
                yield Fault("repeated_line", {"number": line.number, "pbx": numbers[own]}, f"{path}.number")
            elif shown in known:
                field = "number" if shown == own else "line_number"
                yield Fault("repeated_line", {"number": line.bitrix_number, "pbx": known[shown]}, f"{path}.{field}")
            numbers.setdefault(own, pbx.key)
            known.setdefault(shown, pbx.key)


def _key_faults(settings: Settings, pairs: list[KeyPair], keyed: frozenset[str]) -> Iterator[Fault]:
    for p, (pbx, (api_key, api_salt)) in enumerate(zip(settings.pbxs, pairs, strict=False)):
        if (api_key is None) != (api_salt is None):
            yield Fault("half_key", path=f"pbxs[{p}].{'api_key' if api_key is None else 'api_salt'}")
        elif any(traits.needs_keys for traits in pbx.traits) and api_key is None and pbx.key not in keyed:
            yield Fault("missing_api_key", path=f"pbxs[{p}].api_key")
        if not pbx.dialects:
            yield Fault("no_dialect", path=f"pbxs[{p}].dialects")


def mobile_faults(settings: Settings, base: Settings) -> Iterator[Fault]:
    """Mobiles that are no telephones.

    One that the employee already has in `base` is accepted, so that documents from before this check can still be
    saved.
    """
    present = {
        (pbx.key, employee.extension, number)
        for pbx in base.pbxs
        for employee in pbx.employees
        for number in employee.numbers
    }
    for p, pbx in enumerate(settings.pbxs):
        for e, employee in enumerate(pbx.employees):
            for n, number in enumerate(employee.numbers):
                if phone.normalise(number) is None and (pbx.key, employee.extension, number) not in present:
                    yield Fault("not_phone", {"value": number}, f"pbxs[{p}].employees[{e}].numbers[{n}]")
