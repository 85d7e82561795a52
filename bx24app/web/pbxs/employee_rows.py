"""Rows of the table of employees: what the settings, the PBX, the directory and the calls of seven days say of each
extension.

There may be 10,000 extensions. So what does not change between two openings of the page is cached in the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from flask import g

from bx24app.calls.journal import counts, unmapped
from bx24app.domain.employees.matching import EmployeeMatcher, PbxExtension, Person, Suggestion
from bx24app.domain.settings import PbxSettings, Settings
from bx24app.infra.runtime import runtime
from bx24app.mango.api_types import MangoUser
from bx24app.models import utcnow
from bx24app.portals import directory
from bx24app.portals.mango_inventory import MangoListing
from bx24app.web.base import directory as employees
from bx24app.web.base import rendering

CACHE_SIZE = 8
"""How many matchers, and how many lists of extensions, a process keeps."""
COUNTED_PERIOD = timedelta(days=7)


@dataclass(slots=True)
class EmployeeRow:
    """One extension: what the PBX knows of it, which user it is mapped to, which user is suggested."""

    extension: str
    pbx_extension: PbxExtension
    user_id: int | None = None
    numbers: str = ""
    is_listed: bool = True
    """The PBX lists the extension, or cannot be asked."""
    suggestion: Suggestion | None = None
    calls: int = 0
    unmapped_calls: int = 0
    """Calls of seven days in which the extension rang or talked and was mapped to no employee."""
    fault: str = ""

    @property
    def example_number(self) -> str:
        """A phone number that the PBX knows of this extension, as an example of what to enter."""
        return next(
            (number for number in self.pbx_extension.numbers if number.lstrip("+").isdecimal() and len(number) > 6), ""
        )

    def matches_search(self, text: str) -> bool:
        """Whether a search (lower case) finds this row."""
        fields = (self.extension, self.pbx_extension.name, self.pbx_extension.email, self.numbers)
        return text in " ".join(fields).lower()


def build_rows(pbx: PbxSettings, listing: MangoListing[MangoUser]) -> list[EmployeeRow]:
    """Every extension of the settings and of the PBX, those with most calls first."""
    since = utcnow() - COUNTED_PERIOD
    unmapped_calls = unmapped.count_calls(g.portal.id, pbx.key, since)
    mapped = _mapped_rows(pbx, listing, counts.count_by_user(g.portal.id, pbx.key, since))
    rows = [*mapped, *_unmapped_rows(pbx, listing, unmapped_calls)]
    for row in rows if unmapped_calls else ():
        row.unmapped_calls = unmapped_calls.get(row.extension, 0)
    return sorted(rows, key=_row_sort_key)


def _mapped_rows(pbx: PbxSettings, listing: MangoListing[MangoUser], calls: dict[int, int]) -> list[EmployeeRow]:
    extensions = _pbx_extensions(listing)
    # Without a list nothing says that an extension is missing.
    is_unknown = not listing.has_keys or bool(listing.problem) or not listing.rows
    return [
        EmployeeRow(
            extension,
            extensions.get(extension) or PbxExtension(extension),
            employee.user_id,
            ", ".join(employee.numbers),
            is_listed=is_unknown or extension in extensions,
            calls=calls.get(employee.user_id, 0),
        )
        for extension, employee in pbx.by_extension.items()
    ]


def _unmapped_rows(
    pbx: PbxSettings, listing: MangoListing[MangoUser], unmapped_calls: dict[str, int]
) -> list[EmployeeRow]:
    """Extensions that the PBX lists, or that rang although it does not list them, and that no employee has."""
    extensions = _pbx_extensions(listing)
    names = [name for name in dict.fromkeys([*extensions, *unmapped_calls]) if name not in pbx.by_extension]
    rows = [EmployeeRow(name, extensions.get(name) or PbxExtension(name)) for name in names]
    matcher = _employee_matcher(pbx) if rows else None
    for row in rows:
        row.calls = unmapped_calls.get(row.extension, 0)
        row.suggestion = matcher.suggest_user(row.pbx_extension) if matcher is not None else None
    return rows


def _row_sort_key(row: EmployeeRow) -> tuple[int, int, str]:
    return -row.calls, len(row.extension), row.extension


class _ExtensionCache(dict[int, tuple[tuple[MangoUser, ...], dict[str, PbxExtension]]]):
    """Identity of a PBX's listing -> the listing and its extensions."""


class _MatcherCache(dict[tuple[int, str], tuple[Settings, object, EmployeeMatcher]]):
    """Portal and PBX key -> the settings and the state of the directory that the matcher was made from, and the
    matcher."""


def _pbx_extensions(listing: MangoListing[MangoUser]) -> dict[str, PbxExtension]:
    """Extension -> what the PBX says of it. Built once for each list of Mango."""
    cache = runtime().get(_ExtensionCache)
    entry = cache.get(id(listing.rows))
    if entry is not None and entry[0] is listing.rows:
        return entry[1]
    extensions = {
        user.extension: PbxExtension(user.extension, user.name, user.email or "", (*user.numbers, user.mobile or ""))
        for user in listing.rows
        if user.extension is not None
    }
    while len(cache) >= CACHE_SIZE:
        cache.pop(next(iter(cache)), None)
    cache[id(listing.rows)] = listing.rows, extensions
    return extensions


def _employee_matcher(pbx: PbxSettings) -> EmployeeMatcher:
    """Suggests users for the extensions of this PBX. Built anew when the settings or the directory have changed."""
    settings, state = rendering.load_settings(), directory.state_mark(g.portal.id)
    cache = runtime().get(_MatcherCache)
    key = (g.portal.id, pbx.key)
    entry = cache.get(key)
    if entry is not None and entry[0] is settings and entry[1] == state:
        return entry[2]
    phones = employees.phones_by_user()
    people = (
        Person(user.user_id, user.name, user.email or "", user.inner_number or "", phones.get(user.user_id, ()))
        for user in employees.load_all().active_employees
    )
    mapped_elsewhere = {
        employee.user_id for other in settings.pbxs if other.key != pbx.key for employee in other.employees
    }
    matcher = EmployeeMatcher(people, mapped_elsewhere)
    cache.pop(key, None)
    while len(cache) >= CACHE_SIZE:
        cache.pop(next(iter(cache)), None)
    cache[key] = settings, state, matcher
    return matcher
