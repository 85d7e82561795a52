"""Faults of a settings document that lie between its parts: what may stand only once, what must exist, who must be known."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from zoneinfo import available_timezones

from bx24app.domain import crm_dictionaries, phone, rules
from bx24app.domain.crm_dictionaries import CrmDictionaries
from bx24app.domain.document.errors import DocumentFault
from bx24app.domain.settings import HoursBlock, Settings

KeyPair = tuple[str | None, str | None]
"""(api_key, api_salt) as a document brings them; None: keep what is stored."""


def check_document(
    settings: Settings,
    pairs: list[KeyPair],
    keyed: frozenset[str],
    known_users: set[int] | None,
    named: set[str],
    offered: CrmDictionaries | None = None,
) -> list[DocumentFault]:
    """Faults that lie between parts."""
    found = [*_zone_faults(settings), *_duplicate_faults(settings), *_line_faults(settings)]
    if "pbxs" in named:
        found += _key_faults(settings, pairs, keyed)
    if known_users is not None:
        found += [
            DocumentFault(path, f"the portal has no active user {user}")
            for path, user in referenced_users(settings)
            if user not in known_users and path.split("[")[0].split(".")[0] in named
        ]
    if offered is not None and "rules" in named:
        found += [DocumentFault(path, message) for path, message in crm_dictionaries.find_faults(settings, offered)]
    return found + [DocumentFault(path, message) for path, message in rules.find_faults(settings)]


@lru_cache(maxsize=1)
def _known_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone_faults(settings: Settings) -> Iterator[DocumentFault]:
    if settings.portal.timezone not in _known_zones():
        yield DocumentFault("portal.timezone", f"is not a time zone such as Europe/Moscow, but {settings.portal.timezone!r}")
    for path, block in _hours_blocks(settings):
        if block.timezone is not None and block.timezone not in _known_zones():
            yield DocumentFault(f"{path}.timezone", f"is not a time zone such as Europe/Moscow, but {block.timezone!r}")
        if block.from_ == block.to:
            yield DocumentFault(f"{path}.to", "the working time ends when it begins")
        if block.from_ == "24:00":
            yield DocumentFault(f"{path}.from", "must be a time such as 09:00, not '24:00'")


def _hours_blocks(settings: Settings) -> Iterator[tuple[str, HoursBlock]]:
    for p, pbx in enumerate(settings.pbxs):
        for n, line in enumerate(pbx.lines):
            for h, block in enumerate(line.working_hours):
                yield f"pbxs[{p}].lines[{n}].working_hours[{h}]", block


def _duplicate_faults(settings: Settings) -> Iterator[DocumentFault]:
    """What may stand only once: PBX keys, extensions of a PBX, names of rules."""
    yield from _faults_of_repeats("pbxs[{}].key", [pbx.key for pbx in settings.pbxs], "another PBX has this key")
    for p, pbx in enumerate(settings.pbxs):
        extensions = [employee.extension for employee in pbx.employees]
        yield from _faults_of_repeats(
            f"pbxs[{p}].employees[{{}}].extension", extensions, "another employee of this PBX has this extension"
        )
    yield from _faults_of_repeats("rules[{}].name", [rule.name for rule in settings.rules], "another rule has this name")


def _faults_of_repeats(path: str, values: list[str], message: str) -> Iterator[DocumentFault]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield DocumentFault(path.format(index), f"{message}: {value}")
        seen.add(value)


def _line_faults(settings: Settings) -> Iterator[DocumentFault]:
    """A line belongs to one PBX, and one LINE_NUMBER to one line; numbers are compared by their digits."""
    numbers: dict[str, str] = {}
    known: dict[str, str] = {}
    for p, pbx in enumerate(settings.pbxs):
        for n, line in enumerate(pbx.lines):
            own, whose = phone.digits_only(line.number) or line.number, f"a line of PBX {pbx.key}"
            shown = phone.digits_only(line.bitrix_number) or line.bitrix_number
            if own in numbers:
                yield DocumentFault(f"pbxs[{p}].lines[{n}].number", f"{line.number} is already {numbers[own]}")
            elif shown in known:
                field = "number" if shown == own else "line_number"
                yield DocumentFault(f"pbxs[{p}].lines[{n}].{field}", f"{line.bitrix_number} is already {known[shown]}")
            numbers.setdefault(own, whose)
            known.setdefault(shown, whose)


def _key_faults(settings: Settings, pairs: list[KeyPair], keyed: frozenset[str]) -> Iterator[DocumentFault]:
    for p, (pbx, (api_key, api_salt)) in enumerate(zip(settings.pbxs, pairs, strict=False)):
        if (api_key is None) != (api_salt is None):
            yield DocumentFault(f"pbxs[{p}].{'api_key' if api_key is None else 'api_salt'}", "key and salt are given together")
        elif "vpbx" in pbx.dialects and api_key is None and pbx.key not in keyed:
            yield DocumentFault(f"pbxs[{p}].api_key", "is missing: only a PBX with the events dialect alone needs none")
        if not pbx.dialects:
            yield DocumentFault(f"pbxs[{p}].dialects", "must name vpbx, events, or both")


def mobile_faults(settings: Settings, held: Settings) -> Iterator[DocumentFault]:
    """Mobiles that are no telephones. What an employee already has in `held` stays as it is: a document from before this rule can still be saved."""
    present = {
        (pbx.key, employee.extension, number) for pbx in held.pbxs for employee in pbx.employees for number in employee.numbers
    }
    for p, pbx in enumerate(settings.pbxs):
        for e, employee in enumerate(pbx.employees):
            for n, number in enumerate(employee.numbers):
                if phone.normalise(number) is None and (pbx.key, employee.extension, number) not in present:
                    yield DocumentFault(f"pbxs[{p}].employees[{e}].numbers[{n}]", f"is not a telephone such as +79160000101, but {number!r}")


def referenced_users(settings: Settings) -> Iterator[tuple[str, int]]:
    """(path, user id) of everybody whom the document names."""
    yield "portal.default_user_id", settings.portal.default_user_id
    for p, pbx in enumerate(settings.pbxs):
        if pbx.default_user_id is not None:
            yield f"pbxs[{p}].default_user_id", pbx.default_user_id
        for n, line in enumerate(pbx.lines):
            for u, user in enumerate(line.responsible.users):
                yield f"pbxs[{p}].lines[{n}].responsible.users[{u}]", user
        for e, employee in enumerate(pbx.employees):
            yield f"pbxs[{p}].employees[{e}].user_id", employee.user_id
    yield from rules.referenced_users(settings)
